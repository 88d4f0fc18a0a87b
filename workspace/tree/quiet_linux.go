package tree

import (
	"os"

	"golang.org/x/sys/unix"
)

// BeingWritten reports whether any process has the open file open for writing.
// The kernel grants a read lease only where none has (fcntl(2), F_SETLEASE); a
// file system without leases counts as quiet. The lease ends with f.
func BeingWritten(f *os.File) bool {
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	return err == unix.EAGAIN
}
