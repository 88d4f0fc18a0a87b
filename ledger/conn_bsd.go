//go:build unix && !linux

package ledger

import (
	"time"

	"golang.org/x/sys/unix"
)

const sendFlags = 0

var began = time.Now()

// peerUID is the user at the other end, as the kernel knows it.
func (c *rawConn) peerUID() (int, error) {
	cred, err := unix.GetsockoptXucred(c.fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return -1, err
	}
	return int(cred.Uid), nil
}

func bootClock() time.Duration { return time.Since(began) }

func bootID() string { return "" }
