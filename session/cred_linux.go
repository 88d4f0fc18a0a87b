package session

import "golang.org/x/sys/unix"

// credUID returns the user at the other end of a unix socket (unix(7), SO_PEERCRED).
func credUID(fd int) (int, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return -1, err
	}
	return int(cred.Uid), nil
}
