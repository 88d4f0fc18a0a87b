package egress

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/flood"
	"github.com/countersign/countersign/internal/special"
)

// The values of countersign.Net.Proto: what is attempted.
const (
	ProtoHost    = "tcp"     // a host outside, through the proxy
	ProtoService = "service" // a port of this machine's loopback, from inside
	ProtoPublish = "publish" // a port inside, shown on this machine's loopback
)

// Rules of refusals that are the door's own, whatever policy says.
const (
	RulePublic  = "public-hosts"  // the address is no public host's
	RuleRequest = "proxy-request" // the request is not to be understood in one way only
	RuleOwn     = "sandbox"       // Countersign's own sockets
)

// Traffic is what went through a connection.
type Traffic struct {
	Address        string // that was dialled, with its port; empty if none was
	Sent, Received int64  // bytes, as the session sees it
	Took           time.Duration
	Connections    int // through a published port
}

// Judge decides, and keeps the records. Its methods are called from many
// goroutines at once.
type Judge interface {
	// Rule is what policy says, without a trace.
	Rule(n countersign.Net) countersign.Ruling
	// Connect decides what policy does not deny; it blocks while a person is
	// asked. Without an error the decision's record is durable.
	Connect(ctx context.Context, a countersign.Action) (countersign.Permit, error)
	// Refused reports what is refused without asking; count is how many equal
	// attempts it stands for.
	Refused(a countersign.Action, r countersign.Ruling, count int)
	// Withdraw reports that what was permitted is refused after all.
	Withdraw(p countersign.Permit, r countersign.Ruling)
	// Ended reports how a permitted connection ended.
	Ended(p countersign.Permit, o countersign.Outcome, t Traffic)
}

// Times bound how long a client may take. Zero values are the usual ones.
type Times struct {
	Head time.Duration // for a request's head, from its first byte: 10 s
	Idle time.Duration // between requests: 2 min
	Dial time.Duration // for an address, and for a name: 10 s
}

// Config is what a Door works with.
type Config struct {
	Judge   Judge
	Session string
	// Resolve finds a host's addresses; the name has no trailing dot.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Dial connects to exactly this address.
	Dial func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	// Own are this machine's addresses, which are not reached either.
	Own func() ([]netip.Addr, error)
	// Peer is the process inside that has a connection with these two ends.
	Peer func(local, remote netip.AddrPort) countersign.Peer
	// Taken reports whether Countersign itself listens on a port of this machine.
	Taken func(port int) bool
	Now   func() time.Time
	Times Times
	Max   int // connections at once; 0: 512
}

// Door serves one session. Its methods may be called concurrently.
type Door struct {
	cfg     Config
	special *special.Table
	flood   *flood.Flood[floodKey, refused]
	ctx     context.Context
	stop    context.CancelFunc
	room    chan struct{}
	wg      sync.WaitGroup

	mu     sync.Mutex
	open   map[closer]bool
	closed bool
}

type closer interface{ Close() error }

type floodKey struct{ exe, what string }

type refused struct {
	a countersign.Action
	r countersign.Ruling
}

// New returns a door; Close ends it.
func New(cfg Config) *Door {
	for _, t := range []struct {
		d     *time.Duration
		usual time.Duration
	}{{&cfg.Times.Head, 10 * time.Second}, {&cfg.Times.Idle, 2 * time.Minute}, {&cfg.Times.Dial, 10 * time.Second}} {
		if *t.d == 0 {
			*t.d = t.usual
		}
	}
	if cfg.Max == 0 {
		cfg.Max = 512
	}
	d := &Door{cfg: cfg, special: special.New(), room: make(chan struct{}, cfg.Max), open: map[closer]bool{}}
	d.ctx, d.stop = context.WithCancel(context.Background())
	d.flood = flood.New[floodKey](flood.Usual(), cfg.Now, func(e refused, n int) { cfg.Judge.Refused(e.a, e.r, n) })
	d.wg.Go(d.report)
	return d
}

