package slack

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Ensure starts the program again, in its place and with its arguments, with this
// slack for all of its threads, unless it has it: threads and programs inherit it
// (PR_SET_TIMERSLACK(2const)), and no thread can set another's. It is called before
// anything is open that must not be left, and returns where it has nothing to do.
func Ensure(d time.Duration, env []string) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	was, err := get()
	if err != nil || was >= d {
		return
	}
	self, err := os.Executable()
	if err != nil || set(d) != nil {
		return
	}
	if now, err := get(); err != nil || now < d {
		return // a real-time thread has none, and takes the call all the same: it would start for ever
	}
	_ = syscall.Exec(self, os.Args, env) // and if not, all goes on
	_ = set(was)
}

// With calls f on a thread with this slack: what it starts has it in all threads.
func With(d time.Duration, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	was, err := get()
	if err != nil || was >= d || set(d) != nil {
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
