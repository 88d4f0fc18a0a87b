//go:build amd64 || arm64

package lending

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/sandbox/execgate"
)

// take returns a descriptor of another process, or nil if it is closed there or is
// of a kind that none of an agent's commands needs.
func take(pid, fd int) (*os.File, *unix.Stat_t) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, nil
	}
	defer unix.Close(pidfd)
	own, err := unix.PidfdGetfd(pidfd, fd, 0)
	if err != nil {
		return nil, nil
	}
	var st unix.Stat_t
	ok := unix.Fstat(own, &st) == nil
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFSOCK: // of another kind it would speak to the kernel, as us
		domain, err := unix.GetsockoptInt(own, unix.SOL_SOCKET, unix.SO_DOMAIN)
		ok = ok && err == nil && domain == unix.AF_UNIX
	case unix.S_IFIFO, unix.S_IFREG, unix.S_IFCHR:
	default:
		ok = false
	}
	if !ok {
		unix.Close(own)
		return nil, nil
	}
	return os.NewFile(uintptr(own), "lent"), &st
}

// input is what the command reads: a pipe or a file of the caller's that is open for
// reading only, itself; of a socket, through which it could answer, a copy; and of
// all else nothing. Another kind than was approved is an error: the agent's other
// processes can share the caller's descriptors, and change them while it waits.
func input(caller int, want countersign.Stdin) (*os.File, *feed, error) {
	f, st := take(caller, 0)
	if f != nil {
		if is := execgate.StdinOf(st); is != want {
			f.Close()
			return nil, nil, fmt.Errorf("its standard input is another (%s) than approved (%s)", is, want)
		}
		flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
		kind := st.Mode & unix.S_IFMT
		switch {
		case err == nil && flags&unix.O_ACCMODE == unix.O_RDONLY && (kind == unix.S_IFIFO || kind == unix.S_IFREG):
			return f, nil, nil
		case kind == unix.S_IFSOCK:
			r, w, err := os.Pipe()
			if err != nil {
				f.Close()
				return nil, nil, err
			}
			return r, &feed{f, w}, nil
		}
		f.Close()
	}
	null, err := os.Open(os.DevNull)
	return null, nil, err
}

// output is where the process that stands in writes to, or nil.
func output(pid, fd int) *os.File {
	f, st := take(pid, fd)
	if f == nil {
		return nil
	}
	if st.Mode&unix.S_IFMT == unix.S_IFCHR {
		null := st.Rdev == unix.Mkdev(1, 3)
		if major := unix.Major(st.Rdev); null || major != 5 && (major < 136 || major > 143) {
			f.Close() // what is written there is lost, or is no terminal
			return nil
		}
	}
	return f
}

var errEnded = errors.New("nobody waits for it")

// piece is what a pipe takes at once where poll says that it takes something
// (pipe(7)), in bytes.
const piece = 4096

// send writes all of b to a descriptor that somebody else may have made blocking
// or not, until ended.
func send(to *os.File, b []byte, ended <-chan struct{}) error {
	for len(b) > 0 {
		if err := ready(int(to.Fd()), unix.POLLOUT, ended); err != nil {
			return err
		}
		n, err := unix.SendmsgN(int(to.Fd()), b[:min(len(b), piece)], nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if errors.Is(err, unix.ENOTSOCK) {
			n, err = unix.Write(int(to.Fd()), b[:min(len(b), piece)])
		}
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		default:
			b = b[n:]
		}
	}
	return nil
}

// lookEvery is how often it is looked whether anybody still waits, in milliseconds.
const lookEvery = 100

// ready waits until a descriptor can be read from or written to.
func ready(fd int, events int16, ended <-chan struct{}) error {
	for {
		p := []unix.PollFd{{Fd: int32(fd), Events: events}}
		n, err := unix.Poll(p, lookEvery)
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		select {
		case <-ended:
			return errEnded
		default:
		}
	}
}

// feed copies what a socket brings.
type feed struct{ from, to *os.File }

func (f *feed) run(ended <-chan struct{}) {
	defer f.close()
	b := make([]byte, piece)
	for ready(int(f.from.Fd()), unix.POLLIN, ended) == nil {
		n, _, err := unix.Recvfrom(int(f.from.Fd()), b, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			continue
		case err != nil || n <= 0:
			return
		}
		if _, err := f.to.Write(b[:n]); err != nil {
			return
		}
	}
}

func (f *feed) close() {
	f.from.Close()
	f.to.Close()
}
