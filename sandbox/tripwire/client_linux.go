package tripwire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign"
)

// Command is the hidden argument that makes the binary the tripwire server.
const Command = "__tripwire"

// Server is the session's hold on its tripwire process.
type Server struct {
	cmd  *exec.Cmd
	ctl  *net.UnixConn
	done chan struct{}
	err  error // why it ended; read after done

	mu   sync.Mutex // one question at a time
	acks chan ack
}

type ack struct {
	id   uint64
	text string
}

// Start starts exe as the server of the mounted FUSE descriptor and returns
// when it is ready to take nodes. It takes fuse over and closes it: as long as
// anybody but the server holds that descriptor, a dead server leaves callers
// hanging instead of refused. onEvent is called from one goroutine, in order; it
// must not call the Server, and while it blocks, so do those that are refused.
// Ending ctx kills the server.
func Start(ctx context.Context, exe string, fuse *os.File, onEvent func(Event)) (*Server, error) {
	defer fuse.Close()
	ours, theirs, err := socketpair()
	if err != nil {
		return nil, fault("start", err)
	}
	defer theirs.Close()
	s := &Server{ctl: ours, done: make(chan struct{}), acks: make(chan ack, 1)}
	s.cmd = exec.CommandContext(ctx, exe, Command)
	s.cmd.Env = []string{"GOTRACEBACK=single", "GOMAXPROCS=2"}
	s.cmd.Dir = "/"
	s.cmd.ExtraFiles = []*os.File{fuse, theirs}
	stderr := &tail{}
	s.cmd.Stderr = stderr
	if err := s.cmd.Start(); err != nil {
		ours.Close()
		return nil, fault("start", err)
	}
	ready := make(chan struct{})
	go s.read(onEvent, ready, stderr)
	select {
	case <-ready:
		return s, nil
	case <-s.done:
		return nil, fault("start", s.err)
	}
}

// Add makes the server answer for nodes, or, where it knows the id, renews what it
// shows (the kernel's copy of the old attributes is dropped). When Add returns,
// their names can be looked up in the FUSE root. A node cannot change its type:
// give it another id.
func (s *Server) Add(nodes ...Node) error {
	all := make([]question, len(nodes))
	for i, n := range nodes {
		if n.ID == 0 {
			return fault("add", errors.New("a node's id is above 0"))
		}
		all[i] = question{n.ID, encodeNode(n)}
	}
	return s.ask(all...)
}

// Remove takes the name out of the FUSE root. Where the node is still bound, it
// goes on refusing and reporting until the kernel has forgotten it.
func (s *Server) Remove(id uint64) error {
	e := &encoder{b: []byte{msgRemove}}
	e.u(id)
	return s.ask(question{id, e.b})
}

// Shelve puts files on a shelf: the directory node id, which must be there. What
// stands there under the same name stays as it is.
func (s *Server) Shelve(id uint64, files []Shelved) error {
	for first := true; first || len(files) > 0; first = false {
		var msg []byte
		if msg, files = encodeShelved(id, files); len(msg) > maxMessage {
			return fault("fill a shelf of the", errors.New("path too long"))
		}
		if err := s.ask(question{id, msg}); err != nil {
			return err
		}
	}
	return nil
}

// question is a message that the server answers with an ack of the id.
type question struct {
	id  uint64
	msg []byte
}

// ask sends messages without waiting for an answer between them, and takes the
// answers as they come: neither side's buffer holds all.
func (s *Server) ask(all ...question) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range all {
		if len(q.msg) > maxMessage {
			return fault("add", errors.New("path too long"))
		}
	}
	sent := make(chan error, 1)
	go func() {
		for _, q := range all {
			if _, err := s.ctl.Write(q.msg); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	var failed error
	for _, q := range all {
		select {
		case a := <-s.acks:
			if a.id != q.id {
				return fault("reach", errWire)
			}
			if a.text != "" && failed == nil {
				failed = fault("add", fmt.Errorf("node %d: %s", q.id, a.text))
			}
		case <-s.done:
			return fault("reach", s.err)
		}
	}
	if err := <-sent; err != nil {
		return fault("reach", err)
	}
	return failed
}

// PID returns the server's process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Done is closed when the server has ended and its last event has been handed
// on. From then on every node answers ENOTCONN.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err says why the server ended: nil after Close. It may be called after Done.
func (s *Server) Err() error { return s.err }

// Close ends the server and returns when its last event has been handed on.
func (s *Server) Close() error {
	_ = s.ctl.CloseWrite() // the server ends at end of file
	select {
	case <-s.done:
	case <-time.After(5 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	return s.err
}

// read is the only reader of the control socket. It ends with the server; what
// a killed server had sent is still in the socket and is read.
func (s *Server) read(onEvent func(Event), ready chan struct{}, stderr *tail) {
	events := make(chan Event, 1024)
	folded := make(chan struct{})
	go fold(events, onEvent, folded)
	rerr := s.receive(events, ready)
	close(events)
	<-folded
	werr := s.cmd.Wait()
	s.ctl.Close()
	switch text := stderr.String(); {
	case rerr != nil:
		s.err = rerr
	case werr != nil && text != "":
		s.err = fmt.Errorf("tripwire server: %w: %s", werr, text)
	case werr != nil:
		s.err = fmt.Errorf("tripwire server: %w", werr)
	}
	close(s.done)
}

func (s *Server) receive(events chan<- Event, ready chan struct{}) error {
	buf := make([]byte, maxMessage+1)
	for {
		n, err := s.ctl.Read(buf)
		if err != nil || n == 0 {
			return nil // the exit status says why
		}
		switch msg := buf[1:n]; buf[0] {
		case msgReady:
			close(ready)
		case msgAck:
			d := &decoder{b: msg}
			s.acks <- ack{d.u(), d.s()}
		case msgEvent:
			e, err := decodeEvent(msg)
			if err != nil {
				_ = s.cmd.Process.Kill()
				return err
			}
			events <- e
		}
	}
}

// fold runs the flood rule until events is closed.
func fold(events <-chan Event, emit func(Event), done chan<- struct{}) {
	defer close(done)
	f := newFolder(emit)
	tick := time.NewTicker(foldEvery / 4)
	defer tick.Stop()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				f.flush(time.Time{})
				return
			}
			f.add(e)
		case now := <-tick.C:
			f.flush(now)
		}
	}
}

func socketpair() (*net.UnixConn, *os.File, error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	a, b := os.NewFile(uintptr(p[0]), "tripwire"), os.NewFile(uintptr(p[1]), "tripwire")
	defer a.Close()
	c, err := net.FileConn(a)
	if err != nil {
		b.Close()
		return nil, nil, err
	}
	return c.(*net.UnixConn), b, nil
}

func fault(op string, err error) error {
	return &countersign.Error{Code: countersign.EInternal, Op: op + " tripwire server", Err: err}
}

// tail keeps the last bytes of what a dying server says.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - 2048; over > 0 {
		t.b = bytes.Clone(t.b[over:])
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}
