//go:build unix

package conn

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is a unix-socket connection read and written by plain blocking
// system calls: no poller, no hand-over between goroutines on the way. Who asks one
// question after the other is answered soonest so.
type Conn struct {
	fd   int
	lane net.Conn // the same connection in Go's poller; nil: it is not
	mu   sync.Mutex
	f    *os.File // nil after close
}

// Take takes a connection out of Go's poller.
func Take(c *net.UnixConn) (*Conn, error) {
	defer c.Close()
	f, err := c.File() // a duplicate
	if err != nil {
		return nil, err
	}
	fd := int(f.Fd())
	if err := unix.SetNonblock(fd, false); err != nil {
		_ = f.Close()
		return nil, err
	}
	return &Conn{f: f, fd: fd}, nil
}

// Poll has Go's poller wait for the connection, where many questions come at once: a
// thread that waits in a system call holds a processor until it is taken away.
func (c *Conn) Poll() (err error) {
	c.lane, err = net.FileConn(c.f) // a duplicate
	return err
}

func (c *Conn) Read(p []byte) (int, error) {
	if c.lane != nil {
		return c.lane.Read(p)
	}
	for {
		n, err := unix.Read(c.fd, p)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return 0, os.ErrDeadlineExceeded // ReadWithin
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

func (c *Conn) Write(p []byte) (int, error) {
	if c.lane != nil {
		return c.lane.Write(p)
	}
	done := 0
	for done < len(p) {
		n, err := unix.SendmsgN(c.fd, p[done:], nil, nil, sendFlags)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

// Polled gives the connection to Go's poller, for one that many goroutines wait
// for.
func (c *Conn) Polled() (net.Conn, error) {
	defer c.Close()
	return net.FileConn(c.f) // a duplicate
}

// HangUp ends the connection in both directions; it wakes whoever reads it. The
// descriptor stays until Close, so that its number cannot be another's.
func (c *Conn) HangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.f != nil {
		_ = unix.Shutdown(c.fd, unix.SHUT_RDWR)
	}
}

// HangUpRead lets nothing more in: whoever reads gets what has arrived and then
// the end, whoever writes at the other end an error. What is written here still
// arrives.
func (c *Conn) HangUpRead() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.f != nil {
		_ = unix.Shutdown(c.fd, unix.SHUT_RD)
	}
}

// ReadWithin bounds how long each read may wait; 0 means for ever.
func (c *Conn) ReadWithin(d time.Duration) error {
	tv := unix.NsecToTimeval(d.Nanoseconds())
	return unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv)
}

// Close frees the descriptor; nobody may be reading or writing it.
func (c *Conn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.f != nil {
		_ = c.f.Close()
		c.f = nil
		if c.lane != nil {
			_ = c.lane.Close()
		}
	}
}
