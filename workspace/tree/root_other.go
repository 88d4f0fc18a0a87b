//go:build !linux

package tree

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"
)

// Root is a directory below which files are read and written. On this system it
// stands on os.Root: nothing leaves the directory, but that no symlink inside it
// is followed is checked before the call and not by the kernel within it.
type Root struct {
	path string
	dir  *os.Root
}

// OpenRoot opens a directory as a root.
func OpenRoot(dir string) (*Root, error) {
	d, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Root{path: dir, dir: d}, nil
}

// Close releases the root.
func (r *Root) Close() error { return r.dir.Close() }

// plain refuses a path with a symlink among its directories.
func (r *Root) plain(p string) error {
	if err := Check(p); err != nil {
		return err
	}
	parts := strings.Split(p, "/")
	for i := 1; i < len(parts); i++ {
		d := path.Join(parts[:i]...)
		st, err := r.dir.Lstat(d)
		if err != nil {
			return err
		}
		if st.Mode()&fs.ModeSymlink != 0 {
			return &fs.PathError{Op: "open", Path: p, Err: ErrRefused}
		}
	}
	return nil
}

func (r *Root) openFile(p string, flags int, perm fs.FileMode) (*os.File, error) {
	if err := r.plain(p); err != nil {
		return nil, err
	}
	if flags&os.O_CREATE == 0 {
		st, err := r.dir.Lstat(p)
		if err != nil {
			return nil, err
		}
		if st.Mode()&fs.ModeSymlink != 0 {
			return nil, &fs.PathError{Op: "open", Path: p, Err: ErrRefused}
		}
		if !st.Mode().IsRegular() {
			return nil, &fs.PathError{Op: "open", Path: p, Err: ErrKind}
		}
	}
	return r.dir.OpenFile(p, flags, perm)
}

// Lstat describes p itself.
func (r *Root) Lstat(p string) (Info, error) {
	if err := r.plain(p); err != nil {
		return Info{}, err
	}
	st, err := r.dir.Lstat(p)
	if err != nil {
		return Info{}, err
	}
	return Info{Mode: st.Mode(), Size: st.Size(), Nlink: 1, UID: -1, GID: -1}, nil
}

// LstatRoot describes the root itself.
func (r *Root) LstatRoot() (Info, error) {
	st, err := r.dir.Lstat(".")
	if err != nil {
		return Info{}, err
	}
	return Info{Mode: st.Mode(), Nlink: 1, UID: -1, GID: -1}, nil
}

// ChmodDir sets the permission bits of a directory.
func (r *Root) ChmodDir(p string, perm fs.FileMode) error {
	if err := r.plain(p); err != nil {
		return err
	}
	return r.dir.Chmod(p, perm.Perm())
}

// Readlink returns the target of a symlink.
func (r *Root) Readlink(p string) (string, error) {
	if err := r.plain(p); err != nil {
		return "", err
	}
	return r.dir.Readlink(p)
}

// Symlink makes a symlink at p; it is an error if anything is there.
func (r *Root) Symlink(target, p string) error {
	if err := r.plain(p); err != nil {
		return err
	}
	return r.dir.Symlink(target, p)
}

// Mkdir makes one directory.
func (r *Root) Mkdir(p string, perm fs.FileMode) error {
	if err := r.plain(p); err != nil {
		return err
	}
	return r.dir.Mkdir(p, perm)
}

// Remove removes a file or symlink, never a directory.
func (r *Root) Remove(p string) error {
	info, err := r.Lstat(p)
	if err != nil {
		return err
	}
	if info.Mode.IsDir() {
		return &fs.PathError{Op: "remove", Path: p, Err: ErrKind}
	}
	return r.dir.Remove(p)
}

// Rmdir removes an empty directory.
func (r *Root) Rmdir(p string) error {
	info, err := r.Lstat(p)
	if err != nil {
		return err
	}
	if !info.Mode.IsDir() {
		return &fs.PathError{Op: "rmdir", Path: p, Err: ErrKind}
	}
	return r.dir.Remove(p)
}

// Chmod sets the permission bits of a regular file, and no others.
func (r *Root) Chmod(p string, perm fs.FileMode) error {
	f, err := r.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Chmod(perm.Perm())
}

// Chown does nothing on this system.
func (r *Root) Chown(string, int, int) error { return nil }

// Rename moves old to new, replacing what is there.
func (r *Root) Rename(old, new string) error {
	if err := r.plain(old); err != nil {
		return err
	}
	if err := r.plain(new); err != nil {
		return err
	}
	return r.dir.Rename(old, new)
}

// RenameNoReplace moves old to new; it is fs.ErrExist if anything is there. On
// this system the look and the move are two steps.
func (r *Root) RenameNoReplace(old, new string) error {
	if _, err := r.Lstat(new); err == nil {
		return &fs.PathError{Op: "rename", Path: new, Err: fs.ErrExist}
	}
	return r.Rename(old, new)
}

// Inode is not to be had on this system.
func (r *Root) Inode(p string) (string, error) {
	return "", &fs.PathError{Op: "stat", Path: p, Err: errors.ErrUnsupported}
}

// Exchange is not to be had on this system.
func (r *Root) Exchange(a, _ string) error {
	return &fs.PathError{Op: "exchange", Path: a, Err: errors.ErrUnsupported}
}

// SyncDir flushes a directory's entries to the disk, where the system can.
func (r *Root) SyncDir(p string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := r.dir.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// ReadDir lists a directory, "." for the root.
func (r *Root) ReadDir(p string) ([]fs.DirEntry, error) {
	if p != "." {
		if err := r.plain(p); err != nil {
			return nil, err
		}
	}
	f, err := r.dir.Open(p)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}
