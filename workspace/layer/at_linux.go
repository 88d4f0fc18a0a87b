package layer

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Root is a directory below which paths are resolved without leaving it and
// without following any symbolic link.
type Root struct {
	fd   int
	Path string
}

// Open takes a directory as a root.
func Open(dir string) (*Root, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return &Root{fd: fd, Path: dir}, nil
}

// Close gives the directory back.
func (r *Root) Close() { unix.Close(r.fd) }

func (r *Root) err(op, rel string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path.Join(r.Path, rel), Err: err}
}

const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

func openat2(at int, name string, flags int, perm uint32) (int, error) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Mode: uint64(perm), Resolve: resolve}
	for {
		fd, err := unix.Openat2(at, name, &how)
		if err != unix.EINTR && err != unix.EAGAIN { // EAGAIN: a rename raced with the walk
			return fd, err
		}
	}
}

// dir opens a directory as a starting point.
func (r *Root) dir(rel string) (int, error) {
	if rel == "" || rel == "." {
		return unix.FcntlInt(uintptr(r.fd), unix.F_DUPFD_CLOEXEC, 0)
	}
	return openDir(r.fd, rel, unix.O_PATH)
}

// openDir opens a directory below at. A path longer than PATH_MAX is walked in
// pieces.
func openDir(at int, rel string, flags int) (int, error) {
	own := false
	for {
		piece, rest, how := rel, "", flags
		if len(piece) > 4000 {
			cut := strings.LastIndexByte(piece[:4000], '/')
			piece, rest, how = piece[:cut], piece[cut+1:], unix.O_PATH
		}
		fd, err := openat2(at, piece, how|unix.O_DIRECTORY, 0)
		if own {
			unix.Close(at)
		}
		if err != nil || rest == "" {
			return fd, err
		}
		at, own, rel = fd, true, rest
	}
}

// in calls f with the directory of rel and its last element.
func (r *Root) in(op, rel string, f func(at int, name string) error) error {
	d, name := path.Split(rel)
	at, err := r.dir(strings.TrimSuffix(d, "/"))
	if err != nil {
		return r.err(op, rel, err)
	}
	defer unix.Close(at)
	return r.err(op, rel, f(at, name))
}

// Lstat is lstat(2); "" is the root itself.
func (r *Root) Lstat(rel string) (st unix.Stat_t, err error) {
	if rel == "" {
		return st, unix.Fstat(r.fd, &st)
	}
	err = r.in("lstat", rel, func(at int, name string) error {
		return unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	return st, err
}

// Open is open(2) of anything but a symbolic link, and waits for no other side.
func (r *Root) Open(rel string, flags int, perm uint32) (f *os.File, err error) {
	err = r.in("open", rel, func(at int, name string) error {
		fd, err := openat2(at, name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, perm)
		if err == nil {
			f = os.NewFile(uintptr(fd), path.Join(r.Path, rel))
		}
		return err
	})
	return f, err
}

// OpenRegular opens a file for reading and refuses anything but a regular one.
func (r *Root) OpenRegular(rel string) (*os.File, unix.Stat_t, error) {
	var st unix.Stat_t
	f, err := r.Open(rel, unix.O_RDONLY, 0)
	if err != nil {
		return nil, st, err
	}
	if err = unix.Fstat(int(f.Fd()), &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = unix.EINVAL
	}
	if err != nil {
		f.Close()
		return nil, st, r.err("open", rel, err)
	}
	return f, st, nil
}

// Readlink reads where a symbolic link leads.
func (r *Root) Readlink(rel string) (to string, err error) {
	err = r.in("readlink", rel, func(at int, name string) error {
		for size := 256; ; size *= 4 {
			b := make([]byte, size)
			n, err := unix.Readlinkat(at, name, b)
			if err != nil {
				return err
			}
			if n < size {
				to = string(b[:n])
				return nil
			}
		}
	})
	return to, err
}

// Mkdir is mkdir(2).
func (r *Root) Mkdir(rel string, perm uint32) error {
	return r.in("mkdir", rel, func(at int, name string) error { return unix.Mkdirat(at, name, perm) })
}

// MkdirAll makes rel and what is missing above it.
func (r *Root) MkdirAll(rel string, perm uint32) error {
	if rel == "" || rel == "." {
		return nil
	}
	err := r.Mkdir(rel, perm)
	if errors.Is(err, unix.ENOENT) {
		if err = r.MkdirAll(Parent(rel), 0o755); err == nil {
			err = r.Mkdir(rel, perm)
		}
	}
	if errors.Is(err, unix.EEXIST) {
		st, lerr := r.Lstat(rel)
		if lerr == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			return nil
		}
	}
	return err
}

// Symlink makes a symbolic link at rel.
func (r *Root) Symlink(to, rel string) error {
	return r.in("symlink", rel, func(at int, name string) error { return unix.Symlinkat(to, at, name) })
}

// Unlink removes what is no directory.
func (r *Root) Unlink(rel string) error {
	return r.in("unlink", rel, func(at int, name string) error { return unix.Unlinkat(at, name, 0) })
}

// Rmdir removes an empty directory.
func (r *Root) Rmdir(rel string) error {
	return r.in("rmdir", rel, func(at int, name string) error { return unix.Unlinkat(at, name, unix.AT_REMOVEDIR) })
}

// Chmod changes the permission of anything but a symbolic link.
func (r *Root) Chmod(rel string, perm uint32) error {
	return r.in("chmod", rel, func(at int, name string) error {
		fd, err := openat2(at, name, unix.O_PATH, 0) // fails on a symbolic link
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Fchmodat(unix.AT_FDCWD, procFD(fd), perm, 0)
	})
}

// Utimes sets both times, of a symbolic link its own.
func (r *Root) Utimes(rel string, mtime unix.Timespec) error {
	return r.in("utimes", rel, func(at int, name string) error {
		return unix.UtimesNanoAt(at, name, []unix.Timespec{mtime, mtime}, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// Rename moves from below r to a path below to, replacing what is there.
func (r *Root) Rename(from string, to *Root, rel string) error {
	return r.RenameFlags(from, to, rel, 0)
}

// RenameFlags takes the flags of renameat2(2).
func (r *Root) RenameFlags(from string, to *Root, rel string, flags uint) error {
	return r.in("rename", from, func(at int, name string) error {
		return to.in("rename", rel, func(at2 int, name2 string) error { return unix.Renameat2(at, name, at2, name2, flags) })
	})
}

// Link makes another name of a file below to.
func (r *Root) Link(from string, to *Root, rel string) error {
	return r.in("link", from, func(at int, name string) error {
		return to.in("link", rel, func(at2 int, name2 string) error { return unix.Linkat(at, name, at2, name2, 0) })
	})
}

// Names reads a directory.
func (r *Root) Names(rel string) ([]fs.DirEntry, error) {
	at, err := r.dir(rel)
	if err != nil {
		return nil, r.err("readdir", rel, err)
	}
	defer unix.Close(at)
	fd, err := openat2(at, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, r.err("readdir", rel, err)
	}
	f := os.NewFile(uintptr(fd), path.Join(r.Path, rel))
	defer f.Close()
	return f.ReadDir(-1)
}

func procFD(fd int) string { return "/proc/self/fd/" + itoa(fd) }

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

// Parent is the directory of rel, "" at the root.
func Parent(rel string) string {
	d := path.Dir(rel)
	if d == "." {
		return ""
	}
	return d
}

// TempName is a name nobody else uses.
func TempName() string {
	var b [12]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// Swapped tells whether an error means that something else than was expected
// stands at a path, or at one above it.
func Swapped(err error) bool {
	return errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}
