package ledger

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/filelock"
)

// maxPipes is how many calls of one client are on their way at once.
const maxPipes = 32

// Client is a door's way to the ledger process. It implements
// countersign.Ledger; its methods may be called concurrently.
type Client struct {
	Canary bool // what is written is a probe's; set before the first record
	dirs   Dirs
	nudges *pipe         // for what is not answered
	order  sync.Mutex    // of nudges
	done   chan struct{} // closed by the watcher after askDone's answer
	spool  spooler
	// laneing is held while a lane is looked for or made.
	laneing sync.Mutex
	lanes   map[bool]*lane // by whether they wait for a flush

	mu     sync.Mutex
	idle   []*pipe
	slots  chan struct{}
	bodies sync.Pool // of *body
	closed chan struct{}
	err    error // why it is closed
}

// Dial connects to the ledger process, starting it if none runs, and returns
// when it is ready. spawn starts it detached; it may be called more than once.
// The error of a ledger that cannot be opened is the one that the process met.
func Dial(ctx context.Context, d Dirs, spawn func(context.Context) error) (*Client, error) {
	deadline := time.Now().Add(15 * time.Second)
	var spawned time.Time
	for {
		p, err := connect(d)
		if err == nil {
			c := &Client{dirs: d, nudges: p, done: make(chan struct{}), slots: make(chan struct{}, maxPipes), closed: make(chan struct{}), lanes: map[bool]*lane{}}
			c.spool.wake = make(chan struct{}, 1)
			go c.watch()
			go c.nudge()
			return c, nil
		}
		if code := countersign.CodeOf(err); code != countersign.EPending {
			return nil, err
		}
		if time.Since(spawned) > 300*time.Millisecond && spawn != nil && !filelock.Held(lockPath(d)) {
			spawned = time.Now()
			if err := spawn(ctx); err != nil {
				return nil, closedErr(fmt.Errorf("start the ledger process: %w", err))
			}
		}
		if time.Now().After(deadline) || spawn == nil {
			return nil, closedErr(fmt.Errorf("no ledger process answers at %s: %w", d.Socket, err))
		}
		select {
		case <-ctx.Done():
			return nil, closedErr(ctx.Err())
		case <-time.After(3 * time.Millisecond):
		}
	}
}

func lockPath(d Dirs) string { return filepath.Join(d.State, "lock") }

// connect makes one connection and agrees on the protocol. Its error has the
// code EPending if no process was there.
func connect(d Dirs) (*pipe, error) {
	pending := func(err error) error {
		return &countersign.Error{Code: countersign.EPending, Op: "reach the ledger", Err: err}
	}
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: d.Socket, Net: "unix"})
	if err != nil {
		if len(d.Socket) > 103 {
			return nil, closedErr(fmt.Errorf("the socket's path %s is too long for a unix socket", d.Socket))
		}
		return nil, pending(err)
	}
	uid, err := peerUID(c)
	if err != nil || uid != os.Geteuid() {
		_ = c.Close()
		return nil, closedErr(fmt.Errorf("the process at %s runs as user %d, not %d (%v)", d.Socket, uid, os.Geteuid(), err))
	}
	p := &pipe{conn: c}
	err = c.SetReadDeadline(time.Now().Add(greeting)) // a ledger that is stopped must not hold its clients up for ever
	if err == nil {
		err = hello(p)
	}
	if err == nil {
		err = c.SetReadDeadline(time.Time{})
	}
	if err != nil {
		_ = c.Close()
		if countersign.CodeOf(err) == countersign.EInternal {
			return nil, pending(err) // it hung up: it is about to end
		}
		return nil, err
	}
	return p, nil
}

func hello(p *pipe) error {
	var v [4]byte
	binary.BigEndian.PutUint16(v[0:], version)
	binary.BigEndian.PutUint16(v[2:], version)
	if err := p.send(askHello, v[:]); err != nil {
		return err
	}
	_, err := p.answer()
	return err
}

// answer reads one answer; an error that the process told is returned as it is.
func (p *pipe) answer() ([]byte, error) {
	kind, payload, err := p.receive()
	switch {
	case err != nil:
		return nil, err
	case kind == failed:
		return nil, decodeError(payload)
	case kind != okay:
		return nil, errors.New("an answer of unknown kind")
	}
	return payload, nil
}

// Append implements countersign.Ledger. A record with an id that need not be
// durable goes into the client's spool, which is a file of the ledger: then the
// receipt has no Seq. ctx is looked at before the record is sent; from then on
// the answer is awaited, since only it says what is written.
func (c *Client) Append(ctx context.Context, r countersign.Record, durable bool) (countersign.Receipt, error) {
	r.Canary = r.Canary || c.Canary
	if filed(r.Payloads) {
		return c.file(ctx, r, durable)
	}
	r, err := c.put(ctx, r)
	if err != nil {
		return countersign.Receipt{}, err
	}
	body := c.body()
	defer c.bodies.Put(body)
	if err := body.encode(r); err != nil {
		return countersign.Receipt{}, err
	}
	kind := byte(askAppend)
	if durable {
		kind = askCommit
	} else if r.ID != "" && c.spooled(r.ID, body.b) {
		return countersign.Receipt{ID: r.ID}, nil
	}
	var rec countersign.Receipt
	err = c.ask(ctx, kind, func(b []byte) (err error) {
		rec, err = receipt(b)
		return err
	}, c.spool.extent().encode(), record(r.ID), body.b)
	return rec, err
}

