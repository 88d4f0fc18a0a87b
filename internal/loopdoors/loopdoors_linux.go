package loopdoors

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Open brings the loopback interface up and opens the session's doors on it:
// the gateway's listener, port 53 for datagrams and connections, and more ports. A
// socket keeps its network namespace, so that the session process serves them
// outside.
func Open(port int, more []int) ([]int, error) {
	if err := Up(); err != nil {
		return nil, err
	}
	var fds []int
	type door struct{ kind, port int }
	doors := []door{{unix.SOCK_STREAM, port}, {unix.SOCK_DGRAM, 53}, {unix.SOCK_STREAM, 53}}
	for _, port := range more {
		doors = append(doors, door{unix.SOCK_STREAM, port})
	}
	for _, s := range doors {
		fd, err := listen(s.kind, s.port)
		if err != nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
			return nil, err
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

func listen(kind, port int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	err = unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	if err == nil && kind == unix.SOCK_STREAM {
		err = unix.Listen(fd, 512)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("listen on 127.0.0.1:%d: %w", port, err)
	}
	return fd, nil
}

// Up brings the loopback interface up.
func Up() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	return nil
}
