package stage

import (
	"bytes"
	"crypto/sha256"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/diff"
	"github.com/countersign/countersign/workspace/base"
	"github.com/countersign/countersign/workspace/layer"
)

// putInPlace renames what was made in tmp over the staged path, as an editor's
// save would, so that watchers inside see it. An agent that changes the path at
// this very moment loses nothing: the two are exchanged, and exchanged back if
// what came out is not the base. placed tells whether it was done.
func (s *Staging) putInPlace(tmp, rel string, ne, was *base.Entry) (placed bool, err error) {
	defer s.tmp.RemoveAll(tmp)
	if was == nil || was.Kind == base.Dir {
		if was != nil { // free() has found no work of the agent in it
			if err := s.tree.RemoveAll(rel); err != nil {
				return false, err
			}
		}
		err = s.tmp.RenameFlags(tmp, s.tree, rel, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.ENOENT) {
			if err = s.tree.MkdirAll(layer.Parent(rel), 0o755); err == nil {
				err = s.tmp.RenameFlags(tmp, s.tree, rel, unix.RENAME_NOREPLACE)
			}
		}
	} else {
		err = s.tmp.RenameFlags(tmp, s.tree, rel, unix.RENAME_EXCHANGE)
		if err == nil && !s.cameOut(tmp, was) {
			return false, s.tmp.RenameFlags(tmp, s.tree, rel, unix.RENAME_EXCHANGE)
		}
	}
	if errors.Is(err, unix.ENOENT) || layer.Swapped(err) {
		return false, nil // the agent has just changed it
	}
	if err != nil {
		return false, err
	}
	st, err := s.tree.Lstat(rel) // the rename changed the ctime
	if err == nil && st.Ino == ne.Snap.Ino {
		ne.Snap = layer.StampOf(&st)
	}
	return err == nil, err
}

// cameOut tells whether what was taken out of the tree is the base.
func (s *Staging) cameOut(tmp string, was *base.Entry) bool {
	st, err := s.tmp.Lstat(tmp)
	if err != nil {
		return false
	}
	if st.Ino == was.Snap.Ino && st.Size == was.Snap.Size && st.Mtim.Nano() == was.Snap.MTime {
		return true
	}
	sum, err := s.tmp.Sum(tmp, st.Mode)
	return err == nil && sum == was.Sum && layer.GitMode(st.Mode) == layer.GitMode(was.Mode)
}

// clash is called where both sides changed a path. If they agree there is none.
func (s *Staging) clash(it *layer.Item, e *base.Entry) error {
	st, err := s.tree.Lstat(it.Rel)
	if err == nil && st.Mode&unix.S_IFMT == it.Format() && layer.GitMode(st.Mode) == layer.GitMode(it.St.Mode) {
		theirs, err1 := s.tree.Sum(it.Rel, st.Mode)
		mine, err2 := s.real.Sum(it.Rel, it.St.Mode)
		if err1 == nil && err2 == nil && mine == theirs {
			k := base.File
			if it.Format() == unix.S_IFLNK {
				k = base.Link
			}
			ne := &base.Entry{Kind: k, Mode: it.St.Mode, Real: layer.StampOf(&it.St), Snap: layer.StampOf(&st), Sum: mine}
			if e != nil {
				ne.Flags = e.Flags &^ base.Conflict
			}
			s.base.Set(it.Rel, ne)
			return nil
		}
	}
	if e != nil && s.contained(it, e) {
		return nil
	}
	if e != nil && e.Flags&base.Ignored == 0 {
		s.base.Clash(e)
	}
	return nil
}

// mergeable bounds the files whose sides are compared line by line.
const mergeable = 4 << 20

// contained tells whether all that changed on the real side is in the staged
// file as well, as after an apply of some of its hunks: then the real file is
// the new base and nothing is in conflict.
func (s *Staging) contained(it *layer.Item, e *base.Entry) bool {
	st, err := s.tree.Lstat(it.Rel)
	if err != nil || e.Kind != base.File || it.Format() != unix.S_IFREG || st.Mode&unix.S_IFMT != unix.S_IFREG || max(st.Size, it.St.Size, e.Real.Size) > mergeable {
		return false
	}
	old, err := s.BaseBytes(it.Rel)
	if err != nil {
		return false
	}
	theirs, err1 := s.tree.ReadFile(it.Rel)
	mine, err2 := s.real.ReadFile(it.Rel)
	if err1 != nil || err2 != nil {
		return false
	}
	merged, conflicts := diff.Merge3(old, theirs, mine)
	if len(conflicts) > 0 || !bytes.Equal(merged, theirs) {
		return false
	}
	s.base.Set(it.Rel, &base.Entry{Kind: base.File, Flags: e.Flags &^ base.Conflict, Mode: it.St.Mode, Real: layer.StampOf(&it.St), Sum: sha256.Sum256(mine)})
	return true
}
