package egress

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	countersign "github.com/countersign/countersign"
)

// link is a permitted connection to outside.
type link struct {
	d              *Door
	conn           net.Conn
	to             target
	permit         countersign.Permit
	address        string
	began          time.Time
	sent, received atomic.Int64

	head int64 // how much of an answer's head may still come; for forward
	br   *bufio.Reader
}

// Read and Write count, for what is not relayed as it is.
func (l *link) Read(b []byte) (int, error) {
	if l.head <= 0 {
		return 0, errors.New("the answer's head is too long")
	}
	n, err := l.conn.Read(b[:min(int64(len(b)), l.head)])
	l.received.Add(int64(n))
	if l.head != math.MaxInt64 {
		l.head -= int64(n)
	}
	return n, err
}

func (l *link) Write(b []byte) (int, error) {
	n, err := l.conn.Write(b)
	l.sent.Add(int64(n))
	return n, err
}

// end closes the connection and reports it.
func (l *link) end(err error) {
	l.d.drop(l.conn)
	o := countersign.Outcome{Status: "ok"}
	if err != nil {
		o.Status, o.Error = "failed", err.Error()
	}
	l.d.cfg.Judge.Ended(l.permit, o, Traffic{Address: l.address, Sent: l.sent.Load(), Received: l.received.Load(), Took: l.d.cfg.Now().Sub(l.began)})
}

// refuseAs makes the fault of a ruling.
func refuseAs(t fmt.Stringer, r countersign.Ruling) *fault {
	return &fault{403, fmt.Sprintf("%s is refused by rule %s: %s", t, r.Rule, r.Reason)}
}

func ruling(rule, format string, args ...any) countersign.Ruling {
	return countersign.Ruling{Verdict: countersign.Deny, Rule: rule, Reason: fmt.Sprintf(format, args...), Layer: "built-in"}
}

// connect has a connection to a host decided, and makes it. Nothing is asked of
// the resolver before the permit.
func (c *client) connect(to target) (*link, *fault) {
	a := c.action(countersign.Net{Proto: ProtoHost, Host: to.host, Port: to.port})
	if r := c.d.cfg.Judge.Rule(*a.Net); r.Verdict == countersign.Deny {
		c.refuse(a, r)
		return nil, refuseAs(to, r)
	}
	if to.addr.IsValid() {
		if r, ok := c.d.reachable(to.addr, to.port); !ok {
			c.refuse(a, r)
			return nil, refuseAs(to, r)
		}
	}
	permit, f := c.permit(a)
	if f != nil {
		return nil, f
	}
	l := &link{d: c.d, to: to, permit: permit, began: c.d.cfg.Now()}
	return l.dial(c.d.ctx)
}

// permit asks the judge, and checks that the permit is for this action.
func (c *client) permit(a countersign.Action) (countersign.Permit, *fault) {
	ctx, done := c.asked()
	permit, err := c.d.cfg.Judge.Connect(ctx, a)
	done()
	if err != nil {
		why := err.Error()
		if remedy := countersign.RemedyOf(err); remedy != "" {
			why += ": " + remedy
		}
		return permit, &fault{403, why}
	}
	if permit.Digest != a.Digest(nil, nil) {
		c.d.cfg.Judge.Withdraw(permit, ruling(RuleOwn, "the permit is for something else"))
		return permit, &fault{403, "the permit is for something else"}
	}
	return permit, nil
}

// reachable says whether an address is a public host's, and no rule denies it.
func (d *Door) reachable(a netip.Addr, port int) (countersign.Ruling, bool) {
	if why := d.special.Why(a); why != "" {
		return ruling(RulePublic, "%s is %s: only public hosts are reached", a, why), false
	}
	own, err := d.cfg.Own()
	if err != nil {
		return ruling(RulePublic, "this machine's own addresses cannot be told: %v", err), false
	}
	if slices.Contains(own, a) {
		return ruling(RulePublic, "%s is this machine's own", a), false
	}
	if r := d.cfg.Judge.Rule(countersign.Net{Proto: ProtoHost, Host: a.String(), Port: port}); r.Verdict == countersign.Deny && r.Rule != "default" {
		return r, false
	}
	return countersign.Ruling{}, true
}

// dial resolves the name, keeps the addresses that may be reached, and connects to
// the first that answers.
func (l *link) dial(ctx context.Context) (*link, *fault) {
	addrs := []netip.Addr{l.to.addr}
	if !l.to.addr.IsValid() {
		var err error
		if addrs, err = l.resolve(ctx); err != nil {
			l.failed(err)
			return nil, &fault{502, fmt.Sprintf("%s: the name was not resolved: %v", l.to, err)}
		}
	}
	var why countersign.Ruling
	var good []netip.Addr
	for _, a := range addrs {
		if r, ok := l.d.reachable(a, l.to.port); ok {
			good = append(good, a)
		} else {
			why = r
		}
	}
	if len(good) == 0 {
		if why.Rule == "" {
			why = ruling(RulePublic, "the name has no address")
		}
		l.d.cfg.Judge.Withdraw(l.permit, why)
		return nil, refuseAs(l.to, why)
	}
	var err error
	for _, a := range good[:min(len(good), 8)] {
		to := netip.AddrPortFrom(a, uint16(l.to.port))
		if l.conn, err = l.try(ctx, to); err == nil {
			l.address = to.String()
			if !l.d.keep(l.conn) {
				l.failed(net.ErrClosed)
				return nil, &fault{503, "the session ends"}
			}
			return l, nil
		}
	}
	l.failed(err)
	status := 502
	if isTimeout(err) {
		status = 504
	}
	return nil, &fault{status, fmt.Sprintf("%s: %v", l.to, err)}
}

func (l *link) resolve(ctx context.Context) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, l.d.cfg.Times.Dial)
	defer cancel()
	return l.d.cfg.Resolve(ctx, l.to.host)
}

func (l *link) try(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.d.cfg.Times.Dial)
	defer cancel()
	return l.d.cfg.Dial(ctx, to)
}

// failed reports a permit that came to nothing.
func (l *link) failed(err error) {
	l.d.cfg.Judge.Ended(l.permit, countersign.Outcome{Status: "failed", Error: err.Error()}, Traffic{Took: l.d.cfg.Now().Sub(l.began)})
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &ne) && ne.Timeout()
}

func past() time.Time  { return time.Unix(1, 0) }
func never() time.Time { return time.Time{} }
