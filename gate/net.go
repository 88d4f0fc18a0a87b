package gate

import (
	"context"
	"fmt"
	"net"
	"strconv"

	countersign "github.com/countersign/countersign"
)

// Connect decides a connection that waits; nothing of it may have left the
// machine, not even the question for its address. It blocks while a person is
// asked. A nil error comes with a permit whose record is durable; what is refused
// is on record as net.denied. Any error means no.
func (g *Gate) Connect(ctx context.Context, a countersign.Action) (countersign.Permit, error) {
	if err := g.shut(); err != nil {
		return countersign.Permit{}, &countersign.Error{Code: countersign.EClosed, Op: "decide", Thing: Summary(a), Err: err}
	}
	a.Session = g.cfg.Session
	d := g.decide(ctx, &a, g.cfg.Policy.Net(*a.Net))
	digest := a.Digest(g.cfg.Key, g.secret)
	r := g.record("net.decided", a, digest, d)
	if d.Verdict != countersign.Allow {
		r.Type, r.Outcome = "net.denied", &countersign.Outcome{Status: "refused"}
	}
	receipt, err := g.cfg.Ledger.Append(context.WithoutCancel(ctx), r, true)
	if err != nil {
		return g.fail(a, err)
	}
	if d.Verdict != countersign.Allow {
		return countersign.Permit{}, &countersign.Error{Code: countersign.EDenied, Op: "connect", Thing: Summary(a), Err: fmt.Errorf("%w by rule %s", ErrDenied, d.Ruling.Rule), Remedy: d.Reason}
	}
	g.mu.Lock()
	g.open[receipt.ID] = openExec{action: a, digest: digest, ruling: d.Ruling}
	g.mu.Unlock()
	return countersign.Permit{Record: receipt.ID, Seq: receipt.Seq, Digest: digest, Basis: d.Basis}, nil
}

// Disconnected records how a permitted connection ended; detail is what went
// through it.
func (g *Gate) Disconnected(p countersign.Permit, o countersign.Outcome, detail map[string]any) {
	open, ok := g.opened(p.Record)
	if !ok {
		return // on record as orphaned
	}
	o.Error = trim(o.Error, maxText)
	r := g.base(finished(open.action), open.action)
	r.Action.Digest, r.Parent, r.Outcome, r.Detail = p.Digest, p.Record, &o, detail
	g.mu.Lock()
	delete(g.open, p.Record)
	g.mu.Unlock()
	g.report(r)
}

// Withdraw records that a permitted connection was refused after all: what the
// host turned out to be is not to be reached. It ends the permit.
func (g *Gate) Withdraw(p countersign.Permit, ruling countersign.Ruling) error {
	open, ok := g.opened(p.Record)
	if !ok {
		return nil
	}
	r := g.record("net.denied", open.action, p.Digest, countersign.Decision{
		Verdict: countersign.Deny, Basis: countersign.ByPolicy, Ruling: ruling, Reason: ruling.Reason,
	})
	r.Parent, r.Outcome = p.Record, &countersign.Outcome{Status: "refused"}
	g.mu.Lock()
	delete(g.open, p.Record)
	g.mu.Unlock()
	_, err := g.cfg.Ledger.Append(context.Background(), r, true)
	if err != nil {
		g.Close(err)
	}
	return err
}

// finished is the type of the record that ends a permitted action.
func finished(a countersign.Action) string {
	if a.Kind == countersign.KindNet {
		return "net.finished"
	}
	return "exec.finished"
}

func netLine(n *countersign.Net) string {
	if n.Port == 0 || n.Proto == "dns" {
		return n.Proto + " " + n.Host
	}
	return n.Proto + " " + net.JoinHostPort(n.Host, strconv.Itoa(n.Port))
}
