package stage

import (
	"context"
	"errors"
	"os"
	"path"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// carry brings one path of the real tree in.
func (c *carrier) carry(ctx context.Context, rel string, ignored map[string]bool) (below []string, err error) {
	s := c.s
	st, err := s.real.lstat(rel)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, c.gone(rel)
	}
	if err != nil {
		return nil, err
	}
	it := &item{rel, st}
	if rule, alias, denied := s.deniedNow(it); denied {
		return nil, c.denied(it, rule, alias)
	}
	e := s.entry(rel)
	if e != nil && e.kind != kDir && e.kind != kFile && e.kind != kLink && e.kind != kBulk && e.kind != kAttach {
		if err := s.dropGone(rel); err != nil { // it was denied or unreadable and is no more
			return nil, err
		}
		e = nil
	}
	switch it.format() {
	case unix.S_IFDIR:
		return c.dir(ctx, it, e, ignored[rel+"/"])
	case unix.S_IFREG, unix.S_IFLNK:
		return nil, c.file(it, e, ignored[rel])
	}
	return nil, nil
}

// deniedNow tells whether a path is denied by its name, by one above it, or as
// another name of a denied inode.
func (s *Staging) deniedNow(it *item) (rule, alias string, denied bool) {
	for d := it.rel; d != ""; d = parent(d) {
		if rule, is := s.opts.Denied(d); is {
			return rule, "", d == it.rel || s.entry(d) != nil
		}
	}
	if it.st.Nlink < 2 || it.format() != unix.S_IFREG {
		return "", "", false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.trips {
		if t.Ino == it.st.Ino && !t.Dir {
			return t.Rule, t.Path, true
		}
	}
	return "", "", false
}

// hardLinked tells whether a file that is not denied by name has more names.
func (s *Staging) hardLinked(rel string) bool {
	st, err := s.real.lstat(rel)
	if err != nil || st.Nlink < 2 || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return false
	}
	_, denied := s.opts.Denied(rel)
	return !denied
}

// otherNames lists the staged files that are other names of a denied inode.
func (s *Staging) otherNames(it *item) (rels []string) {
	if it.st.Nlink < 2 || it.format() != unix.S_IFREG {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for rel, e := range s.idx.m {
		if e.kind == kFile && e.real.ino == it.st.Ino && rel != it.rel {
			rels = append(rels, rel)
		}
	}
	return rels
}

func (c *carrier) denied(it *item, rule, alias string) error {
	s := c.s
	if up := parent(it.rel); up != "" {
		if e := s.entry(up); e != nil && e.kind == kVault {
			return nil // behind its directory's tripwire
		}
	}
	if e := s.entry(it.rel); e != nil && (e.kind == kDenied || e.kind == kVault) && e.real == stampOf(&it.st) {
		return nil
	}
	err := s.takeDenied(it, rule, alias)
	c.on(Event{Kind: Denied, Path: it.rel, Trip: trip(s.opts.Project.Root, it.rel, rule, alias, &it.st), Error: err})
	for _, rel := range s.otherNames(it) {
		if st, err := s.real.lstat(rel); err == nil && st.Ino == it.st.Ino {
			err = s.takeDenied(&item{rel, st}, rule, it.rel)
			c.on(Event{Kind: Denied, Path: rel, Trip: trip(s.opts.Project.Root, rel, rule, it.rel, &st), Error: err})
		}
	}
	return nil
}

// gone carries a deletion in.
func (c *carrier) gone(rel string) error {
	s := c.s
	var rels []string
	s.mu.Lock()
	for p, e := range s.idx.m {
		if p == rel || strings.HasPrefix(p, rel+"/") {
			if e.kind == kBulk || e.kind == kAttach {
				s.mu.Unlock()
				return nil // the session keeps its own
			}
			rels = append(rels, p)
		}
	}
	s.mu.Unlock()
	sort.Sort(sort.Reverse(sort.StringSlice(rels)))
	for _, p := range rels {
		e := s.entry(p)
		k, was := e.kind, e.flags&fConflict
		if err := s.dropGone(p); err != nil {
			return err
		}
		switch now := s.entry(p); {
		case k == kDenied || k == kVault:
			c.on(Event{Kind: Gone, Path: p})
		case k == kDir:
		case now != nil && now.flags&fConflict != 0:
			if was == 0 {
				c.on(Event{Kind: Conflict, Path: p, Text: "deleted outside, changed inside"})
			}
		default:
			c.on(Event{Kind: Carried, Path: p, Text: "deleted"})
		}
	}
	return nil
}

// dir carries a directory in and lists what lies in it.
func (c *carrier) dir(ctx context.Context, it *item, e *entry, ignored bool) (below []string, err error) {
	s := c.s
	if e != nil && (e.kind == kBulk || e.kind == kAttach) || ignored {
		return nil, nil // a build outside is no edit; the next start looks at it
	}
	if e == nil || e.kind != kDir {
		if e != nil { // a file became a directory
			if free, err := s.free(it.rel, e); err != nil || !free {
				return nil, s.clash(it, e)
			}
			if err := s.dropGone(it.rel); err != nil {
				return nil, err
			}
		}
		if s.meta.Backend == Snapshot {
			if err := s.tree.mkdirAll(it.rel, it.st.Mode&0o777|0o700); err != nil {
				if agents(err) {
					c.on(Event{Kind: Conflict, Path: it.rel, Text: "a directory outside, something else inside"})
					return nil, nil
				}
				return nil, err
			}
			s.setEntry(it.rel, &entry{kind: kDir, mode: it.st.Mode, real: stampOf(&it.st)})
		}
	}
	c.watchBelow(ctx, onReal, s.real, it.rel)
	if e != nil { // another directory may have been moved here
		below = s.known(it.rel)
	}
	all, err := s.real.names(it.rel)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, e := range all {
		if at := path.Join(it.rel, e.Name()); e.Name() != ".git" && !slices.Contains(below, at) {
			below = append(below, at)
		}
	}
	return below, nil
}

// known lists what the base has directly below a directory.
func (s *Staging) known(dir string) (rels []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for rel := range s.idx.m {
		if parent(rel) == dir {
			rels = append(rels, rel)
		}
	}
	return rels
}

// file carries a file or link in.
func (c *carrier) file(it *item, e *entry, ignored bool) error {
	s := c.s
	if e != nil && e.real == stampOf(&it.st) {
		return nil
	}
	if s.meta.Backend == Overlay {
		return c.overlayEdit(it, e)
	}
	if e != nil && e.kind == kDir {
		if err := c.gone(it.rel); err != nil {
			return err
		}
		e = s.entry(it.rel)
	}
	if e == nil {
		if st, err := s.tree.lstat(it.rel); err == nil && st.Mode&unix.S_IFMT == it.format() {
			return c.met(it, e) // made on both sides
		}
	}
	if err := s.takeFile(it, ignored, false); err != nil {
		return err
	}
	return c.tell(it, e)
}

func (c *carrier) met(it *item, e *entry) error {
	if err := c.s.clash(it, e); err != nil {
		return err
	}
	return c.tell(it, e)
}

// tell says what became of an edit.
func (c *carrier) tell(it *item, before *entry) error {
	e := c.s.entry(it.rel)
	switch {
	case e != nil && e.real.mtime == it.st.Mtim.Nano() && e.real.ctime == it.st.Ctim.Nano():
		c.on(Event{Kind: Carried, Path: it.rel})
	case e == nil || e.flags&fIgnored == 0:
		c.on(Event{Kind: Conflict, Path: it.rel, Text: "changed outside and inside"})
	}
	return nil
}

// overlayEdit looks whether an edit meets one of the agent's.
func (c *carrier) overlayEdit(it *item, e *entry) error {
	s := c.s
	if _, err := s.tree.lstat(it.rel); err != nil {
		c.on(Event{Kind: Carried, Path: it.rel})
		return nil
	}
	if e != nil {
		s.mu.Lock()
		e.flags |= fConflict
		s.mu.Unlock()
	}
	c.on(Event{Kind: Conflict, Path: it.rel, Text: "changed outside and inside"})
	return nil
}
