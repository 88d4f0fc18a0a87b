package view

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// maxFiles bounds the descriptors beside one packet.
const maxFiles = 128

// Conn is one end of a control socket (SOCK_SEQPACKET: a packet is a message).
type Conn struct {
	c        *net.UnixConn
	buf, oob []byte     // of receiving
	mu       sync.Mutex // of sending
}

// Pair makes a control socket; the second end is to be inherited by a child.
func Pair() (*Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	c, err := newConn(fds[0])
	if err != nil {
		unix.Close(fds[1])
		return nil, nil, err
	}
	return c, os.NewFile(uintptr(fds[1]), "control"), nil
}

// newConn takes fd over.
func newConn(fd int) (*Conn, error) {
	f := os.NewFile(uintptr(fd), "control")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("control socket: not a unix socket")
	}
	return &Conn{c: u, buf: make([]byte, packetMax+1), oob: make([]byte, unix.CmsgSpace(maxFiles*4))}, nil
}

// Close ends the conversation, and with it the process at the other end.
func (c *Conn) Close() error { return c.c.Close() }

// Send sends one message with descriptors; they stay the caller's.
func (c *Conn) Send(m Message, fds ...int) error {
	b, err := m.encode()
	if err != nil {
		return err
	}
	if len(b) > packetMax {
		return fmt.Errorf("message %s: %d bytes are too many", m.Op, len(b))
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, _, err := c.c.WriteMsgUnix(b, oob, nil); err != nil {
		return fmt.Errorf("send %s: %w", m.Op, err)
	}
	return nil
}

// Receive waits for the next message; only one goroutine may. io.EOF means that the other end is gone.
func (c *Conn) Receive() (Message, []*os.File, error) {
	n, oobn, flags, _, err := c.c.ReadMsgUnix(c.buf, c.oob)
	if err != nil {
		return Message{}, nil, err
	}
	files, err := filesOf(c.oob[:oobn])
	if err != nil {
		return Message{}, nil, err
	}
	if n == 0 {
		return Message{}, nil, io.EOF
	}
	var m Message
	if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = fmt.Errorf("control socket: a packet was cut")
	} else {
		err = json.Unmarshal(c.buf[:n], &m)
	}
	if err != nil {
		CloseAll(files)
		return Message{}, nil, err
	}
	return m, files, nil
}

func filesOf(oob []byte) ([]*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	cs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	var files []*os.File
	for _, c := range cs {
		fds, err := unix.ParseUnixRights(&c)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, nil
}

// CloseAll closes files that nobody wants.
func CloseAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
