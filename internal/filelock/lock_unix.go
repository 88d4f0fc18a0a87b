//go:build !windows

package filelock

import (
	"os"

	"golang.org/x/sys/unix"
)

func tryLock(f *os.File, m Mode) error {
	how := unix.LOCK_EX
	if m == Shared {
		how = unix.LOCK_SH
	}
	for {
		switch err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err {
		case unix.EWOULDBLOCK:
			return ErrBusy
		case unix.EINTR:
		default:
			return err
		}
	}
}
