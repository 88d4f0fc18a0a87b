//go:build amd64 || arm64

package held

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Thread is a seized thread. It belongs to the thread that seized it.
type Thread struct{ TID int }

// Ptrace is the system call.
func Ptrace(req, pid int, addr, data uintptr) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(req), uintptr(pid), addr, data, 0, 0)
	return errno
}

// Seize attaches without stopping. If this thread dies, the held one is killed:
// nothing runs that was not compared.
func (h *Thread) Seize() unix.Errno {
	return Ptrace(unix.PTRACE_SEIZE, h.TID, 0, unix.PTRACE_O_TRACEEXEC|unix.PTRACE_O_EXITKILL)
}

// Interrupt makes the thread stop before it returns to its old image, if the
// kernel does not start the new one. The exec stop comes first.
func (h *Thread) Interrupt() { Ptrace(unix.PTRACE_INTERRUPT, h.TID, 0, 0) }

// Detach lets a thread go on with a signal, or 0.
func (h *Thread) Detach(pid int, sig unix.Signal) {
	Ptrace(unix.PTRACE_DETACH, pid, 0, uintptr(sig))
}

// Wait waits for what this thread holds, and for nothing else.
func (h *Thread) Wait() (pid int, status unix.WaitStatus, errno unix.Errno) {
	var st uint32
	for {
		n, _, errno := unix.Syscall6(unix.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&st)), unix.WALL|unix.WNOTHREAD, 0, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		return int(n), unix.WaitStatus(st), errno
	}
}

// Childless reports whether this thread has no children and will get none: the
// first thread of a process inherits those of threads that end.
func Childless() bool {
	var info [128]byte // siginfo_t
	_, _, errno := unix.RawSyscall6(unix.SYS_WAITID, unix.P_ALL, 0, uintptr(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOHANG|unix.WNOWAIT|unix.WALL|unix.WNOTHREAD, 0, 0)
	return errno == unix.ECHILD && unix.Gettid() != unix.Getpid()
}

// MuteStops has the kernel send this program no SIGCHLD for a stop (sigaction(2),
// SA_NOCLDSTOP): who holds is woken in its wait, and each exec stop would wake one
// more thread, often on another processor, for a signal that nobody asked for.
func MuteStops() {
	var act struct{ handler, flags, restorer, mask uint64 } // struct kernel_sigaction of 64-bit architectures
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD), 0, uintptr(unsafe.Pointer(&act)), unsafe.Sizeof(act.mask), 0, 0)
	if errno == 0 && act.flags&saNoCldStop == 0 {
		act.flags |= saNoCldStop
		_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD), uintptr(unsafe.Pointer(&act)), 0, unsafe.Sizeof(act.mask), 0, 0)
	}
}

const saNoCldStop = 1 // SA_NOCLDSTOP of asm/signal.h

// UntilExec waits for the exec stop. If the exec did not happen it lets the
// thread go and says how it ended.
func (h *Thread) UntilExec() (pid int, ended string) {
	for {
		pid, st, errno := h.Wait()
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
			h.Detach(pid, 0)
			return 0, "the kernel did not run it"
		case 0: // a signal on its way
			h.Detach(pid, st.StopSignal())
			return 0, "a signal came first"
		default:
			Ptrace(unix.PTRACE_CONT, pid, 0, 0)
		}
	}
}

// Kill ends the process and reaps its stop, so that its parent can.
func (h *Thread) Kill(pid int) {
	_ = unix.Kill(pid, unix.SIGKILL)
	for {
		tid, st, errno := h.Wait()
		if errno != 0 || tid == pid && (st.Exited() || st.Signaled()) {
			return
		}
	}
}

// SysInfo is the head of struct ptrace_syscall_info (Ptrace(2)).
type SysInfo struct {
	Op   uint8
	_    [3]byte
	Arch uint32
	IP   uint64
	SP   uint64
	NR   uint64 // at entry: the call; at exit: its result
	Args [6]uint64
	_    [2]uint64
}

// Info is what the stop of a thread is about.
func (h *Thread) Info(pid int) (SysInfo, unix.Errno) {
	var i SysInfo
	errno := Ptrace(unix.PTRACE_GET_SYSCALL_INFO, pid, unsafe.Sizeof(i), uintptr(unsafe.Pointer(&i)))
	return i, errno
}
