package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/pollfd"
	"github.com/countersign/countersign/sandbox/view"
)

// batch is how many paths go into one packet.
const batch = 16

// AddTripwire lays a node that the server already knows over its path. What is
// missing there is made: a directory or an empty file.
func (s *Sandbox) AddTripwire(trips ...Trip) error {
	for part := range slices.Chunk(trips, batch) {
		if _, err := s.nsd.ask(view.Message{Op: view.OpTrip, Trips: part}); err != nil {
			return err
		}
	}
	return nil
}

// Pin lays a sealed copy of content over the file at path until Unpin: who
// opens path, whatever the file becomes meanwhile, reads content.
func (s *Sandbox) Pin(path string, content []byte) (Pin, error) {
	f, err := memory("countersign-pin", content)
	if err != nil {
		return Pin{}, err
	}
	defer f.Close()
	m, err := s.nsd.ask(view.Message{Op: view.OpPin, Paths: []string{path}}, int(f.Fd()))
	if err != nil {
		return Pin{}, err
	}
	return Pin{ID: m.Pin, Dev: m.Dev, Ino: m.Ino}, nil
}

// Text lays content over the file at path, in the place of what an earlier call laid
// there: who opens it reads all of the one or of the other. Of two traps that the
// server knows an overlay is made, and who tries to write there is reported; without
// them the file is read-only.
func (s *Sandbox) Text(path string, content []byte, traps ...Trip) error {
	f, err := memory("countersign-text", content)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = s.nsd.ask(view.Message{Op: view.OpText, Paths: []string{path}, Trips: traps}, int(f.Fd()))
	return err
}

// Unpin takes a copy away. Who has it open keeps reading it.
func (s *Sandbox) Unpin(p Pin) error {
	_, err := s.nsd.ask(view.Message{Op: view.OpUnpin, Pin: p.ID})
	return err
}

// Kill ends every process of the sandbox and returns when they are gone.
func (s *Sandbox) Kill() { s.once.Do(s.kill) }

func (s *Sandbox) kill() {
	s.nsd.conn.Close()
	s.init.conn.Close()
	if s.initFD >= 0 {
		_ = unix.PidfdSendSignal(s.initFD, unix.SIGKILL, nil, 0)
	}
	_ = unix.PidfdSendSignal(s.nsdFD, unix.SIGKILL, nil, 0)
	if s.initFD >= 0 { // readable when pid 1, and so all, have ended
		_, _ = pollfd.Events(s.initFD, unix.POLLIN, pollfd.Forever)
		unix.Close(s.initFD)
	}
	<-s.ended
	unix.Close(s.nsdFD)
	if b, err := io.ReadAll(io.NewSectionReader(s.errors, 0, 1<<16)); err == nil {
		s.said = strings.TrimSpace(string(bytes.ToValidUTF8(b, []byte("?"))))
	}
	s.errors.Close()
	closers := []io.Closer{s.Gateway, s.DNS, s.DNSStream}
	for _, l := range s.Doors {
		closers = append(closers, l)
	}
	for _, c := range closers {
		if c != nil {
			_ = c.Close()
		}
	}
}

// Dial connects to a port of the loopback inside, of either family, where somebody
// listens.
func (s *Sandbox) Dial(port int) (net.Conn, error) {
	c, err := s.dial(unix.AF_INET, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	if errors.Is(err, unix.ECONNREFUSED) {
		c, err = s.dial(unix.AF_INET6, &unix.SockaddrInet6{Port: port, Addr: [16]byte{15: 1}})
	}
	if err != nil {
		return nil, fmt.Errorf("connect to port %d inside: %w", port, err)
	}
	return c, nil
}

// Diag is a socket of sock_diag(7) for the network inside.
func (s *Sandbox) Diag() (*os.File, error) { return s.socket(unix.AF_NETLINK) }

// socket has init make a socket: it keeps init's network namespace.
func (s *Sandbox) socket(family int) (*os.File, error) {
	id, from := s.init.id(1)
	defer s.init.forget(id)
	if err := s.init.conn.Send(view.Message{Op: view.OpSocket, ID: id, Family: family}); err != nil {
		return nil, err
	}
	e, err := s.init.wait(from)
	if err != nil {
		return nil, err
	}
	if len(e.files) != 1 {
		view.CloseAll(e.files)
		return nil, errors.New("init handed out no socket")
	}
	return e.files[0], nil
}

func (s *Sandbox) dial(family int, to unix.Sockaddr) (net.Conn, error) {
	f, err := s.socket(family)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fd := int(f.Fd())
	limit := unix.Timeval{Sec: 5} // of a connect that waits for a full queue, too (socket(7))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err != nil {
		return nil, err
	}
	if err := unix.Connect(fd, to); err != nil {
		return nil, err
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{}); err != nil {
		return nil, err
	}
	return net.FileConn(f)
}

// Ended is closed when the sandbox is gone.
func (s *Sandbox) Ended() <-chan struct{} { return s.ended }

// explain adds what the helpers wrote before they ended, and the remedy. It
// comes after Kill.
func (s *Sandbox) explain(op string, err error) error {
	if s.said != "" && errors.Is(err, errGone) {
		err = fmt.Errorf("%w: %s", err, s.said)
	}
	e := &countersign.Error{Code: countersign.EInternal, Op: op, Err: err}
	if hit := remedyFor(s.said); hit != "" {
		e.Code, e.Remedy = countersign.EPosture, hit
	}
	if msg := err.Error(); strings.Contains(msg, "seccomp filter") && strings.Contains(msg, "busy") {
		e.Code, e.Remedy = countersign.EPosture, listenerRemedy
	}
	return e
}
