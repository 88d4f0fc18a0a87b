//go:build amd64 || arm64

package seccomp

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Turn is the right to receive from a listener. One thread has it and waits
// there, the others wait for it: the kernel would wake all that wait at a
// listener for each notification. Who has it answers at once what can be, and
// gives it away before whatever takes longer; a short thing it may do first, as
// long as nothing else waits.
type Turn struct {
	free atomic.Uint32
	mark atomic.Uint64 // odd: who has it is looking at a notification
	seen uint64        // of Look, the last mark
}

const (
	futexWait = 0 | 128 // FUTEX_WAIT_PRIVATE of linux/futex.h
	futexWake = 1 | 128 // FUTEX_WAKE_PRIVATE
)

// Take waits for the turn. Before the first, somebody must Pass it.
func (t *Turn) Take() {
	for !t.free.CompareAndSwap(1, 0) {
		_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&t.free)), futexWait, 0, 0, 0, 0)
	}
}

// Pass gives the turn to a thread that waits for it, or to the next that will.
func (t *Turn) Pass() {
	t.free.Store(1)
	_, _, _ = unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&t.free)), futexWake, 1, 0, 0, 0)
}

// Begin says that who has the turn looks at a notification.
func (t *Turn) Begin() uint64 { return t.mark.Add(1) }

// End says that the look is over, and reports whether the turn is still the caller's.
func (t *Turn) End(mark uint64) bool { return t.mark.CompareAndSwap(mark, mark+1) }

// Look gives the turn to another if who has it has looked at one notification
// since the last look: what it reads may lie on a disk that does not answer.
func (t *Turn) Look() {
	m := t.mark.Load()
	if m&1 == 1 && m == t.seen && t.End(m) {
		t.Pass()
	}
	t.seen = m
}
