package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"runtime"
	"sync"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/after"
	"github.com/countersign/countersign/gateway/aliases"
	"github.com/countersign/countersign/gateway/attempts"
	"github.com/countersign/countersign/gateway/budget"
	"github.com/countersign/countersign/gateway/early"
	"github.com/countersign/countersign/gateway/keys"
	"github.com/countersign/countersign/gateway/leaf"
	"github.com/countersign/countersign/gateway/nearby"
	"github.com/countersign/countersign/gateway/scan"
	"github.com/countersign/countersign/gateway/screen"
	"github.com/countersign/countersign/gateway/strangers"
	"github.com/countersign/countersign/gateway/wire"
)

// Options is what a session's gateway needs.
type Options struct {
	Config *Config
	Keys   KeySource
	Ledger countersign.Ledger
	Allow  func(provider, model string) countersign.Ruling
	// Feature rules on what would happen out of the gateway's sight: kind is one
	// of wire.Kinds, detail the vendor's word. nil denies all.
	Feature func(kind, detail string) countersign.Ruling
	// LocalOnly is the refusal of every provider that is not on this machine; nil
	// where others may be reached.
	LocalOnly *countersign.Ruling
	// Served rules on an answer that another model gave than was asked; nil: it is
	// only recorded.
	Served func(provider, served string) countersign.Ruling
	// Scanner finds secrets in requests and answers; nil: one of our own.
	Scanner *scan.Scanner
	// Secrets says what is done with them; nil: prompts are redacted, answers only
	// flagged.
	Secrets screen.Rules
	// Early asks a person about calls of tools before the agent hears of them; nil:
	// about none.
	Early *early.Asker
	// Nearby finds model servers on this machine; nil: none are looked for.
	Nearby  func(context.Context) []nearby.Server
	Session string
	Agent   string // its name, for the record
	Token   string // the session's; the only credential an agent has
	// Holder finds whose token this is, where the gateway serves many: then Token
	// is not looked at.
	Holder func(token string) (Holder, bool)
	// Named reports whether a request's Host is a name of this gateway; nil: any is.
	Named func(host string) bool
	// Budget keeps what may be spent; nil bounds nothing. User and Project are whom
	// it counts for, where the session's token is used.
	Budget        *budget.Book
	User, Project string
	// Attempts knows the requests that are tried again; nil: a book in memory.
	Attempts *attempts.Book
	Now      func() time.Time
	// Quiet is how long an agent hears nothing of a held answer before a ping; 0
	// means ten seconds.
	Quiet time.Duration
	// Transport reaches the providers; nil means one of our own, without the
	// environment's proxies.
	Transport http.RoundTripper
}

// Holder is whom a standing gateway's token stands for.
type Holder struct {
	Name    string // of the token, which stands for the agent
	User    string // may be empty
	Project string // may be empty
}

// ErrStopped is the cause of the end of a request's context where the gateway
// ends before its answer.
var ErrStopped = errors.New("the gateway was stopped")

// gateway is the handler of one session.
type gateway struct {
	Options
	transport http.RoundTripper
	wires     []wire.Wire
	said      screen.Said
	after     *after.Work // records of answers that the agents have
	strangers *strangers.Counter
	aliases   *aliases.Finder
	buffers   sync.Pool // of *[readSize]byte, for answers
	// examining has a place for each request or answer that is read or searched: one
	// processor is left for answers that are under way.
	examining chan struct{}

	mu     sync.Mutex
	closed error
	keys   keys.Cache
	found  []*Provider // servers of this machine, as they were found last
}

// Door is a gateway that serves. After the ledger has failed once it refuses
// everything.
type Door struct{ *gateway }

// New returns the gateway of a session, or a standing one.
func New(o Options) Door { return Door{newGateway(o)} }

// Warm makes ready what the first request would else wait for, beside others.
func (d Door) Warm() { d.Scanner.Warm() }

// Close waits for the records of answers that the agents have, and puts on record
// what is only counted yet. It is called when no request is under way any more.
func (d Door) Close() {
	d.after.Close()
	d.strangers.Flush()
}

