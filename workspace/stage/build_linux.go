package stage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"path/filepath"
	"sort"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/workspace/base"
	"github.com/countersign/countersign/workspace/layer"
	"github.com/countersign/countersign/workspace/survey"
)

// prepareSnapshot makes the staged tree what the real one is, where the agent
// has not changed it.
func (s *Staging) prepareSnapshot(ctx context.Context, sc *survey.Survey) error {
	s.mounts = append(s.mounts, countersign.Mount{Type: "bind", Source: s.tree.Path, Target: s.opts.Project.Root})
	fresh := s.blank
	if err := s.takeGone(sc); err != nil {
		return err
	}
	rels := make([]string, 0, len(sc.Items))
	for rel := range sc.Items {
		rels = append(rels, rel)
	}
	sort.Strings(rels) // a directory before what lies in it
	var jobs []string
	for _, rel := range rels {
		later, err := s.takeDir(sc, rel)
		if err != nil {
			return err
		}
		if later {
			jobs = append(jobs, rel)
		}
	}
	first := sc.HardLinks(jobs)
	err := layer.Parallel(ctx, len(jobs), func(i int) error {
		if at := first[jobs[i]]; at != "" && at != jobs[i] {
			return nil // linked below
		}
		return s.takeFile(sc.Items[jobs[i]], sc.Ignored.Files[jobs[i]], fresh)
	})
	if err != nil {
		return err
	}
	if err := s.makeLinks(first, jobs); err != nil {
		return err
	}
	if err := s.takeBulk(ctx, sc); err != nil {
		return err
	}
	return s.dirTimes(rels, sc)
}

// takeDir handles what is decided at once: directories, denied names and special
// files. It tells whether rel is a file or link to be looked at.
func (s *Staging) takeDir(sc *survey.Survey, rel string) (later bool, err error) {
	it := sc.Items[rel]
	if rule, denied := sc.Denied[rel]; denied {
		return false, s.takeDenied(it, rule, sc.Alias[rel])
	}
	e := s.base.Get(rel)
	switch it.Format() {
	case unix.S_IFREG, unix.S_IFLNK:
		return e == nil || e.Real != layer.StampOf(&it.St) || (e.Kind != base.File && e.Kind != base.Link && e.Kind != base.Closed), nil
	case unix.S_IFDIR:
		if e != nil && (e.Kind == base.Dir || e.Kind == base.Bulk || e.Kind == base.Attach) {
			return false, nil
		}
		if err := s.tree.MkdirAll(rel, it.St.Mode&0o777|0o700); layer.Swapped(err) {
			return false, nil // the agent has something else there
		} else if err != nil {
			return false, err
		}
		ne := &base.Entry{Kind: base.Dir, Mode: it.St.Mode, Real: layer.StampOf(&it.St)}
		if sc.Ignored.Dirs[rel] {
			ne.Flags = base.Ignored
		}
		s.base.Set(rel, ne)
		return false, nil
	}
	s.notes = append(s.notes, Note{rel, "is " + it.Special() + " and is not in the session's tree"})
	return false, nil
}

// takeDenied sees to it that a placeholder stands at a denied path, and nothing
// that was there.
func (s *Staging) takeDenied(it *layer.Item, rule, alias string) error {
	e := s.base.Get(it.Rel)
	k := base.Denied
	if it.Format() == unix.S_IFDIR {
		k = base.Vault
	}
	t := s.trip(it.Rel, rule, alias, &it.St)
	s.mu.Lock()
	s.trips[it.Rel] = t
	s.mu.Unlock()
	s.names.Remember(it, it.Rel, rule)
	if e != nil && e.Kind == k {
		e.Real, e.Mode, e.Rule, e.Alias = layer.StampOf(&it.St), it.St.Mode, rule, alias
		return nil
	}
	if s.meta.Backend == Overlay {
		s.base.Set(it.Rel, &base.Entry{Kind: k, Mode: it.St.Mode, Real: layer.StampOf(&it.St), Rule: rule, Alias: alias})
		return nil
	}
	if err := s.setAside(it.Rel); err != nil {
		return err
	}
	if err := s.tree.MkdirAll(layer.Parent(it.Rel), 0o755); err != nil {
		return err
	}
	st, err := s.tree.Placeholder(it, it.Rel)
	if err != nil {
		return err
	}
	s.base.Set(it.Rel, &base.Entry{Kind: k, Mode: it.St.Mode, Real: layer.StampOf(&it.St), Snap: layer.StampOf(&st), Rule: rule, Alias: alias})
	return nil
}

