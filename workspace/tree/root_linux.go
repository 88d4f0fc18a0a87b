package tree

import (
	"errors"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Root is a directory below which files are read and written.
type Root struct {
	path string
	dir  *os.File
}

// OpenRoot opens a directory as a root. The directory itself may be reached
// through symlinks: it is the caller's word.
func OpenRoot(dir string) (*Root, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &Root{path: dir, dir: f}, nil
}

// Close releases the root.
func (r *Root) Close() error { return r.dir.Close() }

const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

// openat resolves p below the root (openat2(2)). The kernel answers EAGAIN when
// a rename elsewhere raced with a resolution; that is tried again.
func (r *Root) openat(p string, flags int, perm fs.FileMode) (int, error) {
	how := &unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: resolve}
	if flags&unix.O_CREAT != 0 {
		how.Mode = uint64(perm.Perm())
	}
	for try := 0; ; try++ {
		fd, err := unix.Openat2(int(r.dir.Fd()), p, how)
		if err == nil {
			return fd, nil
		}
		if (err == unix.EAGAIN || err == unix.EINTR) && try < 1000 {
			continue
		}
		return -1, &fs.PathError{Op: "open", Path: p, Err: refused(err)}
	}
}

// refused gives the kernel's two ways of saying "not below here" one name.
func refused(err error) error {
	if err == unix.ELOOP || err == unix.EXDEV || err == unix.EAGAIN {
		return errors.Join(ErrRefused, err)
	}
	return err
}

func (r *Root) openFile(p string, flags int, perm fs.FileMode) (*os.File, error) {
	if err := Check(p); err != nil {
		return nil, err
	}
	if flags&os.O_CREATE == 0 {
		flags |= unix.O_NONBLOCK
	}
	fd, err := r.openat(p, flags|unix.O_NOFOLLOW, perm)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), p), nil
}

// at runs f with the descriptor of p's directory and p's last element, which the
// calls made there never follow.
func (r *Root) at(op, p string, f func(dir int, name string) error) error {
	if err := Check(p); err != nil {
		return err
	}
	fd, err := r.openat(path.Dir(p), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = f(fd, path.Base(p))
	for err == unix.EINTR {
		err = f(fd, path.Base(p))
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: p, Err: err}
	}
	return nil
}

// Lstat describes p itself.
func (r *Root) Lstat(p string) (Info, error) {
	var st unix.Stat_t
	err := r.at("lstat", p, func(dir int, name string) error {
		return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	if err != nil {
		return Info{}, err
	}
	return infoOf(&st), nil
}

// Inode names the inode at p, and nothing of what it holds (statx(2)).
func (r *Root) Inode(p string) (string, error) {
	var sx unix.Statx_t
	err := r.at("statx", p, func(dir int, name string) error {
		return unix.Statx(dir, name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_INO|unix.STATX_BTIME, &sx)
	})
	if err != nil {
		return "", err
	}
	born := int64(0)
	if sx.Mask&unix.STATX_BTIME != 0 {
		born = sx.Btime.Sec*1e9 + int64(sx.Btime.Nsec)
	}
	return InodeName(sx.Ino, born), nil
}

// LstatRoot describes the root itself.
func (r *Root) LstatRoot() (Info, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(r.dir.Fd()), &st); err != nil {
		return Info{}, &fs.PathError{Op: "stat", Path: r.path, Err: err}
	}
	return infoOf(&st), nil
}

func infoOf(st *unix.Stat_t) Info {
	return Info{Mode: fileMode(st.Mode), Size: st.Size, Dev: st.Dev, Ino: st.Ino, Nlink: uint64(st.Nlink), UID: int(st.Uid), GID: int(st.Gid)}
}

func fileMode(m uint32) fs.FileMode {
	out := fs.FileMode(m & 0o777)
	switch m & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		out |= fs.ModeDir
	case unix.S_IFLNK:
		out |= fs.ModeSymlink
	case unix.S_IFIFO:
		out |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		out |= fs.ModeSocket
	default:
		out |= fs.ModeDevice
	}
	if m&unix.S_ISUID != 0 {
		out |= fs.ModeSetuid
	}
	if m&unix.S_ISGID != 0 {
		out |= fs.ModeSetgid
	}
	if m&unix.S_ISVTX != 0 {
		out |= fs.ModeSticky
	}
	return out
}

// Readlink returns the target of a symlink.
func (r *Root) Readlink(p string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n := 0
	err := r.at("readlink", p, func(dir int, name string) (err error) {
		n, err = unix.Readlinkat(dir, name, buf)
		return err
	})
	return string(buf[:max(n, 0)]), err
}

// Symlink makes a symlink at p; it is an error if anything is there.
func (r *Root) Symlink(target, p string) error {
	return r.at("symlink", p, func(dir int, name string) error { return unix.Symlinkat(target, dir, name) })
}

// Mkdir makes one directory.
func (r *Root) Mkdir(p string, perm fs.FileMode) error {
	return r.at("mkdir", p, func(dir int, name string) error { return unix.Mkdirat(dir, name, uint32(perm.Perm())) })
}

// Remove removes a file or symlink, never a directory.
func (r *Root) Remove(p string) error {
	return r.at("remove", p, func(dir int, name string) error { return unix.Unlinkat(dir, name, 0) })
}

// Rmdir removes an empty directory.
func (r *Root) Rmdir(p string) error {
	return r.at("rmdir", p, func(dir int, name string) error { return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR) })
}

// Chmod sets the permission bits of a regular file, and no others.
func (r *Root) Chmod(p string, perm fs.FileMode) error {
	f, err := r.Open(p)
	if errors.Is(err, fs.ErrPermission) {
		f, err = r.openFile(p, os.O_WRONLY, 0)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Chmod(perm.Perm())
}

// ChmodDir sets the permission bits of a directory.
func (r *Root) ChmodDir(p string, perm fs.FileMode) error {
	fd, err := r.openat(p, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fchmod(fd, uint32(perm.Perm()))
}

// Chown gives a file to a user and group, without following a symlink.
func (r *Root) Chown(p string, uid, gid int) error {
	return r.at("chown", p, func(dir int, name string) error {
		return unix.Fchownat(dir, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// Rename moves old to new, replacing what is there.
func (r *Root) Rename(old, new string) error { return r.rename(old, new, 0) }

// RenameNoReplace moves old to new; it is fs.ErrExist if anything is there.
func (r *Root) RenameNoReplace(old, new string) error {
	return r.rename(old, new, unix.RENAME_NOREPLACE)
}

// Exchange swaps two paths in one step. A file system that cannot is
// errors.ErrUnsupported.
func (r *Root) Exchange(a, b string) error { return r.rename(a, b, unix.RENAME_EXCHANGE) }

func (r *Root) rename(old, new string, flags uint) error {
	return r.at("rename", old, func(od int, on string) error {
		return r.at("rename", new, func(nd int, nn string) error {
			err := unix.Renameat2(od, on, nd, nn, flags)
			if err == unix.EINVAL || err == unix.ENOSYS {
				return errors.Join(errors.ErrUnsupported, err)
			}
			return err
		})
	})
}

// SyncDir flushes a directory's entries to the disk.
func (r *Root) SyncDir(p string) error {
	fd, err := r.openat(p, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Fsync(fd); err != nil {
		return &fs.PathError{Op: "sync", Path: p, Err: err}
	}
	return nil
}

// ReadDir lists a directory, "." for the root.
func (r *Root) ReadDir(p string) ([]fs.DirEntry, error) {
	fd, err := r.openat(p, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), p)
	defer f.Close()
	return f.ReadDir(-1)
}
