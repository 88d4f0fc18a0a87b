package gate

import (
	"context"
	"testing"
	"time"

	countersign "github.com/countersign/countersign"
)

func dial(host string) countersign.Action {
	return countersign.Action{Kind: countersign.KindNet, Net: &countersign.Net{Proto: "tcp", Host: host, Port: 443}}
}

func TestConnectionsAreDecided(t *testing.T) {
	tests := []struct {
		name  string
		rules rules
		typ   string
		basis countersign.Basis
	}{
		{"allowed", rules{"x.example": countersign.Allow}, "net.decided", countersign.ByPolicy},
		{"denied", rules{"x.example": countersign.Deny}, "net.denied", countersign.ByPolicy},
		{"no rule", rules{}, "net.denied", countersign.ByPolicy},
		{"nobody to ask", rules{"x.example": countersign.Ask}, "net.denied", countersign.ByHeadless},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, b := newGate(t, tt.rules, func(c *Config) { c.Headless = true })
			p, err := g.Connect(context.Background(), dial("x.example"))
			rs := b.all()
			if len(rs) != 1 || rs[0].Type != tt.typ || rs[0].Decision.Basis != tt.basis || !b.durable[rs[0].ID] || rs[0].Action.Summary != "tcp x.example:443" {
				t.Fatalf("%+v", rs)
			}
			if (err == nil) != (tt.typ == "net.decided") || g.Denied() != 0 {
				t.Errorf("%v", err)
			}
			g.Disconnected(p, countersign.Outcome{Status: "ok"}, map[string]any{"sent": 1})
			rs = b.all()
			if err == nil && (len(rs) != 2 || rs[1].Type != "net.finished" || rs[1].Parent != rs[0].ID) || err != nil && len(rs) != 1 {
				t.Errorf("%+v", rs)
			}
		})
	}
}

// An approval for the session is good for the same host and port only.
func TestGrantOfAHost(t *testing.T) {
	g, b := newGate(t, rules{"x.example": countersign.Ask, "y.example": countersign.Ask}, nil)
	done := make(chan error, 1)
	go func() { _, err := g.Connect(context.Background(), dial("x.example")); done <- err }()
	req := waitOpen(t, g.Desk(), 1)[0]
	if err := g.Answer(context.Background(), req.ID, req.Digest, countersign.Approval{Granted: true, By: "p", Scope: countersign.ScopeSession}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := g.Connect(context.Background(), dial("x.example")); err != nil {
		t.Fatal(err)
	}
	if rs := b.all(); rs[len(rs)-1].Type != "net.decided" || rs[len(rs)-1].Decision.Basis != countersign.ByGrant {
		t.Errorf("%+v", rs)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := g.Connect(ctx, dial("y.example")); countersign.CodeOf(err) != countersign.EDenied {
		t.Errorf("another host: %v", err)
	}
	p, err := g.Connect(context.Background(), dial("x.example"))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Withdraw(p, countersign.Ruling{Rule: "public-hosts", Reason: "private"}); err != nil {
		t.Fatal(err)
	}
	if rs := b.all(); rs[len(rs)-1].Type != "net.denied" || rs[len(rs)-1].Parent != p.Record || rs[len(rs)-1].Policy.Rule != "public-hosts" {
		t.Errorf("%+v", rs[len(rs)-1])
	}
	g.Orphan("over")
	if rs := b.all(); rs[len(rs)-1].Type != "net.finished" || rs[len(rs)-1].Outcome.Status != "orphaned" {
		t.Errorf("%+v", rs[len(rs)-1])
	}
}

// A ledger that cannot write lets nothing out.
func TestNoRecordNoConnection(t *testing.T) {
	g, b := newGate(t, rules{"x.example": countersign.Allow}, nil)
	b.broken = context.DeadlineExceeded
	if _, err := g.Connect(context.Background(), dial("x.example")); countersign.CodeOf(err) != countersign.EClosed {
		t.Errorf("%v", err)
	}
	b.broken = nil
	if _, err := g.Connect(context.Background(), dial("x.example")); countersign.CodeOf(err) != countersign.EClosed {
		t.Errorf("the gate opened again: %v", err)
	}
}
