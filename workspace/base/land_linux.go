package base

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"path"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/workspace/layer"
	"github.com/countersign/countersign/workspace/tree"
)

// Mark moves the base of a path forward to what the real tree holds now: what
// was applied is no longer a change.
func (b *Base) Mark(rel string) error {
	b.found = nil
	st, err := b.Real.Lstat(rel)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		b.Set(rel, nil)
		return nil
	}
	if err != nil {
		return err
	}
	if f := st.Mode & unix.S_IFMT; f != unix.S_IFREG && f != unix.S_IFLNK {
		return nil
	}
	sum, err := b.Real.Sum(rel, st.Mode)
	if err != nil {
		return err
	}
	b.moved(rel, st, sum)
	return nil
}

// moved enters a real file as the base, without a stamp of the staged one: that
// is read next time.
func (b *Base) moved(rel string, st unix.Stat_t, sum [32]byte) {
	ne := entryOf(&st, sum)
	if e := b.Get(rel); e != nil {
		ne.Flags = e.Flags & Ignored
	}
	b.Set(rel, ne)
	for dir := layer.Parent(rel); dir != "" && b.Get(dir) == nil; dir = layer.Parent(dir) {
		if st, err := b.Real.Lstat(dir); err == nil {
			b.Set(dir, &Entry{Kind: Dir, Mode: st.Mode, Real: layer.StampOf(&st)})
		}
	}
}

// Land brings a staged file to what an apply made of it, and its base with it.
// landed is false, and nothing has changed, where the agent has written it since
// the review, or a person the real one since the apply.
func (b *Base) Land(l tree.Landing) (landed bool, err error) {
	b.found = nil
	rel := string(l.Path)
	st, err := b.Real.Lstat(rel)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG && st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return false, nil
	}
	sum, err := b.Real.Sum(rel, st.Mode)
	if err != nil || hex.EncodeToString(sum[:]) != l.Real {
		return false, nil
	}
	was := &Entry{Kind: File}
	if raw, err := hex.DecodeString(l.Was); err != nil || copy(was.Sum[:], raw) != len(was.Sum) {
		return false, nil
	}
	want := sum
	if l.Post != nil {
		want = sha256.Sum256(l.Post)
	}
	here, err := b.Staged(rel)
	if err != nil || here.Mode&unix.S_IFMT != st.Mode&unix.S_IFMT {
		return false, nil
	}
	was.Mode = here.Mode
	got, err := b.Tree.Sum(rel, here.Mode)
	same := err == nil && got == want && (l.Post != nil || layer.GitMode(here.Mode) == layer.GitMode(st.Mode))
	switch _, denied := b.Denied(rel); {
	case same || denied: // a name that is denied now gets its placeholder by the watch
		b.moved(rel, st, sum)
		return true, nil
	case err != nil || got != was.Sum || layer.GitMode(here.Mode) != l.Mode || st.Mode&unix.S_IFMT != unix.S_IFREG:
		return false, nil
	}
	if placed, err := b.putLanding(rel, l, st, was); err != nil || !placed {
		return false, err
	}
	b.moved(rel, st, sum)
	return true, nil
}

// Return moves the base of a path to what an undo is about to leave there, before
// it does: what is taken back then is the agent's change again, and not an edit
// of a person's that the layer follows.
func (b *Base) Return(l tree.Landing) {
	b.found = nil
	ne := &Entry{Kind: File, Mode: unix.S_IFREG | l.Mode&0o777}
	if tree.IsSymlink(l.Mode) {
		ne.Kind, ne.Mode = Link, unix.S_IFLNK|0o777
	}
	if raw, err := hex.DecodeString(l.Was); err != nil || copy(ne.Sum[:], raw) != len(ne.Sum) {
		ne = nil // it was not there
	}
	b.Set(string(l.Path), ne)
}

func (b *Base) putLanding(rel string, l tree.Landing, st unix.Stat_t, was *Entry) (placed bool, err error) {
	at, tmp := b.Room(rel)
	defer at.RemoveAll(tmp)
	ne := &Entry{Kind: File, Mode: st.Mode}
	if l.Post == nil {
		c, err := layer.CopyFile(b.Real, rel, at, tmp, true)
		if err != nil || hex.EncodeToString(c.Sum[:]) != l.Real {
			return false, err
		}
	} else if err := at.WriteNew(tmp, l.Post, was.Mode&0o777); err != nil {
		return false, err
	}
	return b.Put(tmp, rel, ne, was)
}

// Room is where what is put into the staged tree is made first: a name on the
// same file system that nobody else uses.
func (b *Base) Room(rel string) (*layer.Root, string) {
	if b.View != nil {
		return b.View, path.Join(layer.Parent(rel), tree.TempPrefix+layer.TempName())
	}
	return b.Tmp, layer.TempName()
}

// into is the tree to be written. Below a mounted overlay that is not its upper
// directory, which is the kernel's alone then.
func (b *Base) into() (to, tmp *layer.Root) {
	if b.View != nil {
		return b.View, b.View
	}
	return b.Tree, b.Tmp
}

// Staged is Lstat of what the layer has at rel; the mark of a deletion is nothing.
func (b *Base) Staged(rel string) (unix.Stat_t, error) {
	st, err := b.Tree.Lstat(rel)
	if err == nil && b.Overlay && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 {
		err = unix.ENOENT
	}
	return st, err
}

// hiding tells whether the real file at rel would not show if nothing stood in
// the upper directory.
func (b *Base) hiding(rel string) bool {
	for d := layer.Parent(rel); d != ""; d = layer.Parent(d) {
		if b.Tree.IsOpaque(d) {
			return true
		}
	}
	return false
}

// Thin drops from the upper directory of an overlay that is not mounted what
// says nothing any more: a copy that the agent left as its base is, and the mark
// of a deletion where the real tree has nothing. A person's later edits show
// there then. What both changed is settled.
func (b *Base) Thin(ctx context.Context) error {
	for rel, e := range b.All() {
		if e.Kind != File && e.Kind != Link {
			continue
		}
		if _, err := b.Staged(rel); err != nil {
			continue
		}
		free, err := b.Free(rel, e)
		if err != nil {
			return err
		}
		st, lerr := b.Real.Lstat(rel)
		switch f := st.Mode & unix.S_IFMT; {
		case free && b.hiding(rel):
		case free:
			if err := b.Tree.Unlink(rel); err != nil {
				return err
			}
			b.Set(rel, nil)
		case lerr != nil:
			b.Clash(e)
		case e.Real != layer.StampOf(&st) && (f == unix.S_IFREG || f == unix.S_IFLNK):
			if err := b.Settle(&layer.Item{Rel: rel, St: st}, e); err != nil {
				return err
			}
		}
	}
	var mu sync.Mutex
	var marks []string
	err := b.Tree.Walk(ctx, "", func(it layer.Item) bool {
		if it.Format() == unix.S_IFCHR && it.St.Rdev == 0 {
			if _, err := b.Real.Lstat(it.Rel); errors.Is(err, unix.ENOENT) {
				mu.Lock()
				marks = append(marks, it.Rel)
				mu.Unlock()
			}
		}
		return it.Format() == unix.S_IFDIR
	}, nil)
	for _, rel := range marks {
		err = errors.Join(err, b.Tree.Unlink(rel))
	}
	return err
}
