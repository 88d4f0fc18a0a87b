//go:build unix && !linux

package conn

import "golang.org/x/sys/unix"

const sendFlags = 0

// PeerUID is the user at the other end, as the kernel knows it.
func (c *Conn) PeerUID() (int, error) {
	cred, err := unix.GetsockoptXucred(c.fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return -1, err
	}
	return int(cred.Uid), nil
}
