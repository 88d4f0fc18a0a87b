package layer

import (
	"errors"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// RemoveAll removes rel and what is below it, through no link.
func (r *Root) RemoveAll(rel string) error {
	err := r.Unlink(rel)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return err
	}
	r.Chmod(rel, 0o700) // a directory its owner may not write; the removal below tells
	all, err := r.Names(rel)
	if err != nil {
		return err
	}
	for _, e := range all {
		if err := r.RemoveAll(path.Join(rel, e.Name())); err != nil {
			return err
		}
	}
	return r.Rmdir(rel)
}

// Remove removes a directory by its path, as RemoveAll does: unlike os.RemoveAll
// also one that its owner may not write, as the work directory that the kernel
// leaves of an overlay.
func Remove(dir string) error {
	r, err := Open(filepath.Dir(dir))
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer r.Close()
	return r.RemoveAll(filepath.Base(dir))
}
