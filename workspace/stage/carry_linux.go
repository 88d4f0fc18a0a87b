package stage

import (
	"context"
	"errors"
	"os"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/countersign/countersign/workspace/base"
	"github.com/countersign/countersign/workspace/layer"
	"github.com/countersign/countersign/workspace/survey"
	"golang.org/x/sys/unix"
)

// carry brings one path of the real tree in.
func (c *carrier) carry(ctx context.Context, rel string, ignored map[string]bool) (below []string, err error) {
	s := c.s
	if s.base.Waits(rel) {
		return nil, nil
	}
	st, err := s.real.Lstat(rel)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		c.forget(rel)
		return nil, c.gone(rel)
	}
	if err != nil {
		return nil, err
	}
	it := &layer.Item{Rel: rel, St: st}
	if rule, alias, denied := s.deniedNow(it); denied {
		return nil, c.denied(ctx, it, rule, alias)
	}
	c.forget(rel)
	e := s.base.Get(rel)
	if e != nil && e.Kind != base.Dir && e.Kind != base.File && e.Kind != base.Link && e.Kind != base.Bulk && e.Kind != base.Attach {
		if err := s.dropGone(rel); err != nil { // it was denied or unreadable and is no more
			return nil, err
		}
		e = nil
	}
	switch it.Format() {
	case unix.S_IFDIR:
		return c.dir(ctx, it, e, ignored[rel+"/"])
	case unix.S_IFREG, unix.S_IFLNK:
		return nil, c.file(it, e, ignored[rel])
	}
	return nil, nil
}

// deniedNow tells whether a path is denied by its name, by one above it, or as
// another name of a denied inode.
func (s *Staging) deniedNow(it *layer.Item) (rule, alias string, denied bool) {
	for d := layer.Parent(it.Rel); d != ""; d = layer.Parent(d) {
		if e := s.base.Get(d); e != nil && e.Kind == base.Vault {
			return e.Rule, e.Alias, true
		}
	}
	if _, rule, denied := s.names.Below(it.Rel); denied {
		return rule, "", true
	}
	return s.names.Denied(it)
}

// hardLinked tells whether a file that is not denied by name has more names.
func (s *Staging) hardLinked(rel string) bool {
	st, err := s.real.Lstat(rel)
	if err != nil || st.Nlink < 2 || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return false
	}
	_, denied := s.opts.Denied(rel)
	return !denied
}

func (c *carrier) denied(ctx context.Context, it *layer.Item, rule, alias string) error {
	s := c.s
	for up := layer.Parent(it.Rel); up != ""; up = layer.Parent(up) {
		if e := s.base.Get(up); e != nil && e.Kind == base.Vault {
			return nil // behind its directory's tripwire
		}
	}
	if e := s.base.Get(it.Rel); e != nil && (e.Kind == base.Denied || e.Kind == base.Vault) && e.Real == layer.StampOf(&it.St) {
		return nil
	}
	err := s.takeDenied(it, rule, alias)
	if it.Format() == unix.S_IFDIR {
		c.look.Guard(ctx, it.Rel, rule)
	}
	if !c.wasTold(it) || err != nil {
		c.on(Event{Kind: Denied, Path: it.Rel, Trip: s.trip(it.Rel, rule, alias, &it.St), Error: err})
	}
	others := s.base.OtherNames(it)
	if s.meta.Backend == Overlay { // its base does not know every name
		others = s.names.Links(ctx, it)
	}
	for _, rel := range others {
		if st, err := s.real.Lstat(rel); err == nil && st.Ino == it.St.Ino {
			err = s.takeDenied(&layer.Item{Rel: rel, St: st}, rule, it.Rel)
			c.on(Event{Kind: Denied, Path: rel, Trip: s.trip(rel, rule, it.Rel, &st), Error: err})
		}
	}
	return nil
}

// deniedAtOnce tells of a denied path on the event that brought it.
func (c *carrier) deniedAtOnce(it *layer.Item, rule, alias string) {
	s := c.s
	t := s.trip(it.Rel, rule, alias, &it.St)
	s.mu.Lock()
	s.trips[it.Rel] = t
	s.mu.Unlock()
	c.mu.Lock()
	c.told[it.Rel] = layer.StampOf(&it.St)
	c.mu.Unlock()
	c.on(Event{Kind: Denied, Path: it.Rel, Trip: t})
}

// wasTold tells whether deniedAtOnce did so and nothing has changed since.
func (c *carrier) wasTold(it *layer.Item) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	stamp, told := c.told[it.Rel]
	delete(c.told, it.Rel)
	return told && stamp == layer.StampOf(&it.St)
}

// forget drops a path that deniedAtOnce told of, if it is not denied any more
// and the base has never heard of it.
func (c *carrier) forget(rel string) {
	s := c.s
	s.mu.Lock()
	_, was := s.trips[rel]
	if was = was && s.base.Get(rel) == nil; was {
		delete(s.trips, rel)
	}
	s.mu.Unlock()
	if was {
		c.on(Event{Kind: Gone, Path: rel})
	}
}

