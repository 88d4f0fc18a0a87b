package procstat

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Identity is a process as the kernel tells it from all others.
type Identity struct {
	// ID is the number of its inode in pidfs, which no other process since the
	// start of the machine has and which grows with every process; before Linux
	// 6.13 its start time in clock ticks, which is good together with its pid.
	ID     uint64
	Parent int
	UID    int // effective; -1 before Linux 6.13
}

// Census identifies processes, cheaply where the kernel can. The zero value is
// ready; it may be used by many goroutines at once.
type Census struct{ old atomic.Bool }

// Identify identifies the process whose leader has this pid. buf is as for Read.
func (c *Census) Identify(pid int, buf []byte) (Identity, error) {
	if !c.old.Load() {
		id, err := byPidfd(pid)
		if !errors.Is(err, unix.ENOTTY) {
			return id, err
		}
		c.old.Store(true)
	}
	parent, start, _, err := Read(pid, buf)
	return Identity{ID: start, Parent: parent, UID: -1}, err
}

// OfThread identifies the process of a thread, and names its leader.
func (c *Census) OfThread(tid int, buf []byte) (leader int, who Identity, err error) {
	if !c.old.Load() { // only a leader has a pidfd
		if who, err := byPidfd(tid); err == nil {
			return tid, who, nil
		}
	}
	if leader = tid; unix.Tgkill(tid, tid, 0) != nil { // succeeds for leaders only
		leader, err = StatusField(tid, "Tgid:")
	}
	if err == nil {
		who, err = c.Identify(leader, buf)
	}
	return leader, who, err
}

// need is what the kernel must answer: PIDFD_INFO_PID and PIDFD_INFO_CREDS of
// include/uapi/linux/pidfd.h.
const need = unix.PIDFD_INFO_PID | unix.PIDFD_INFO_CREDS

func byPidfd(pid int) (Identity, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return Identity{}, ErrGone
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	info := unix.PidfdInfo{Mask: need}
	err = unix.IoctlPidfdInfo(fd, &info)
	switch {
	case errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL):
		return Identity{}, unix.ENOTTY
	case err != nil || info.Mask&need != need || unix.Fstat(fd, &st) != nil:
		return Identity{}, ErrGone
	}
	return Identity{ID: st.Ino, Parent: int(info.Ppid), UID: int(info.Euid)}, nil
}

// Children lists the children of a process of one thread, with their identities.
// Where the kernel keeps no list (CONFIG_PROC_CHILDREN), every process is looked
// at.
func (c *Census) Children(pid int) (map[int]uint64, error) {
	var pids []string
	dir := "/proc/" + strconv.Itoa(pid)
	b, err := os.ReadFile(dir + "/task/" + strconv.Itoa(pid) + "/children")
	if err == nil {
		pids = strings.Fields(string(b))
	} else if pids, err = all(); err != nil {
		return nil, err
	}
	var out map[int]uint64
	var buf [1024]byte
	for _, name := range pids {
		n, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if who, err := c.Identify(n, buf[:]); err == nil && who.Parent == pid {
			if out == nil {
				out = map[int]uint64{}
			}
			out[n] = who.ID
		}
	}
	return out, nil
}
