package selftest

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// legacyOpen is open(2) itself, which the libraries no longer call.
func legacyOpen(a []string) ([]byte, error) {
	path, err := unix.BytePtrFromString(a[0])
	if err != nil {
		return nil, err
	}
	fd, _, e := unix.Syscall(unix.SYS_OPEN, uintptr(unsafe.Pointer(path)), unix.O_RDONLY, 0)
	if e != 0 {
		return nil, e
	}
	return drain(int(fd), nil)
}

// int80 makes a call of the 32-bit architecture.
func int80(call uintptr) uintptr

// x32 is the bit of calls with 64-bit registers and 32-bit pointers (syscall(2)).
const x32 = 0x40000000

func foreign() (uintptr, error) {
	if r := int32(int80(20)); r < 0 { // getpid
		return 0, unix.Errno(-r)
	}
	return 0, nil
}

func callX32() error {
	_, _, e := unix.RawSyscall(unix.SYS_GETPID|x32, 0, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}