// gone carries a deletion in.
func (c *carrier) gone(rel string) error {
	s := c.s
	if err := s.base.Renew(rel, false); err != nil {
		return err
	}
	var rels []string
	for p, e := range s.base.All() {
		if (p == rel || strings.HasPrefix(p, rel+"/")) && !s.base.Waits(p) {
			if e.Kind == base.Bulk || e.Kind == base.Attach {
				return nil // the session keeps its own
			}
			rels = append(rels, p)
		}
	}
	sort.Sort(sort.Reverse(sort.StringSlice(rels)))
	for _, p := range rels {
		e := s.base.Get(p)
		k, was := e.Kind, e.Flags&base.Conflict
		if err := s.dropGone(p); err != nil {
			return err
		}
		switch now := s.base.Get(p); {
		case k == base.Denied || k == base.Vault:
			c.on(Event{Kind: Gone, Path: p})
		case k == base.Dir:
		case now != nil && now.Flags&base.Conflict != 0:
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
func (c *carrier) dir(ctx context.Context, it *layer.Item, e *base.Entry, ignored bool) (below []string, err error) {
	s := c.s
	if e != nil && (e.Kind == base.Bulk || e.Kind == base.Attach) || ignored {
		return nil, nil // a build outside is no edit; the next start looks at it
	}
	if e == nil || e.Kind != base.Dir {
		if e != nil { // a file became a directory
			if free, err := s.base.Free(it.Rel, e); err != nil || !free {
				return nil, s.base.Settle(it, e)
			}
			if err := s.dropGone(it.Rel); err != nil {
				return nil, err
			}
		}
		if s.meta.Backend == Snapshot {
			if err := s.tree.MkdirAll(it.Rel, it.St.Mode&0o777|0o700); err != nil {
				if layer.Swapped(err) {
					c.on(Event{Kind: Conflict, Path: it.Rel, Text: "a directory outside, something else inside"})
					return nil, nil
				}
				return nil, err
			}
			s.base.Set(it.Rel, &base.Entry{Kind: base.Dir, Mode: it.St.Mode, Real: layer.StampOf(&it.St)})
		}
	}
	c.watchBelow(ctx, onReal, s.real, it.Rel)
	if e != nil { // another directory may have been moved here
		below = s.base.In(it.Rel)
	}
	all, err := s.real.Names(it.Rel)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, e := range all {
		if at := path.Join(it.Rel, e.Name()); e.Name() != ".git" && !survey.Temporary(at) && !slices.Contains(below, at) {
			below = append(below, at)
		}
	}
	return below, nil
}

// file carries a file or link in.
func (c *carrier) file(it *layer.Item, e *base.Entry, ignored bool) error {
	s := c.s
	if e != nil && e.Real == layer.StampOf(&it.St) {
		return nil
	}
	if s.meta.Backend == Overlay {
		return c.overlayEdit(it, e, ignored)
	}
	if e != nil && e.Kind == base.Dir {
		if err := c.gone(it.Rel); err != nil {
			return err
		}
		e = s.base.Get(it.Rel)
	}
	if e == nil {
		if st, err := s.tree.Lstat(it.Rel); err == nil && st.Mode&unix.S_IFMT == it.Format() {
			return c.met(it, e) // made on both sides
		}
	}
	if err := s.takeFile(it, ignored, false); err != nil {
		return err
	}
	return c.tell(it, e)
}

func (c *carrier) met(it *layer.Item, e *base.Entry) error {
	if err := c.s.base.Settle(it, e); err != nil {
		return err
	}
	return c.tell(it, e)
}

// tell says what became of an edit.
func (c *carrier) tell(it *layer.Item, before *base.Entry) error {
	e := c.s.base.Get(it.Rel)
	switch {
	case e != nil && e.Real.MTime == it.St.Mtim.Nano() && e.Real.CTime == it.St.Ctim.Nano():
		c.on(Event{Kind: Carried, Path: it.Rel})
	case e == nil || e.Flags&base.Ignored == 0:
		c.on(Event{Kind: Conflict, Path: it.Rel, Text: "changed outside and inside"})
	}
	return nil
}

// overlayEdit carries in an edit that the upper directory hides, where the agent
// has left the file as its base is; the others the kernel shows.
func (c *carrier) overlayEdit(it *layer.Item, e *base.Entry, ignored bool) error {
	s := c.s
	_, err := s.tree.Lstat(it.Rel)
	free, ferr := s.base.Free(it.Rel, e)
	switch {
	case err != nil:
		if e != nil {
			s.base.Set(it.Rel, nil) // what the agent changes next starts from here
		}
		if err := s.base.Renew(it.Rel, ignored); err != nil {
			return err
		}
		c.on(Event{Kind: Carried, Path: it.Rel})
		return nil
	case ferr == nil && free:
		if err := s.takeFile(it, ignored, false); err != nil {
			return err
		}
		return c.tell(it, e)
	case e == nil:
		c.on(Event{Kind: Conflict, Path: it.Rel, Text: "changed outside and inside"})
		return nil
	}
	return c.met(it, e)
}