// How many answers, and of how many bytes, may be with their agents before their
// records are written.
const (
	maxAfter      = 256
	maxAfterBytes = 16 << 20
)

func newGateway(o Options) *gateway {
	g := &gateway{Options: o, transport: o.Transport, wires: wires(), after: after.New(maxAfter, maxAfterBytes)}
	g.buffers.New = func() any { return new([readSize]byte) }
	g.examining = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1))
	g.strangers = strangers.New(g.Now, func(rec countersign.Record) {
		if _, err := g.append(context.Background(), rec, true); err != nil {
			g.close(err)
		}
	})
	if g.Feature == nil {
		g.Feature = func(kind, detail string) countersign.Ruling {
			return countersign.Ruling{Verdict: countersign.Deny, Rule: "default", Reason: "no rule allows it"}
		}
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	if g.Scanner == nil {
		g.Scanner = scan.New(key)
	}
	if g.Attempts == nil {
		g.Attempts = attempts.New(key, g.Now)
	}
	if g.Secrets == nil {
		g.Secrets = screen.Usual{}
	}
	if g.transport == nil {
		g.transport = &http.Transport{
			DisableCompression: true, ForceAttemptHTTP2: true, MaxIdleConns: 512, MaxIdleConnsPerHost: 256,
			// A usual request leaves with one write, a usual answer comes with one read.
			WriteBufferSize: 16 << 10, ReadBufferSize: 8 << 10,
			IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second, ExpectContinueTimeout: time.Second,
			// A connection that has died must not hold all its streams for ever.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		}
	}
	g.aliases = aliases.New(g.transport, g.Now)
	return g
}

// ServeHTTP serves one request of the agent.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead && (g.Named == nil || g.Named(r.Host)) && (r.URL.Path == "/" || r.URL.Path == "/api/hello") {
		return
	}
	c := call{g: g, w: w, r: r}
	found := false
	c.wire, c.route, found = g.routeOf(r)
	c.model.Wire = c.route.Name
	switch {
	case g.Named != nil && !g.Named(r.Host):
		// A page in a browser that has its own name point here (DNS rebinding).
		c.stranger(wire.Misnamed, "gateway-host", "this gateway answers to 127.0.0.1 and localhost only")
	case !c.authentic():
	case !found:
		c.refuse(wire.Absent, "gateway-route", "the gateway serves no "+c.clean(r.Method)+" "+c.clean(r.URL.Path))
	case c.route.Op == wire.Socket:
		// On 426 Codex goes on over HTTP at once, on 404 it tries for seconds.
		c.refuse(wire.Upgrade, "gateway-websocket", "no WebSocket here: use HTTP")
	case c.route.Op == wire.List:
		c.models()
	default:
		c.serve()
	}
}

func (g *gateway) close(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed == nil {
		g.closed = err
	}
}

// open returns why the gateway is closed, nil if it is not.
func (g *gateway) open() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

// append writes a record unless the gateway is closed.
func (g *gateway) append(ctx context.Context, rec countersign.Record, durable bool) (countersign.Receipt, error) {
	if err := g.open(); err != nil {
		return countersign.Receipt{}, err
	}
	leaf.Fit(&rec)
	// The agent hanging up must not cost a record.
	ctx = context.WithoutCancel(ctx)
	// The ledger goes on without a record that it does not take (fit leaves none).
	// None must be missing all the same, but a request must not leave without its
	// prompt.
	for {
		receipt, err := g.Ledger.Append(ctx, rec, durable)
		switch whole := rec.Detail["cut"] == nil; {
		case countersign.CodeOf(err) != countersign.EInvalid:
			return receipt, err
		case len(rec.Payloads) > 0 && rec.Type == "model.response":
			rec.Payloads, rec.Detail["unkept"] = nil, true
		case len(rec.Payloads) == 0 && whole:
			rec.Detail = map[string]any{"cut": true}
		default:
			return receipt, err
		}
	}
}
