package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	countersign "github.com/countersign/countersign"
)

// Service serves a port of this machine's loopback on a listener inside, until
// that is closed.
func (d *Door) Service(l net.Listener, port int) error {
	return d.accept(l, func(c *client) { c.service(port) })
}

func (c *client) service(port int) {
	a := c.action(countersign.Net{Proto: ProtoService, Host: "localhost", Port: port})
	r := c.d.cfg.Judge.Rule(*a.Net)
	if r.Verdict != countersign.Deny && c.d.cfg.Taken(port) {
		r = ruling(RuleOwn, "Countersign itself listens there")
	}
	if r.Verdict == countersign.Deny {
		c.refuse(a, r)
		return
	}
	permit, f := c.permit(a)
	if f != nil {
		return
	}
	l := &link{d: c.d, to: target{host: "localhost", port: port}, permit: permit, began: c.d.cfg.Now()}
	if err := l.local(c.d.ctx); err != nil {
		l.failed(err)
		return
	}
	l.end(c.relay(l.conn, l))
}

// local connects to this machine's loopback, of either family.
func (l *link) local(ctx context.Context) (err error) {
	for _, a := range []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} {
		to := netip.AddrPortFrom(a, uint16(l.to.port))
		conn, terr := l.try(ctx, to)
		if terr == nil {
			l.conn, l.address = conn, to.String()
			if !l.d.keep(conn) {
				return net.ErrClosed
			}
			return nil
		}
		if err == nil {
			err = terr
		}
	}
	return err
}

// Inside is what publishing needs of the session.
type Inside struct {
	Ports  []int                                                 // those to be shown
	Listen func(port int) (net.Listener, error)                  // on this machine's loopback
	Dial   func(ctx context.Context, port int) (net.Conn, error) // to the loopback inside
	// Listening are the ports that somebody inside listens on, Owner who does.
	Listening func() []int
	Owner     func(port int) countersign.Peer
}

// Publish shows each of the ports for as long as somebody inside listens on it. It
// looks at each tick, and returns when the door is closed.
func (d *Door) Publish(in Inside, tick <-chan time.Time) {
	if !d.enter() {
		return
	}
	defer d.wg.Done()
	shown := map[int]context.CancelFunc{}
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		there := in.Listening()
		for _, port := range in.Ports {
			end, is := shown[port]
			switch listened := slices.Contains(there, port); {
			case listened && !is:
				ctx, cancel := context.WithCancel(d.ctx)
				shown[port] = cancel
				wg.Go(func() { d.show(ctx, in, port) })
			case !listened && is:
				end()
				delete(shown, port)
			}
		}
		select {
		case <-tick:
		case <-d.ctx.Done():
			for _, end := range shown {
				end()
			}
			return
		}
	}
}

// show has one port decided and shows it until ctx ends.
func (d *Door) show(ctx context.Context, in Inside, port int) {
	a := countersign.Action{Kind: countersign.KindNet, Session: d.cfg.Session, Peer: in.Owner(port), Net: &countersign.Net{Proto: ProtoPublish, Host: "localhost", Port: port}}
	if r := d.cfg.Judge.Rule(*a.Net); r.Verdict == countersign.Deny {
		d.flood.Add(floodKey{a.Peer.Exe, ProtoPublish}, floodKey{}, refused{a, r})
		return
	}
	permit, err := d.cfg.Judge.Connect(ctx, a)
	if err != nil {
		return
	}
	began := d.cfg.Now()
	var connections atomic.Int64
	l := &link{d: d, to: target{host: "localhost", port: port}}
	end := func(o countersign.Outcome, address string) {
		d.cfg.Judge.Ended(permit, o, Traffic{
			Address: address, Took: d.cfg.Now().Sub(began), Connections: int(connections.Load()),
			Sent: l.received.Load(), Received: l.sent.Load(), // the session is at the other end
		})
	}
	outer, err := in.Listen(port)
	if err != nil {
		end(countersign.Outcome{Status: "failed", Error: err.Error()}, "")
		return
	}
	stop := context.AfterFunc(ctx, func() { outer.Close() })
	defer stop()
	err = d.accept(outer, func(c *client) {
		connections.Add(1)
		conn, err := in.Dial(ctx, port)
		if err != nil || !d.keep(conn) {
			return
		}
		defer d.drop(conn)
		_ = c.relay(conn, l)
	})
	o := countersign.Outcome{Status: "ok"}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		o.Status, o.Error = "failed", err.Error()
	}
	end(o, outer.Addr().String())
}
