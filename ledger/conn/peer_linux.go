package conn

import "golang.org/x/sys/unix"

const sendFlags = unix.MSG_NOSIGNAL

// PeerUID is the user at the other end, as the kernel knows it.
func (c *Conn) PeerUID() (int, error) {
	cred, err := unix.GetsockoptUcred(c.fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return -1, err
	}
	return int(cred.Uid), nil
}
