package seccomp

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/countersign/countersign/internal/pollfd"
	"golang.org/x/sys/unix"
)

// Data is struct seccomp_data (seccomp(2)).
type Data struct {
	NR   int32
	Arch uint32
	IP   uint64
	Args [6]uint64
}

// Notif is struct seccomp_notif (seccomp_unotify(2)). PID is a thread's id, in
// the reader's pid namespace.
type Notif struct {
	ID    uint64
	PID   uint32
	Flags uint32
	Data  Data
}

// resp is struct seccomp_notif_resp.
type resp struct {
	ID    uint64
	Val   int64
	Error int32
	Flags uint32
}

// Listener is the descriptor that notifications come from.
type Listener int

// Install sets no_new_privs and the filter on the calling thread, which must be
// locked to its goroutine, and returns the listener. The thread itself is
// subject to the filter from then on: another thread must pass the listener on,
// because sendmsg is notified. Killable tells that a notified call waits
// through every signal but SIGKILL (Linux 5.19); without it, signals restart it.
func Install(prog []unix.SockFilter) (l Listener, killable bool, err error) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, false, fmt.Errorf("set no_new_privs: %w", err)
	}
	const want = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	fd, errno := install(prog, want|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
	if errno == unix.EINVAL {
		fd, errno = install(prog, want)
		return Listener(fd), false, wrap("install the seccomp filter", errno)
	}
	return Listener(fd), true, wrap("install the seccomp filter", errno)
}

func wrap(what string, errno unix.Errno) error {
	if errno == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", what, errno)
}

func install(prog []unix.SockFilter, flags uintptr) (int, unix.Errno) {
	f := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&f)))
	runtime.KeepAlive(prog)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), 0
}

// ErrGone says that no process is left under the filter.
var ErrGone = errors.New("no process is left under the filter")

// Recv waits for a notification.
func (l Listener) Recv(n *Notif) error {
	for {
		*n = Notif{}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(l), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(n)))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
			continue
		case unix.ENOENT:
			// The caller died between the notice and its pick-up, or all are gone.
			if l.hungUp() {
				return ErrGone
			}
			continue
		}
		return fmt.Errorf("receive a seccomp notification: %w", errno)
	}
}

// hungUp reports whether no process is left under the filter.
func (l Listener) hungUp() bool {
	got, err := pollfd.Events(int(l), 0, pollfd.Now)
	return err == nil && got&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
}

// Continue lets the call go on in the kernel. ENOENT says that the caller is gone.
func (l Listener) Continue(id uint64) error {
	return l.send(resp{ID: id, Flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE})
}

// Fail makes the call return the error.
func (l Listener) Fail(id uint64, errno unix.Errno) error {
	return l.send(resp{ID: id, Error: -int32(errno)})
}

func (l Listener) send(r resp) error {
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(l), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&r)))
	if errno != 0 {
		return errno
	}
	return nil
}

// Waits reports whether another call waits to be received.
func (l Listener) Waits() bool {
	e, err := pollfd.Events(int(l), unix.POLLIN, pollfd.Now)
	return err == nil && e&unix.POLLIN != 0
}

// Valid reports whether the notified call still waits: what was read of the
// caller before is then really the caller's.
func (l Listener) Valid(id uint64) bool {
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(l), unix.SECCOMP_IOCTL_NOTIF_ID_VALID, uintptr(unsafe.Pointer(&id)))
	return errno == 0
}

// SyncWakeUp asks the kernel to run both sides on one processor (Linux 6.6);
// it is a matter of speed only.
func (l Listener) SyncWakeUp() error {
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(l), unix.SECCOMP_IOCTL_NOTIF_SET_FLAGS, unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
	if errno != 0 {
		return errno
	}
	return nil
}
