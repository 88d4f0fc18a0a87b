package ledger

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/filelock"
	"github.com/countersign/countersign/ledger/book"
	"github.com/countersign/countersign/ledger/disk"
	"github.com/countersign/countersign/ledger/payload"
)

// ServeOptions say what the ledger process needs from outside; the zero value
// takes the machine's own.
type ServeOptions struct {
	Now  func() time.Time     // wall clock
	Mono func() time.Duration // a clock that nobody can set and that counts through sleep
	Rand io.Reader
	Boot string        // the machine's boot id
	Node string        // name of the node, for a new ledger
	FS   disk.FS       // instead of Dirs.State, for tests
	Idle time.Duration // how long to wait for another client; 0 means a second
}

func (o *ServeOptions) fill(d Dirs) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Mono == nil {
		o.Mono = bootClock
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Boot == "" {
		o.Boot = bootID()
	}
	if o.FS == nil {
		o.FS = disk.Dir(d.State)
	}
	if o.Idle == 0 {
		o.Idle = grace
	}
}

// Serve is the ledger process: it holds the directory's lock, recovers the
// ledger, serves clients of the same user and returns when the last is gone, ctx
// is done, or the ledger can no longer be written. A second one for the same
// directory is refused. If the ledger cannot be opened, the first client is
// told why.
func Serve(ctx context.Context, d Dirs, o ServeOptions) error {
	o.fill(d)
	if err := os.MkdirAll(d.State, 0o700); err != nil {
		return closedErr(err)
	}
	lock, err := filelock.Soon(lockPath(d), filelock.Exclusive)
	if err != nil {
		return &countersign.Error{Code: countersign.EClosed, Op: "lock ledger", Thing: d.State, Err: fmt.Errorf("another ledger process holds it (%w)", err)}
	}
	defer lock.Close()
	b, openErr := book.Open(book.Options{FS: o.FS, Now: o.Now, Mono: o.Mono, Rand: o.Rand, Node: o.Node, Boot: o.Boot, Lost: payload.Lost(o.FS), Copied: payload.Copied(o.FS)})
	if openErr != nil && countersign.CodeOf(openErr) == countersign.EInternal {
		openErr = &countersign.Error{Code: countersign.EClosed, Op: "open ledger", Thing: d.State, Err: openErr, Remedy: "see to the disk and its permissions, then start again"}
	}
	l, err := listen(d.Socket)
	if err != nil {
		if b != nil {
			_ = b.Close("no socket") // the error of the socket is the one to tell
		}
		return closedErr(errors.Join(openErr, err))
	}
	s := &server{book: b, refuse: openErr, o: o, gone: make(chan struct{}, 1), conns: map[*net.UnixConn]bool{}}
	s.in = newIntake(disk.Dir(d.State), b)
	if s.refuse == nil {
		s.refuse = s.in.leftovers()
	}
	if s.refuse == nil {
		s.refuse = s.openPayloads()
	}
	return s.run(ctx, l)
}

// listen replaces the socket that a dead process left; the lock is ours.
func listen(path string) (*net.UnixListener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path, 0o600)
}

type server struct {
	book   *book.Book
	refuse error          // why the ledger could not be opened
	blobs  *payload.Store // nil: the ledger could not be opened
	in     *intake
	o      ServeOptions
	gone   chan struct{} // a client has gone

	mu    sync.Mutex
	conns map[*net.UnixConn]bool
	ended bool
	busy  sync.WaitGroup
}

func (s *server) run(ctx context.Context, l *net.UnixListener) error {
	go s.accept(l)
	s.wait(ctx)
	_ = l.Close() // also removes the socket
	if s.book == nil {
		s.hangUp()
		return s.refuse
	}
	err := s.book.Err()
	s.hangUp()
	s.in.last()
	if s.blobs != nil {
		_ = s.blobs.Close() // room that could not be given back the next start takes
	}
	if err == nil {
		err = s.refuse
	}
	if err != nil {
		_ = s.book.Close("") // the error that shut it is the one to tell
		return err
	}
	return s.book.Close("last client gone")
}

// wait returns when there is nothing left to serve.
func (s *server) wait(ctx context.Context) {
	left := patience
	if s.refuse != nil {
		left = 2 * time.Second
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	var shut <-chan struct{}
	if s.book != nil {
		shut = s.book.Shut()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-shut:
			return
		case <-timer.C:
			if s.last() {
				return
			}
		case <-s.gone:
			if s.refuse != nil {
				return
			}
			if s.clients() == 0 {
				timer.Reset(s.o.Idle)
			}
		}
	}
}

func (s *server) clients() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// last reports whether nobody is left, and if so lets nobody in any more: who
// comes now finds the door shut and starts another process.
func (s *server) last() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = s.ended || len(s.conns) == 0
	return s.ended
}

func (s *server) tell() {
	select {
	case s.gone <- struct{}{}:
	default:
	}
}