// receipt reads the answer to a record.
func receipt(b []byte) (countersign.Receipt, error) {
	if len(b) < 8 {
		return countersign.Receipt{}, errors.New("an answer of impossible form")
	}
	return countersign.Receipt{Seq: binary.BigEndian.Uint64(b), ID: string(b[8:])}, nil
}

// put puts the payloads of a record that have their plain text, one by one.
func (c *Client) put(ctx context.Context, r countersign.Record) (countersign.Record, error) {
	ps := slices.Clone(r.Payloads)
	for i, p := range ps {
		if p.Plain == nil {
			continue
		}
		var err error
		if ps[i], err = c.Blob(ctx, p.Role, p.Media, p.Plain); err != nil {
			return r, err
		}
	}
	r.Payloads = ps
	return r, nil
}

// Blob implements countersign.Ledger.
func (c *Client) Blob(ctx context.Context, role, media string, plain []byte) (countersign.Payload, error) {
	var p countersign.Payload
	if len(plain) > MaxBlob {
		return p, invalid(fmt.Errorf("the payload has %d bytes, more than %d", len(plain), MaxBlob))
	}
	head, err := json.Marshal([2]string{role, media})
	if err != nil {
		return p, invalid(err)
	}
	err = c.ask(ctx, askBlob, func(b []byte) error { return json.Unmarshal(b, &p) }, append(head, '\n'), plain)
	return p, err
}

// ask sends one question on a free connection and hands its answer to take.
func (c *Client) ask(ctx context.Context, kind byte, take func([]byte) error, parts ...[]byte) error {
	if err := ctx.Err(); err != nil {
		return closedErr(err)
	}
	p, err := c.pipe()
	if err != nil {
		return err
	}
	defer func() { <-c.slots }()
	err = p.send(kind, parts...)
	var b []byte
	if err == nil {
		b, err = p.answer()
	}
	if err == nil {
		err = take(b)
	}
	if code := countersign.CodeOf(err); code == "" || code == countersign.EInvalid {
		c.putBack(p)
		return err
	}
	_ = p.conn.Close()
	return c.ended(err)
}

// ended shuts the client after an answer that does not come or says that nothing
// is written any more. A record that is refused ends nothing.
func (c *Client) ended(err error) error {
	switch countersign.CodeOf(err) {
	case "", countersign.EInvalid:
		return err
	case countersign.EInternal:
		err = c.lost(fmt.Errorf("the ledger process is gone: %w", err))
	}
	c.shut(err)
	return err
}

// lost says why the ledger is gone that a connection found gone: what it said
// itself on the connection of nudges, else err.
func (c *Client) lost(err error) error {
	select {
	case <-c.closed:
	case <-time.After(farewell):
		c.shut(closedErr(err))
	}
	return c.Err()
}

func (c *Client) putBack(p *pipe) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		_ = p.conn.Close()
		return
	}
	c.idle = append(c.idle, p)
}

func (c *Client) pipe() (*pipe, error) {
	c.slots <- struct{}{}
	c.mu.Lock()
	err := c.err
	if n := len(c.idle); err == nil && n > 0 {
		p := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		return p, nil
	}
	c.mu.Unlock()
	var p *pipe
	if err == nil {
		if p, err = connect(c.dirs); err != nil {
			err = c.lost(err)
		}
	}
	if err != nil {
		<-c.slots
	}
	return p, err
}

// watch waits on the connection of nudges for what should not come: an error,
// or its end.
func (c *Client) watch() {
	p := &pipe{conn: c.nudges.conn}
	_, err := p.answer()
	if err == nil {
		close(c.done)
		<-c.closed
	} else {
		if countersign.CodeOf(err) == countersign.EInternal {
			err = closedErr(errors.New("the ledger process is gone"))
		}
		c.shut(err)
	}
}

// Closed is closed when nothing can be written any more: callers close their
// doors.
func (c *Client) Closed() <-chan struct{} { return c.closed }

// Err says why Closed is closed, or nil.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *Client) shut(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	close(c.closed)
	_ = c.nudges.conn.Close()
	for _, p := range c.idle {
		_ = p.conn.Close()
	}
	c.idle = nil
	go c.leaveLanes() // whoever makes one holds them meanwhile
}

// leaveLanes ends the lanes, each after its last answer: none is made any more.
func (c *Client) leaveLanes() {
	c.laneing.Lock()
	defer c.laneing.Unlock()
	for _, l := range c.lanes {
		l.leave(c.Err())
	}
}

// Close waits until all that was appended is durable and hangs up.
func (c *Client) Close() error {
	if err := c.Err(); err != nil {
		c.spool.close()
		return err
	}
	m := c.spool.close()
	c.order.Lock()
	err := c.Err()
	if err == nil {
		if err = c.nudges.send(askDone, m.encode()); err != nil {
			err = c.lost(err)
		}
	}
	c.order.Unlock()
	if err == nil {
		select {
		case <-c.done:
		case <-c.closed:
			err = c.Err()
		}
	}
	c.shut(closedErr(errors.New("it is closed")))
	return err
}
