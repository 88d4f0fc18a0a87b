//go:build !windows

package filelock

import (
	"os"

	"golang.org/x/sys/unix"
)

func tryLock(f *os.File) error {
	for {
		switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err {
		case unix.EWOULDBLOCK:
			return ErrBusy
		case unix.EINTR:
		default:
			return err
		}
	}
}