// setAside takes what stands at a path that is now denied out of the agent's
// sight: what it made there itself is the person's to judge, not lost.
func (s *Staging) setAside(rel string) error {
	if _, err := s.tree.Lstat(rel); errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	if e := s.base.Get(rel); e != nil { // a copy of the real file from before it was denied
		s.saved.Unlink(hex.EncodeToString(e.Sum[:]))
		return s.tree.RemoveAll(rel)
	}
	name := layer.TempName()
	if err := s.tree.Rename(rel, s.saved, "aside-"+name); err != nil {
		return err
	}
	s.note(rel, "was made inside; the host now has a denied file of that name, so the session's was moved to "+filepath.Join(s.saved.Path, "aside-"+name))
	return nil
}

func (s *Staging) makeLinks(first map[string]string, jobs []string) error {
	for _, rel := range jobs {
		at := first[rel]
		if at == "" || at == rel {
			continue
		}
		e := s.base.Get(at)
		if e == nil || e.Kind != base.File || s.base.Get(rel) != nil {
			if err := s.takeFileNow(rel); err != nil {
				return err
			}
			continue
		}
		if err := s.tree.Link(at, s.tree, rel); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
		st, err := s.tree.Lstat(at)
		if err != nil {
			return err
		}
		e.Snap = layer.StampOf(&st)
		ne := *e
		s.base.Set(rel, &ne)
	}
	for _, at := range first { // linking changed the ctime of all
		if e := s.base.Get(at); e != nil && e.Kind == base.File {
			if st, err := s.tree.Lstat(at); err == nil && st.Ino == e.Snap.Ino {
				e.Snap = layer.StampOf(&st)
			}
		}
	}
	for rel, at := range first {
		if e, f := s.base.Get(rel), s.base.Get(at); e != nil && f != nil && e.Snap.Ino == f.Snap.Ino {
			e.Snap = f.Snap
		}
	}
	return nil
}

// takeFileNow looks at one path again and takes it over.
func (s *Staging) takeFileNow(rel string) error {
	st, err := s.real.Lstat(rel)
	if err != nil {
		return nil // gone since; the watch or the next start tells
	}
	return s.takeFile(&layer.Item{Rel: rel, St: st}, false, false)
}

// takeFile carries one file or link of the real tree into the staged one, unless
// the agent has changed it there.
func (s *Staging) takeFile(it *layer.Item, ignored, fresh bool) error {
	e := s.base.Get(it.Rel)
	if !fresh {
		switch free, err := s.base.Free(it.Rel, e); {
		case err != nil:
			return err
		case !free:
			return s.base.Settle(it, e)
		}
	}
	ne := &base.Entry{Kind: base.File, Mode: it.St.Mode}
	if ignored {
		ne.Flags = base.Ignored
	}
	at, dst := s.base.Room(it.Rel)
	if fresh {
		at, dst = s.tree, it.Rel
	}
	if err := s.copyItem(it, at, dst, ne); err != nil {
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ELOOP) {
			return nil // gone or become something else since; the watch or the next start tells
		}
		return err
	}
	if !fresh {
		placed, err := s.base.Put(dst, it.Rel, ne, e)
		if err != nil {
			return err
		}
		if !placed {
			return s.base.Settle(it, e)
		}
	}
	s.base.Set(it.Rel, ne)
	return nil
}

