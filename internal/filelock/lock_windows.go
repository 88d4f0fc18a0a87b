package filelock

import (
	"os"

	"golang.org/x/sys/windows"
)

func tryLock(f *os.File, m Mode) error {
	how := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if m == Exclusive {
		how |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	err := windows.LockFileEx(windows.Handle(f.Fd()), how, 0, 1, 0, new(windows.Overlapped))
	if err == windows.ERROR_LOCK_VIOLATION {
		return ErrBusy
	}
	return err
}