// hangUp takes no more questions, lets each connection have the answer that is
// under way and the error that shut the book, and then ends it. A client that
// does not read holds nothing up: the process must end.
func (s *server) hangUp() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.each((*net.UnixConn).CloseRead)
	rude := time.AfterFunc(farewell, func() { s.each((*net.UnixConn).Close) })
	defer rude.Stop()
	s.busy.Wait()
}

func (s *server) each(do func(*net.UnixConn) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = do(c) // it has gone already
	}
}

func (s *server) accept(l *net.UnixListener) {
	for {
		c, err := l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(time.Millisecond) // out of descriptors: some client will go
			continue
		}
		if uid, err := peerUID(c); err != nil || uid != os.Geteuid() {
			_ = c.Close() // another user: nothing to say to him
			continue
		}
		s.mu.Lock()
		if s.ended {
			_ = c.Close()
		} else {
			s.conns[c] = true
			s.busy.Add(1)
			go s.serve(c)
		}
		s.mu.Unlock()
	}
}

func (s *server) serve(c *net.UnixConn) {
	defer s.busy.Done()
	p := &pipe{conn: c}
	for s.answer(p) == nil {
	}
	if p.spool != "" {
		s.in.leave(p.spool)
	}
	s.mu.Lock()
	delete(s.conns, c)
	_ = c.Close()
	s.mu.Unlock()
	s.tell()
}

// answer answers one message. An error ends the connection.
func (s *server) answer(p *pipe) error {
	kind, msg, err := p.receive()
	if err != nil {
		if s.book != nil && s.book.Err() != nil {
			err = errors.Join(err, p.send(failed, encodeError(s.book.Err()))) // so that a door can say why it closes
		}
		return err
	}
	if kind == askFile && s.refuse == nil {
		return s.fileAll(p, msg)
	}
	out, err := s.do(p, kind, msg)
	if err != nil {
		if serr := p.send(failed, encodeError(err)); serr != nil || kind == askNudge {
			return errors.Join(err, serr)
		}
		if countersign.CodeOf(err) == countersign.EInvalid && kind != askHello {
			return nil // this record only
		}
		return err
	}
	if kind == askNudge {
		return nil
	}
	return p.send(okay, out)
}

func (s *server) do(p *pipe, kind byte, msg []byte) ([]byte, error) {
	if s.refuse != nil {
		return nil, s.refuse
	}
	switch kind {
	case askHello:
		return agree(msg)
	case askBlob:
		return s.put(msg)
	}
	m, rest, err := splitExtent(msg)
	if err == nil {
		err = s.in.take(m)
	}
	if err != nil {
		return nil, closedErr(err)
	}
	switch kind {
	case askAppend, askCommit:
		return s.append(rest, kind == askCommit)
	case askNudge:
		p.spool = m.name // whose end is the end of this connection
		return nil, nil
	case askTurn:
		return nil, s.in.drop(m.name)
	case askDone:
		return nil, s.book.Flush()
	}
	return nil, closedErr(fmt.Errorf("the ledger process does not know the question %q", kind))
}

// openPayloads makes the store of blobs; what fails there shuts the book.
func (s *server) openPayloads() (err error) {
	s.blobs, err = payload.New(payload.Options{FS: s.o.FS, Rand: s.o.Rand, Now: s.o.Now, Epoch: s.book.Epoch(), Fail: s.book.Fail})
	if err != nil {
		return closedErr(fmt.Errorf("look at the payloads: %w", err))
	}
	s.book.With(s.blobs)
	return nil
}

// put stores the payload of an askBlob message and returns its reference as JSON,
// after it is durable.
func (s *server) put(msg []byte) ([]byte, error) {
	head, plain, ok := bytes.Cut(msg, []byte("\n"))
	var what [2]string
	if !ok || json.Unmarshal(head, &what) != nil {
		return nil, closedErr(errors.New("a payload of impossible form"))
	}
	ps, err := s.blobs.Put(countersign.Payload{Role: what[0], Media: what[1], Plain: plain})
	if err != nil {
		return nil, err
	}
	return json.Marshal(ps[0])
}

func (s *server) append(msg []byte, durable bool) ([]byte, error) {
	id, body, err := splitRecord(msg)
	if err != nil {
		return nil, closedErr(err)
	}
	r, err := s.book.Append(id, body, durable)
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint64(nil, r.Seq), r.ID...), nil
}

func agree(msg []byte) ([]byte, error) {
	if len(msg) != 4 {
		return nil, closedErr(errors.New("a greeting of impossible form"))
	}
	low, high := binary.BigEndian.Uint16(msg), binary.BigEndian.Uint16(msg[2:])
	if low > version || high < version {
		return nil, &countersign.Error{
			Code: countersign.EClosed, Op: "reach the ledger",
			Err:    fmt.Errorf("the ledger process that runs speaks version %d of the protocol, this program %d to %d: they are of different releases", version, low, high),
			Remedy: "end the sessions that run with the other release (countersign sessions, countersign stop), then try again",
		}
	}
	return binary.BigEndian.AppendUint16(nil, version), nil
}
