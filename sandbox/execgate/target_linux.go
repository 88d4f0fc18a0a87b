//go:build amd64 || arm64

package execgate

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/asseen"
	"github.com/countersign/countersign/internal/procstat"
)

// target is the thread that called, and its process.
type target struct {
	tid, tgid, ppid int
	start           uint64 // of the process
	buf             [1024]byte
}

// open learns the process of a thread.
func (t *target) open(tid int) error {
	t.tid, t.tgid = tid, tid
	// Signal 0 to a thread as the leader of itself: succeeds for leaders only.
	if unix.Tgkill(tid, tid, 0) != nil {
		tgid, err := asseen.StatusField(tid, "Tgid:")
		if err != nil {
			return err
		}
		t.tgid = tgid
	}
	var err error
	t.ppid, t.start, _, err = procstat.Read(t.tgid, t.buf[:])
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

func itoa(n int) string { return strconv.Itoa(n) }

// stdin says what descriptor 0 is.
func (t *target) stdin() countersign.Stdin {
	var st unix.Stat_t
	if unix.Stat("/proc/"+strconv.Itoa(t.tid)+"/fd/0", &st) != nil {
		return countersign.StdinNone
	}
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

// peer describes the process as the kernel knows it.
func (t *target) peer(tr *tree) countersign.Peer {
	p := countersign.Peer{PID: t.tgid, Start: t.start, UID: -1}
	var st unix.Stat_t
	if unix.Stat("/proc/"+strconv.Itoa(t.tgid), &st) == nil {
		p.UID = int(st.Uid)
	}
	p.Exe, _ = t.readLink("exe")
	if img := tr.image(t.tgid, t.start); img != nil {
		p.Argv = img.argv
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
	s.root.Store(int64(fd))
	return fd, nil
}

func (s *Supervisor) resolve(t *target, name string, follow bool) (asseen.Place, unix.Errno) {
	root, err := s.rootFD(t.tid)
	if err != nil {
		return asseen.Place{FD: -1}, unix.EACCES
	}
	return asseen.Resolve(root, t.tgid, t.tid, name, follow)
}
