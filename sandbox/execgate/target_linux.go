//go:build amd64 || arm64

package execgate

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/asseen"
)

// target is the thread that called, and its process.
type target struct {
	tid, tgid, ppid int
	start           uint64 // of the process
	buf             [1024]byte
}

var errGone = errors.New("the process is gone or hidden")

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
	t.ppid, t.start, _, err = readStat(t.tgid, t.buf[:])
	return err
}

// readStat returns parent, start time (clock ticks since boot) and exit code of
// a process from /proc/PID/stat (proc(5)).
func readStat(pid int, buf []byte) (ppid int, start uint64, exit int, err error) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, 0, 0, errGone
	}
	n, err := unix.Read(fd, buf)
	unix.Close(fd)
	if err != nil || n <= 0 {
		return 0, 0, 0, errGone
	}
	return parseStat(buf[:n])
}

// parseStat skips the command's name, which may hold anything but ends with the
// last parenthesis.
func parseStat(b []byte) (ppid int, start uint64, exit int, err error) {
	i := bytes.LastIndexByte(b, ')')
	if i < 0 || i+2 > len(b) {
		return 0, 0, 0, errGone
	}
	field, rest := 2, b[i+1:]
	for len(rest) > 0 {
		rest = bytes.TrimLeft(rest, " ")
		word := rest
		if j := bytes.IndexAny(rest, " \n"); j >= 0 {
			word, rest = rest[:j], rest[j+1:]
		} else {
			rest = nil
		}
		field++
		switch field {
		case 4:
			ppid = int(number(word))
		case 22:
			start = number(word)
		case 52:
			exit = int(number(word))
		}
	}
	if field < 22 {
		return 0, 0, 0, errGone
	}
	return ppid, start, exit, nil
}

func number(b []byte) (n uint64) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + uint64(c-'0')
	}
	return n
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
