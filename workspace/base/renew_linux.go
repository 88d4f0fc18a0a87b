package base

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/workspace/layer"
)

// Renew sees to it that a mounted overlay shows what the real tree has at a path
// that its upper directory has not: the kernel goes on showing what it had looked
// up there before a person replaced or removed it. Such a file is copied in, one
// that is gone is hidden.
func (b *Base) Renew(rel string, ignored bool) error {
	_, denied := b.Denied(rel)
	if e := b.Get(rel); b.View == nil || denied || e != nil && e.Kind != File && e.Kind != Link {
		return nil
	}
	if _, err := b.Tree.Lstat(rel); err == nil {
		return nil
	}
	if _, err := b.View.Lstat(layer.Parent(rel)); err != nil {
		return nil // a directory that the kernel does not show yet
	}
	st, err := b.Real.Lstat(rel)
	shown, serr := b.View.Lstat(rel)
	switch f := st.Mode & unix.S_IFMT; {
	case errors.Is(err, unix.ENOENT) && serr == nil && shown.Mode&unix.S_IFMT != unix.S_IFDIR:
		return b.View.Unlink(rel)
	case err != nil || f != unix.S_IFREG || serr != nil && !errors.Is(serr, unix.ENOENT):
		return nil
	case serr == nil && shown.Size == st.Size && shown.Mtim == st.Mtim:
		return nil
	}
	var was *Entry
	if serr == nil {
		if shown.Mode&unix.S_IFMT != unix.S_IFREG {
			return nil
		}
		was = &Entry{Kind: File, Mode: shown.Mode}
		if was.Sum, err = b.View.Sum(rel, shown.Mode); err != nil {
			return err
		}
	}
	at, tmp := b.Room(rel)
	c, err := layer.CopyFile(b.Real, rel, at, tmp, true)
	if err != nil {
		return err
	}
	ne := &Entry{Kind: File, Mode: c.Mode, Real: c.Real, Snap: c.Snap, Sum: c.Sum}
	if ignored {
		ne.Flags = Ignored
	}
	placed, err := b.Put(tmp, rel, ne, was)
	if err != nil || !placed {
		return err
	}
	b.Set(rel, ne)
	return nil
}
