// Package asseen resolves paths as another process sees them: in its root, with
// its /proc, keeping every hop. It opens with O_PATH only.
package asseen

import (
	"path"
	"strconv"
	"strings"

	"github.com/countersign/countersign/internal/procstat"
	"golang.org/x/sys/unix"
)

const maxLinks = 40 // MAXSYMLINKS of include/linux/namei.h

// Place is a file found for a process: an O_PATH descriptor, and how its name led there.
type Place struct {
	FD   int
	Real string   // path without symlinks, as seen inside
	Hops []string // from the name that was given to real, both included
}

// Close closes the descriptor.
func (p *Place) Close() {
	if p.FD >= 0 {
		unix.Close(p.FD)
		p.FD = -1
	}
}

// Resolve finds an absolute path in the root directory, as the thread tid of the
// process tgid would. The caller closes it.
func Resolve(root, tgid, tid int, name string, follow bool) (Place, unix.Errno) {
	real := path.Clean(name)
	p, errno := direct(root, name)
	switch errno {
	case 0:
		p.Real, p.Hops = real, []string{real}
		return p, 0
	case unix.ELOOP, unix.EAGAIN:
	default:
		return p, errno
	}
	w := walk{tgid: tgid, tid: tid, root: root, fd: -1, follow: follow}
	defer w.drop()
	return w.run(name)
}

// Direct finds a file whose path has no symlink at all, and says how its name
// led there.
func Direct(root int, real string, hops ...string) (Place, bool) {
	p, errno := direct(root, real)
	p.Real, p.Hops = real, hops
	return p, errno == 0
}

func direct(root int, name string) (Place, unix.Errno) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | unix.O_NOFOLLOW, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(root, name, &how)
	if err != nil {
		return Place{FD: -1}, ErrnoOf(err)
	}
	p := Place{FD: fd}
	if isLink(fd) {
		p.Close()
		return p, unix.ELOOP
	}
	return p, 0
}

func isLink(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT == unix.S_IFLNK
}

// ErrnoOf is the errno of an error; EACCES where there is none.
func ErrnoOf(err error) unix.Errno {
	if e, ok := err.(unix.Errno); ok {
		return e
	}
	return unix.EACCES
}

// walk follows a path name by name, as the kernel does for the target, and
// keeps every hop. Magic links of /proc are followed by the kernel.
type walk struct {
	tgid   int
	tid    int
	root   int
	fd     int      // the directory reached; -1: root
	at     []string // its path
	todo   []string
	hops   []string
	links  int
	follow bool
}

func (w *walk) drop() {
	if w.fd >= 0 {
		unix.Close(w.fd)
		w.fd = -1
	}
}

func (w *walk) dir() int {
	if w.fd < 0 {
		return w.root
	}
	return w.fd
}

func (w *walk) here(rest ...string) string {
	return "/" + path.Join(path.Join(w.at...), path.Join(rest...))
}

func (w *walk) run(name string) (Place, unix.Errno) {
	w.todo = strings.Split(name, "/")
	w.hops = append(w.hops, path.Clean(name))
	for len(w.todo) > 0 {
		c := w.todo[0]
		w.todo = w.todo[1:]
		if errno := w.step(c); errno != 0 {
			return Place{FD: -1}, errno
		}
	}
	p := Place{FD: w.fd, Real: w.here(), Hops: w.hops}
	w.fd = -1
	if p.FD < 0 {
		return p, unix.EACCES // the root directory is no program
	}
	if w.hops[len(w.hops)-1] != p.Real {
		p.Hops = append(p.Hops, p.Real)
	}
	return p, 0
}

func (w *walk) step(c string) unix.Errno {
	switch c {
	case "", ".":
		return 0
	case "..":
		if len(w.at) == 0 {
			return 0
		}
	}
	fd, err := unix.Openat(w.dir(), c, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return ErrnoOf(err)
	}
	if c != ".." && isLink(fd) && (w.follow || len(w.todo) > 0) {
		return w.link(fd, c)
	}
	w.drop()
	w.fd = fd
	if c == ".." {
		w.at = w.at[:len(w.at)-1]
	} else {
		w.at = append(w.at, c)
	}
	return 0
}

// link goes on where a symlink points.
func (w *walk) link(fd int, c string) unix.Errno {
	defer unix.Close(fd)
	if w.links++; w.links > maxLinks {
		return unix.ELOOP
	}
	to, errno := w.text(fd, c)
	if errno != 0 {
		return errno
	}
	if to == "" {
		return w.magic(c)
	}
	if strings.HasPrefix(to, "/") {
		w.drop()
		w.at = w.at[:0]
	}
	w.todo = append(strings.Split(to, "/"), w.todo...)
	w.hops = append(w.hops, w.here(w.todo...))
	return 0
}

// text is what a symlink says to the target; empty for a magic link of /proc.
func (w *walk) text(fd int, c string) (string, unix.Errno) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return "", ErrnoOf(err)
	}
	if fs.Type == unix.PROC_SUPER_MAGIC {
		if c == "self" || c == "thread-self" {
			return w.self(c)
		}
		how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_MAGICLINKS}
		if probe, err := unix.Openat2(w.dir(), c, &how); err == nil {
			unix.Close(probe)
		} else if err == unix.ELOOP {
			return "", 0
		}
	}
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(fd, "", buf[:])
	if err != nil {
		return "", ErrnoOf(err)
	}
	if n == 0 {
		return "", unix.ENOENT
	}
	return string(buf[:n]), 0
}

// self is /proc/self as the target reads it, in its own pid namespace.
func (w *walk) self(c string) (string, unix.Errno) {
	pid, err := procstat.StatusField(w.tgid, "NSpid:")
	if err != nil {
		return "", unix.EACCES
	}
	if c == "self" {
		return strconv.Itoa(pid), 0
	}
	tid, err := procstat.StatusField(w.tid, "NSpid:")
	if err != nil {
		return "", unix.EACCES
	}
	return strconv.Itoa(pid) + "/task/" + strconv.Itoa(tid), 0
}

// magic follows a link that is an object, not a text: /proc/PID/exe, fd/N, cwd, root.
func (w *walk) magic(c string) unix.Errno {
	fd, err := unix.Openat(w.dir(), c, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return ErrnoOf(err)
	}
	w.drop()
	w.fd = fd
	w.at = strings.Split(strings.TrimPrefix(NameOf(fd), "/"), "/")
	w.hops = append(w.hops, w.here(w.todo...))
	return 0
}

// NameOf is the name that the kernel has for an open file.
func NameOf(fd int) string {
	var buf [unix.PathMax]byte
	n, err := unix.Readlink("/proc/self/fd/"+strconv.Itoa(fd), buf[:])
	if err != nil {
		return ""
	}
	return string(buf[:n])
}
