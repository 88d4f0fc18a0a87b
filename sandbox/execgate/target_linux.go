//go:build amd64 || arm64

package execgate

import (
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/asseen"
	"github.com/countersign/countersign/internal/procstat"
)

// target is the thread that called, and its process.
type target struct {
	tid, tgid int
	who       procstat.Identity // the process
	buf       [1024]byte
}

// open learns the process of a thread.
func (t *target) open(tid int, c *procstat.Census) error {
	t.tid = tid
	var err error
	t.tgid, t.who, err = c.OfThread(tid, t.buf[:])
	return err
}

// readLink reads a magic link of the target, which names a path as the target's
// root sees it.
func (t *target) readLink(name string) (string, error) {
	return readLinkOf(proc(t.tid, name))
}

func readLinkOf(name string) (string, error) {
	var buf [256]byte
	n, err := unix.Readlink(name, buf[:])
	if err != nil {
		return "", err
	}
	if n < len(buf) {
		return string(buf[:n]), nil
	}
	return os.Readlink(name)
}

func proc(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }

func itoa(n int) string { return strconv.Itoa(n) }

// stdin says what descriptor 0 is.
func (t *target) stdin() countersign.Stdin {
	var st unix.Stat_t
	if unix.Stat("/proc/"+strconv.Itoa(t.tid)+"/fd/0", &st) != nil {
		return countersign.StdinNone
	}
	return StdinOf(&st)
}

// StdinOf says what kind of standard input a file is.
func StdinOf(st *unix.Stat_t) countersign.Stdin {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return countersign.StdinPipe
	case unix.S_IFSOCK:
		return countersign.StdinSocket
	case unix.S_IFCHR:
		major, minor := unix.Major(st.Rdev), unix.Minor(st.Rdev)
		switch {
		case major == 1 && minor == 3:
			return countersign.StdinNull
		case major >= 136 && major <= 143, major == 4, major == 5:
			return countersign.StdinTTY
		}
	}
	return countersign.StdinFile
}

// peer describes the process as the kernel knows it. In brief, what it takes a
// walk through /proc to learn is left out, except its executable: of a covered
// exec the parent record tells more.
func (t *target) peer(tr *tree, brief bool) countersign.Peer {
	p := countersign.Peer{PID: t.tgid, UID: t.who.UID}
	p.Exe, _ = t.readLink("exe")
	if img := tr.image(t.tgid, t.who.ID); img != nil {
		p.Argv = img.argv
	}
	if brief {
		return p
	}
	_, p.Start, _, _ = procstat.Read(t.tgid, t.buf[:])
	var st unix.Stat_t
	if p.UID < 0 && unix.Stat("/proc/"+strconv.Itoa(t.tgid), &st) == nil {
		p.UID = int(st.Uid)
	}
	if p.Argv != nil {
		return p
	}
	if b, err := os.ReadFile("/proc/" + strconv.Itoa(t.tgid) + "/cmdline"); err == nil {
		p.Argv = strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
	}
	return p
}

func cutEnv(kv string) (name, value string) {
	name, value, _ = strings.Cut(kv, "=")
	return name, value
}

// rootFD is the directory that every process of the tree has as its root: the
// filter refuses whatever could change it (chroot, pivot_root, setns, unshare).
func (s *Supervisor) rootFD(tid int) (int, error) {
	if fd := s.root.Load(); fd >= 0 {
		return int(fd), nil
	}
	s.rootOnce.Lock()
	defer s.rootOnce.Unlock()
	if fd := s.root.Load(); fd >= 0 {
		return int(fd), nil
	}
	fd, err := unix.Open("/proc/"+strconv.Itoa(tid)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	s.links = map[string]string{}
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		var buf [256]byte
		if n, err := unix.Readlinkat(fd, name, buf[:]); err == nil && n < len(buf) {
			s.links[name] = path.Join("/", string(buf[:n]))
		}
	}
	s.rootFile = os.NewFile(uintptr(fd), "/")
	s.root.Store(int64(fd))
	return fd, nil
}

func (s *Supervisor) resolve(t *target, name string, follow bool) (asseen.Place, unix.Errno) {
	root, err := s.rootFD(t.tid)
	if err != nil {
		return asseen.Place{FD: -1}, unix.EACCES
	}
	if pl, ok := s.short(root, name); ok {
		return pl, 0
	}
	return asseen.Resolve(root, t.tgid, t.tid, name, follow)
}

// short resolves a name below /bin and its like without a walk, where these are
// links: they lie where nobody inside can write. Were the link another by now,
// the exec stop would show another file than this one.
func (s *Supervisor) short(root int, name string) (asseen.Place, bool) {
	if len(s.links) == 0 || !strings.HasPrefix(name, "/") || path.Clean(name) != name {
		return asseen.Place{}, false
	}
	dir, rest, ok := strings.Cut(name[1:], "/")
	to := s.links[dir]
	if !ok || to == "" {
		return asseen.Place{}, false
	}
	real := path.Join(to, rest)
	return asseen.Direct(root, real, name, real)
}
