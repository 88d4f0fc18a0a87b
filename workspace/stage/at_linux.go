package stage

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

// root is a directory below which paths are resolved without leaving it and
// without following any symbolic link.
type root struct {
	fd   int
	path string
}

func openRoot(dir string) (*root, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return &root{fd, dir}, nil
}

func (r *root) Close() { unix.Close(r.fd) }

func (r *root) err(op, rel string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path.Join(r.path, rel), Err: err}
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

// dir opens a directory as a starting point. A path longer than PATH_MAX is
// walked in pieces.
func (r *root) dir(rel string) (int, error) {
	if rel == "" || rel == "." {
		return unix.FcntlInt(uintptr(r.fd), unix.F_DUPFD_CLOEXEC, 0)
	}
	at, own := r.fd, false
	for rel != "" {
		piece := rel
		rel = ""
		if len(piece) > 4000 {
			cut := strings.LastIndexByte(piece[:4000], '/')
			piece, rel = piece[:cut], piece[cut+1:]
		}
		fd, err := openat2(at, piece, unix.O_PATH|unix.O_DIRECTORY, 0)
		if own {
			unix.Close(at)
		}
		if err != nil {
			return -1, err
		}
		at, own = fd, true
	}
	return at, nil
}

// in calls f with the directory of rel and its last element.
func (r *root) in(op, rel string, f func(at int, name string) error) error {
	d, name := path.Split(rel)
	at, err := r.dir(strings.TrimSuffix(d, "/"))
	if err != nil {
		return r.err(op, rel, err)
	}
	defer unix.Close(at)
	return r.err(op, rel, f(at, name))
}

func (r *root) lstat(rel string) (st unix.Stat_t, err error) {
	if rel == "" {
		return st, unix.Fstat(r.fd, &st)
	}
	err = r.in("lstat", rel, func(at int, name string) error {
		return unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	return st, err
}

func (r *root) open(rel string, flags int, perm uint32) (f *os.File, err error) {
	err = r.in("open", rel, func(at int, name string) error {
		fd, err := openat2(at, name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, perm)
		if err == nil {
			f = os.NewFile(uintptr(fd), path.Join(r.path, rel))
		}
		return err
	})
	return f, err
}

// openRegular opens a file for reading and refuses anything but a regular one.
func (r *root) openRegular(rel string) (*os.File, unix.Stat_t, error) {
	var st unix.Stat_t
	f, err := r.open(rel, unix.O_RDONLY, 0)
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

func (r *root) readlink(rel string) (to string, err error) {
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

func (r *root) mkdir(rel string, perm uint32) error {
	return r.in("mkdir", rel, func(at int, name string) error { return unix.Mkdirat(at, name, perm) })
}

// mkdirAll makes rel and what is missing above it.
func (r *root) mkdirAll(rel string, perm uint32) error {
	if rel == "" || rel == "." {
		return nil
	}
	err := r.mkdir(rel, perm)
	if errors.Is(err, unix.ENOENT) {
		if err = r.mkdirAll(parent(rel), 0o755); err == nil {
			err = r.mkdir(rel, perm)
		}
	}
	if errors.Is(err, unix.EEXIST) {
		st, lerr := r.lstat(rel)
		if lerr == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			return nil
		}
	}
	return err
}

func (r *root) symlink(to, rel string) error {
	return r.in("symlink", rel, func(at int, name string) error { return unix.Symlinkat(to, at, name) })
}

func (r *root) unlink(rel string) error {
	return r.in("unlink", rel, func(at int, name string) error { return unix.Unlinkat(at, name, 0) })
}

func (r *root) rmdir(rel string) error {
	return r.in("rmdir", rel, func(at int, name string) error { return unix.Unlinkat(at, name, unix.AT_REMOVEDIR) })
}

func (r *root) chmod(rel string, perm uint32) error {
	return r.in("chmod", rel, func(at int, name string) error {
		fd, err := openat2(at, name, unix.O_PATH, 0) // fails on a symbolic link
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Fchmodat(unix.AT_FDCWD, procFD(fd), perm, 0)
	})
}

func (r *root) utimes(rel string, mtime unix.Timespec) error {
	return r.in("utimes", rel, func(at int, name string) error {
		return unix.UtimesNanoAt(at, name, []unix.Timespec{mtime, mtime}, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// rename moves from below r to a path below to, replacing what is there.
func (r *root) rename(from string, to *root, rel string) error { return r.renameat(from, to, rel, 0) }

// renameat takes the flags of renameat2(2).
func (r *root) renameat(from string, to *root, rel string, flags uint) error {
	return r.in("rename", from, func(at int, name string) error {
		return to.in("rename", rel, func(at2 int, name2 string) error { return unix.Renameat2(at, name, at2, name2, flags) })
	})
}

func (r *root) link(from string, to *root, rel string) error {
	return r.in("link", from, func(at int, name string) error {
		return to.in("link", rel, func(at2 int, name2 string) error { return unix.Linkat(at, name, at2, name2, 0) })
	})
}

// names reads a directory.
func (r *root) names(rel string) ([]fs.DirEntry, error) {
	at, err := r.dir(rel)
	if err != nil {
		return nil, r.err("readdir", rel, err)
	}
	defer unix.Close(at)
	fd, err := openat2(at, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, r.err("readdir", rel, err)
	}
	f := os.NewFile(uintptr(fd), path.Join(r.path, rel))
	defer f.Close()
	return f.ReadDir(-1)
}

// removeAll removes rel and what is below it, through no link.
func (r *root) removeAll(rel string) error {
	err := r.unlink(rel)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return err
	}
	r.chmod(rel, 0o700) // a directory its owner may not write; the removal below tells
	all, err := r.names(rel)
	if err != nil {
		return err
	}
	for _, e := range all {
		if err := r.removeAll(path.Join(rel, e.Name())); err != nil {
			return err
		}
	}
	return r.rmdir(rel)
}

func procFD(fd int) string { return "/proc/self/fd/" + itoa(fd) }

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

func parent(rel string) string {
	d := path.Dir(rel)
	if d == "." {
		return ""
	}
	return d
}

// tempName is a name nobody else uses.
func tempName() string {
	var b [12]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}
