package slack

import (
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Ensure gives all threads of the process this slack, unless the one that calls has
// it: no thread can set another's, so the runtime has each set its own, and those
// that come inherit it (PR_SET_TIMERSLACK(2const)). A program with cgo, whose threads
// the runtime does not all know, gets none.
func Ensure(d time.Duration) {
	if was, err := get(); err == nil && was < d {
		_, _, _ = syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, uintptr(d), 0)
	}
}

// With calls f on a thread with this slack: what it starts has it in all threads.
func With(d time.Duration, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	was, err := get()
	if err != nil || was == d || set(d) != nil {
		return f()
	}
	defer set(was)
	return f()
}

func get() (time.Duration, error) {
	ns, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	return time.Duration(ns), err
}

func set(d time.Duration) error {
	return unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(d), 0, 0, 0)
}
