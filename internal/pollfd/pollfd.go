//go:build unix

// Package pollfd is poll(2) for one descriptor. A signal on its way to the thread
// cuts even a poll that would not wait: EINTR is no answer, and is never returned.
package pollfd

import (
	"errors"

	"golang.org/x/sys/unix"
)

// The timeouts.
const (
	Now     = 0
	Forever = -1
)

// Events returns what of events, and of the errors that need no asking for, is
// there; timeout is Now or Forever.
func Events(fd int, events int16, timeout int) (int16, error) {
	p := []unix.PollFd{{Fd: int32(fd), Events: events}}
	for {
		_, err := unix.Poll(p, timeout)
		if !errors.Is(err, unix.EINTR) {
			return p[0].Revents, err
		}
	}
}
