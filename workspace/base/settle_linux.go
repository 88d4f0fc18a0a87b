package base

import (
	"bytes"
	"crypto/sha256"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/diff"
	"github.com/countersign/countersign/workspace/layer"
)

// Put renames what was made in tmp over the staged path, as an editor's
// save would, so that watchers inside see it. An agent that changes the path at
// this very moment loses nothing: the two are exchanged, and exchanged back if
// what came out is not the base. placed tells whether it was done.
func (b *Base) Put(tmp, rel string, ne, was *Entry) (placed bool, err error) {
	to, from := b.into()
	defer from.RemoveAll(tmp)
	if was == nil || was.Kind == Dir {
		if was != nil { // free() has found no work of the agent in it
			if err := to.RemoveAll(rel); err != nil {
				return false, err
			}
		}
		err = from.RenameFlags(tmp, to, rel, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.ENOENT) {
			if err = to.MkdirAll(layer.Parent(rel), 0o755); err == nil {
				err = from.RenameFlags(tmp, to, rel, unix.RENAME_NOREPLACE)
			}
		}
	} else {
		err = from.RenameFlags(tmp, to, rel, unix.RENAME_EXCHANGE)
		if err == nil && !cameOut(from, tmp, was) {
			return false, from.RenameFlags(tmp, to, rel, unix.RENAME_EXCHANGE)
		}
	}
	if errors.Is(err, unix.ENOENT) || layer.Swapped(err) {
		return false, nil // the agent has just changed it
	}
	if err != nil {
		return false, err
	}
	st, err := b.Tree.Lstat(rel) // the rename changed the ctime
	if err == nil && st.Ino == ne.Snap.Ino {
		ne.Snap = layer.StampOf(&st)
	}
	return err == nil, err
}

// TakeOut removes an untouched file. If it was touched at this very moment it
// is put back.
func (b *Base) TakeOut(rel string, e *Entry) error {
	to, _ := b.into()
	if e.Kind == Denied || e.Kind == Closed {
		return to.Unlink(rel)
	}
	from, tmp := b.Room(rel)
	if err := to.Rename(rel, from, tmp); err != nil {
		return err
	}
	if cameOut(from, tmp, e) {
		return from.Unlink(tmp)
	}
	return from.RenameFlags(tmp, to, rel, unix.RENAME_NOREPLACE)
}

// cameOut tells whether what was taken out of the tree is the base.
func cameOut(from *layer.Root, tmp string, was *Entry) bool {
	st, err := from.Lstat(tmp)
	if err != nil {
		return false
	}
	if st.Ino == was.Snap.Ino && st.Size == was.Snap.Size && st.Mtim.Nano() == was.Snap.MTime {
		return true
	}
	sum, err := from.Sum(tmp, st.Mode)
	return err == nil && sum == was.Sum && layer.GitMode(st.Mode) == layer.GitMode(was.Mode)
}

// Settle is called where both sides changed a path. If they agree there is none.
func (b *Base) Settle(it *layer.Item, e *Entry) error {
	st, err := b.Tree.Lstat(it.Rel)
	if err == nil && st.Mode&unix.S_IFMT == it.Format() && layer.GitMode(st.Mode) == layer.GitMode(it.St.Mode) {
		theirs, err1 := b.Tree.Sum(it.Rel, st.Mode)
		mine, err2 := b.Real.Sum(it.Rel, it.St.Mode)
		if err1 == nil && err2 == nil && mine == theirs {
			k := File
			if it.Format() == unix.S_IFLNK {
				k = Link
			}
			ne := &Entry{Kind: k, Mode: it.St.Mode, Real: layer.StampOf(&it.St), Snap: layer.StampOf(&st), Sum: mine}
			if e != nil {
				ne.Flags = e.Flags &^ Conflict
			}
			b.Set(it.Rel, ne)
			return nil
		}
	}
	if e != nil && b.contained(it, e) {
		return nil
	}
	if e != nil && e.Flags&Ignored == 0 {
		b.Clash(e)
	}
	return nil
}

// mergeable bounds the files whose sides are compared line by line.
const mergeable = 4 << 20

// contained tells whether all that changed on the real side is in the staged
// file as well, as after an apply of some of its hunks: then the real file is
// the new base and nothing is in conflict.
func (b *Base) contained(it *layer.Item, e *Entry) bool {
	st, err := b.Tree.Lstat(it.Rel)
	if err != nil || e.Kind != File || it.Format() != unix.S_IFREG || st.Mode&unix.S_IFMT != unix.S_IFREG || max(st.Size, it.St.Size, e.Real.Size) > mergeable {
		return false
	}
	old, err := b.Bytes(it.Rel)
	if err != nil {
		return false
	}
	theirs, err1 := b.Tree.ReadFile(it.Rel)
	mine, err2 := b.Real.ReadFile(it.Rel)
	if err1 != nil || err2 != nil {
		return false
	}
	merged, conflicts := diff.Merge3(old, theirs, mine)
	if len(conflicts) > 0 || !bytes.Equal(merged, theirs) {
		return false
	}
	b.Set(it.Rel, &Entry{Kind: File, Flags: e.Flags &^ Conflict, Mode: it.St.Mode, Real: layer.StampOf(&it.St), Sum: sha256.Sum256(mine)})
	return true
}
