//go:build unix

package ledger

import (
	"errors"
	"net"
)

// peerUID is the user at the other end, as the kernel knows it.
func peerUID(c *net.UnixConn) (uid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	if cerr := raw.Control(func(fd uintptr) { uid, err = userOf(int(fd)) }); cerr != nil || err != nil {
		return -1, errors.Join(cerr, err)
	}
	return uid, nil
}