// copyItem copies a file or link to dst below at and fills in the entry.
func (s *Staging) copyItem(it *layer.Item, at *layer.Root, dst string, ne *base.Entry) error {
	if it.Format() == unix.S_IFLNK {
		to, err := s.real.Readlink(it.Rel)
		if err == nil {
			err = at.Symlink(to, dst)
		}
		if err == nil {
			err = at.Utimes(dst, it.St.Mtim)
		}
		if err != nil {
			return err
		}
		st, err := at.Lstat(dst)
		ne.Kind, ne.Real, ne.Snap, ne.Sum = base.Link, layer.StampOf(&it.St), layer.StampOf(&st), sha256.Sum256([]byte(to))
		return err
	}
	c, err := layer.CopyFile(s.real, it.Rel, at, dst, true)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return s.closed(it, at, dst, ne)
	}
	ne.Mode, ne.Real, ne.Snap, ne.Sum = c.Mode, c.Real, c.Snap, c.Sum
	return err
}

// closed stands in for a file the user cannot read.
func (s *Staging) closed(it *layer.Item, at *layer.Root, dst string, ne *base.Entry) error {
	f, err := at.Open(dst, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0)
	if err != nil {
		return err
	}
	f.Close()
	st, err := at.Lstat(dst)
	ne.Kind, ne.Real, ne.Snap = base.Closed, layer.StampOf(&it.St), layer.StampOf(&st)
	return err
}

// takeGone removes what is gone from the real tree, or has become a directory or
// is none any more, and is untouched in the staged one.
func (s *Staging) takeGone(sc *survey.Survey) error {
	var gone []string
	for rel, e := range s.base.All() {
		it := sc.Items[rel]
		if it != nil && e.Kind.IsDir() != (it.Format() == unix.S_IFDIR) || it == nil && !sc.Unseen(rel) {
			gone = append(gone, rel)
		}
	}
	sort.Sort(sort.Reverse(sort.StringSlice(gone))) // what lies in a directory before it
	for _, rel := range gone {
		if err := s.dropGone(rel); err != nil {
			return err
		}
	}
	return nil
}

// dropGone carries one deletion in.
func (s *Staging) dropGone(rel string) error {
	e := s.base.Get(rel)
	var err error
	switch e.Kind {
	case base.Dir, base.Vault:
		err = s.tree.Rmdir(rel)
	case base.Bulk, base.Attach:
		return nil // the session's own; kept
	default:
		var free bool
		if _, serr := s.base.Staged(rel); errors.Is(serr, unix.ENOENT) || layer.Swapped(serr) {
			break // deleted on both sides
		}
		if free, err = s.base.Free(rel, e); err == nil && !free && e.Kind != base.Denied && e.Kind != base.Closed {
			s.base.Clash(e)
			return nil
		}
		if err == nil {
			err = s.base.TakeOut(rel, e)
		}
	}
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTEMPTY) && !layer.Swapped(err) {
		return err
	}
	s.base.Set(rel, nil)
	s.mu.Lock()
	delete(s.trips, rel)
	s.mu.Unlock()
	return nil
}

// dirTimes gives new directories the times of the real ones.
func (s *Staging) dirTimes(rels []string, sc *survey.Survey) error {
	for i := len(rels) - 1; i >= 0; i-- {
		it, e := sc.Items[rels[i]], s.base.Get(rels[i])
		if e == nil || e.Kind != base.Dir || e.Snap.Ino != 0 {
			continue
		}
		if err := s.tree.Utimes(it.Rel, it.St.Mtim); err != nil {
			continue // the agent has something else there
		}
		if st, err := s.tree.Lstat(it.Rel); err == nil {
			e.Snap = layer.StampOf(&st)
		}
		if it.St.Mode&0o700 != 0o700 && it.St.Mode&0o500 == 0o500 { // one that cannot be read stays ours to read
			s.tree.Chmod(it.Rel, it.St.Mode&0o777)
		}
	}
	return nil
}

func (s *Staging) note(rel, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes = append(s.notes, Note{rel, text})
}
