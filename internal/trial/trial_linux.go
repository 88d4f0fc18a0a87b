// Package trial is a handful of calls that a sandbox must refuse: made on a thread
// that has an agent's filter, before there is an agent, they show that the controls
// are there and not only meant to be. A call that is let go does no harm.
package trial

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Open is the note of a refused open.
const Open = "open"

// Call is one of them: its name, what must be answered, and the call that must be
// noted where it is refused; empty: none need be. A filter above this program, as
// containers have one, may refuse some of them first, in its own way and unseen.
type Call struct {
	Name  string
	Errno unix.Errno
	Also  unix.Errno // answered by such a filter
	Note  string
}

// Calls are what Make makes, in its order. nodes says that a denied file's refusal
// is noted: without a tripwire server it is closed all the same.
func Calls(nodes bool) []Call {
	open := Call{Name: "open a denied file", Errno: unix.EACCES}
	if nodes {
		open.Note = Open
	}
	return []Call{
		open,
		{Name: "make a ring of requests that pass no filter", Errno: unix.ENOSYS, Also: unix.EPERM},
		{Name: "make a user namespace", Errno: unix.EPERM, Also: unix.ENOSYS},
		{Name: "mount over the view", Errno: unix.EPERM, Note: "mount"},
		{Name: "connect to a host", Errno: unix.ECONNREFUSED, Note: "connect"},
		{Name: "gain privileges", Errno: unix.EPERM},
	}
}

// Make makes the calls on this thread, the first on a denied path ("" makes none),
// and returns the errno of each.
func Make(denied string) []int {
	refusal := unix.EACCES
	if denied != "" {
		refusal = open(denied)
	}
	var out []int
	for _, e := range []unix.Errno{
		refusal,
		call(unix.SYS_IO_URING_SETUP, 0, 0),
		call(unix.SYS_UNSHARE, unix.CLONE_NEWUSER, 0),
		call(unix.SYS_MOUNT, 0, 0),
		connect(),
		privileges(),
	} {
		out = append(out, int(e))
	}
	return out
}

func call(nr, a, b uintptr) unix.Errno {
	_, _, e := unix.Syscall6(nr, a, b, 0, 0, 0, 0)
	return e
}

func errno(err error) unix.Errno {
	e, _ := err.(unix.Errno) //nolint:errorlint // calls return it bare
	return e
}

func open(path string) unix.Errno {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err == nil {
		unix.Close(fd)
	}
	return errno(err)
}

// connect is to an address that is nobody's (RFC 5737), and sends nothing.
func connect() unix.Errno {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return errno(err)
	}
	defer unix.Close(fd)
	return errno(unix.Connect(fd, &unix.SockaddrInet4{Port: 9, Addr: [4]byte{192, 0, 2, 1}}))
}

// privileges are what this thread has or could gain; EPERM: none.
func privileges() unix.Errno {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if _, _, e := unix.Syscall(unix.SYS_CAPGET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&caps)), 0); e != 0 {
		return e
	}
	nnp, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil {
		return errno(err)
	}
	if nnp != 1 || caps != [2]unix.CapUserData{} {
		return 0
	}
	return unix.EPERM
}