// report hands on each second what was folded.
func (d *Door) report() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			d.flood.Flush(false)
		case <-d.ctx.Done():
			return
		}
	}
}

// Close ends every connection and returns when each is on record.
func (d *Door) Close() {
	d.mu.Lock()
	d.closed = true
	for c := range d.open {
		_ = c.Close()
	}
	d.mu.Unlock()
	d.stop()
	d.wg.Wait()
	d.flood.Flush(true)
}

// enter counts a server among what Close waits for; it reports false where that is
// over. leave must follow.
func (d *Door) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.wg.Add(1)
	}
	return !d.closed
}

// keep has Close close c; it reports false, and closes it, where that is over.
func (d *Door) keep(c closer) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		_ = c.Close()
		return false
	}
	d.open[c] = true
	return true
}

func (d *Door) drop(c closer) {
	d.mu.Lock()
	delete(d.open, c)
	d.mu.Unlock()
	_ = c.Close()
}

// Proxy serves the proxy inside until the listener is closed.
func (d *Door) Proxy(l net.Listener) error {
	return d.accept(l, func(c *client) { c.proxy() })
}

// accept serves each connection of a listener in a goroutine, and returns when
// they have ended; those beyond the bound wait in the kernel's queue.
func (d *Door) accept(l net.Listener, serve func(*client)) error {
	if !d.enter() {
		return l.Close()
	}
	defer d.wg.Done()
	if !d.keep(l) {
		return nil
	}
	defer d.drop(l)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case d.room <- struct{}{}:
		case <-d.ctx.Done():
			return nil
		}
		conn, err := l.Accept()
		if err != nil {
			<-d.room
			if errors.Is(err, net.ErrClosed) || d.ctx.Err() != nil {
				return nil
			}
			return err
		}
		wg.Go(func() {
			defer func() { <-d.room }()
			if !d.keep(conn) {
				return
			}
			defer d.drop(conn)
			serve(d.newClient(conn))
		})
	}
}

// client is a connection from inside.
type client struct {
	d    *Door
	conn net.Conn
	br   *bufio.Reader
	peer func() countersign.Peer
	up   *link // of the last plain request
}

// maxHead bounds a request's head, bytes.
const maxHead = 64 << 10

func (d *Door) newClient(conn net.Conn) *client {
	return &client{d: d, conn: conn, br: bufio.NewReaderSize(conn, maxHead), peer: sync.OnceValue(func() countersign.Peer {
		theirs, ok := conn.RemoteAddr().(*net.TCPAddr)
		ours, is := conn.LocalAddr().(*net.TCPAddr)
		if ok && is && d.cfg.Peer != nil {
			return d.cfg.Peer(theirs.AddrPort(), ours.AddrPort())
		}
		return countersign.Peer{}
	})}
}

func (c *client) action(n countersign.Net) countersign.Action {
	return countersign.Action{Kind: countersign.KindNet, Session: c.d.cfg.Session, Peer: c.peer(), Net: &n}
}

// refuse reports a refusal that nobody was asked about.
func (c *client) refuse(a countersign.Action, r countersign.Ruling) {
	what := a.Net.Proto + " " + (target{host: a.Net.Host, port: a.Net.Port}).String() + " " + r.Rule
	c.d.flood.Add(floodKey{a.Peer.Exe, what}, floodKey{}, refused{a, r})
}

// asked returns a context that ends when the client goes away, for as long as
// somebody else thinks; done must be called before the client is read again.
func (c *client) asked() (ctx context.Context, done func()) {
	ctx, cancel := context.WithCancel(c.d.ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		if _, err := c.br.Peek(1); err != nil {
			var ne net.Error
			if !errors.As(err, &ne) || !ne.Timeout() {
				cancel()
			}
		}
	}()
	return ctx, func() {
		_ = c.conn.SetReadDeadline(time.Unix(1, 0))
		<-over
		_ = c.conn.SetReadDeadline(time.Time{})
		cancel()
	}
}
