//go:build amd64 || arm64

package execgate

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hold is a seized thread. It belongs to the thread that seized it.
type hold struct{ tid int }

func ptrace(req, pid int, addr, data uintptr) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(req), uintptr(pid), addr, data, 0, 0)
	return errno
}

// seize attaches without stopping. If this thread dies, the held one is killed:
// nothing runs that was not compared.
func (h *hold) seize() unix.Errno {
	return ptrace(unix.PTRACE_SEIZE, h.tid, 0, unix.PTRACE_O_TRACEEXEC|unix.PTRACE_O_EXITKILL)
}

// interrupt makes the thread stop before it returns to its old image, if the
// kernel does not start the new one. The exec stop comes first.
func (h *hold) interrupt() { ptrace(unix.PTRACE_INTERRUPT, h.tid, 0, 0) }

func (h *hold) detach(pid int, sig unix.Signal) {
	ptrace(unix.PTRACE_DETACH, pid, 0, uintptr(sig))
}

// wait waits for what this thread holds, and for nothing else.
func (h *hold) wait() (pid int, status unix.WaitStatus, errno unix.Errno) {
	var st uint32
	for {
		n, _, errno := unix.Syscall6(unix.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&st)), unix.WALL|unix.WNOTHREAD, 0, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		return int(n), unix.WaitStatus(st), errno
	}
}

// childless reports whether this thread has no children and will get none: the
// first thread of a process inherits those of threads that end.
func childless() bool {
	var info [128]byte // siginfo_t
	_, _, errno := unix.RawSyscall6(unix.SYS_WAITID, unix.P_ALL, 0, uintptr(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOHANG|unix.WNOWAIT|unix.WALL|unix.WNOTHREAD, 0, 0)
	return errno == unix.ECHILD && unix.Gettid() != unix.Getpid()
}

// untilExec waits for the exec stop. If the exec did not happen it lets the
// thread go and says how it ended.
func (h *hold) untilExec() (pid int, ended string) {
	for {
		pid, st, errno := h.wait()
		switch {
		case errno != 0:
			return 0, "it was lost: " + errno.Error()
		case st.Exited() || st.Signaled():
			return 0, "it died before its exec"
		case !st.Stopped():
			continue
		}
		switch event := int(st) >> 16; event {
		case unix.PTRACE_EVENT_EXEC:
			return pid, ""
		case unix.PTRACE_EVENT_STOP:
			h.detach(pid, 0)
			return 0, "the kernel did not run it"
		case 0: // a signal on its way
			h.detach(pid, st.StopSignal())
			return 0, "a signal came first"
		default:
			ptrace(unix.PTRACE_CONT, pid, 0, 0)
		}
	}
}

// kill ends the process and reaps its stop, so that its parent can.
func (h *hold) kill(pid int) {
	_ = unix.Kill(pid, unix.SIGKILL)
	for {
		tid, st, errno := h.wait()
		if errno != 0 || tid == pid && (st.Exited() || st.Signaled()) {
			return
		}
	}
}

// sysInfo is the head of struct ptrace_syscall_info (ptrace(2)).
type sysInfo struct {
	Op   uint8
	_    [3]byte
	Arch uint32
	IP   uint64
	SP   uint64
	NR   uint64 // at entry: the call; at exit: its result
	Args [6]uint64
	_    [2]uint64
}

func (h *hold) info(pid int) (sysInfo, unix.Errno) {
	var i sysInfo
	errno := ptrace(unix.PTRACE_GET_SYSCALL_INFO, pid, unsafe.Sizeof(i), uintptr(unsafe.Pointer(&i)))
	return i, errno
}

func proc(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }
