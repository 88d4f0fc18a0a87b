package gate

import (
	"context"
	"strings"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/redact"
)

// record builds the decision's leaf. Nothing secret enters it.
func (g *Gate) record(typ string, a countersign.Action, digest string, d countersign.Decision) countersign.Record {
	r := g.base(typ, a)
	r.Action.Digest = digest
	r.Policy.Rule = d.Ruling.Rule
	r.Decision = &countersign.DecisionRecord{Verdict: d.Verdict, Basis: d.Basis, Reason: d.Reason}
	if ap := d.Approval; ap != nil {
		dr := r.Decision
		dr.By, dr.Means, dr.Shown, dr.ShownMS, dr.Scope, dr.Confirmed, dr.Grant = ap.By, ap.Means, ap.Shown, ap.ShownMS, ap.Scope, ap.Confirmed, d.Grant
		if !ap.Until.IsZero() {
			dr.Until = ap.Until.UTC().Format(time.RFC3339)
		}
		if ap.Reason != "" {
			dr.Reason = ap.Reason
		}
		r.Actor.ID = g.cfg.Agent.Name
	}
	if a.Exec != nil && d.Ruling.Debugs && d.Verdict == countersign.Allow && d.Basis != countersign.ByCover {
		r.Decision.GivesUp = "the comparison at the exec stop and the seal over scripts, for what it traces"
	}
	if a.Exec != nil && d.Ruling.Verdict == countersign.Ask {
		r.Decision.Reason = sentences(r.Decision.Reason, a.Exec.Outlived)
	}
	r.Decision.Reason = trim(r.Decision.Reason, maxText)
	if a.Exec != nil && len(a.Exec.Lends) > 0 {
		r.Detail = map[string]any{"lends": countersign.LendNames(a.Exec.Lends)}
	}
	return r
}

// sentences joins two reasons, the second told once.
func sentences(a, b string) string {
	switch {
	case a == "" || b == "":
		return a + b
	case strings.HasSuffix(a, b):
		return a
	}
	return a + "; " + b
}

func (g *Gate) base(typ string, a countersign.Action) countersign.Record {
	a = g.masked(a)
	peer, room := a.Peer, roomFor(a)
	peer.Exe, peer.Argv = trim(peer.Exe, maxExe), cut(redact.Argv(peer.Argv), room.peer)
	r := countersign.Record{
		ID: g.cfg.NewID(), Type: typ, Session: g.cfg.Session,
		Actor:  &countersign.Actor{Kind: "agent", ID: g.cfg.Agent.Name, Peer: &peer},
		Agent:  &g.cfg.Agent,
		Action: &countersign.ActionRecord{Kind: a.Kind},
		Policy: g.cfg.Policy.Record(""),
		Cov:    &countersign.Coverage{Tier: g.cfg.Tier, Isolation: "same-uid"},
	}
	switch {
	case a.Exec != nil:
		e := a.Exec
		argv := redact.Argv(e.Argv)
		r.Action.Summary = Line(strings.Join(argv, " "))
		r.Action.Argv, r.Action.Cwd, r.Action.Path = cut(argv, room.argv), trim(e.Cwd, maxPath), trim(e.Exe.Path, maxPath)
		if e.Exe.SHA256 != "" {
			r.Action.Exe = "sha256:" + e.Exe.SHA256
		}
		var names []string
		for _, c := range e.Delta {
			names = append(names, c.Name)
		}
		r.Action.Env = cut(names, room.env)
		looked(r.Action, e, room.more)
	case a.File != nil:
		r.Action.Path, r.Action.Op = trim(a.File.Path, maxPath), a.File.Op
	case a.Net != nil:
		r.Action.Host, r.Action.Port, r.Action.Op = trim(a.Net.Host, maxText), a.Net.Port, a.Net.Proto
	}
	if r.Action.Summary == "" {
		r.Action.Summary = Summary(a)
	}
	return r
}

// looked puts into a record what policy looks at besides, so far as it fits: with
// it, a policy can be held against what has been.
func looked(r *countersign.ActionRecord, e *countersign.Exec, room int) {
	r.Writable = e.Writable
	if e.Invoked != e.Exe.Path && encoded(e.Invoked) <= room {
		r.Invoked = valid(e.Invoked)
	}
	var interp, scripts []string
	for _, x := range e.Interp {
		interp = append(interp, x.Path)
	}
	for _, s := range e.Scripts {
		scripts = append(scripts, s.Path)
	}
	r.Interp, r.Scripts = cut(interp, room), cut(scripts, room)
}

// Summary is the action in one line, redacted.
func Summary(a countersign.Action) string {
	s := a.Summary
	switch {
	case a.Exec != nil:
		s = strings.Join(redact.Argv(a.Exec.Argv), " ")
	case a.File != nil:
		s = a.File.Op + " " + a.File.Path
	case a.Net != nil:
		s = netLine(a.Net)
	}
	return Line(s)
}

// Line makes text one short line: its beginning and its end.
func Line(s string) string {
	if len(s) > 800 {
		s = s[:400] + " … " + s[len(s)-400:]
	}
	s = strings.Join(strings.Fields(valid(s)), " ")
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:125], "") + " … " + strings.ToValidUTF8(s[len(s)-70:], "")
	}
	return s
}

// valid keeps JSON honest: bytes that are not UTF-8 are shown as they are.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// Started records that a permitted command's new image was verified and runs.
func (g *Gate) Started(p countersign.Permit, a countersign.Action) {
	if _, ok := g.opened(p.Record); !ok {
		return // covered: its decision is its record
	}
	r := g.base("exec.started", a)
	r.Action.Digest, r.Parent = p.Digest, p.Record
	g.report(r)
}

// Finished records how a permitted command ended. A covered one is recorded
// only if it did not end well by our hand: what was verified differed.
func (g *Gate) Finished(p countersign.Permit, a countersign.Action, o countersign.Outcome) {
	open, ok := g.opened(p.Record)
	if ok {
		a = open.action
	} else if o.Error == "" {
		return
	}
	o.Error = trim(o.Error, maxText)
	r := g.base("exec.finished", a)
	r.Action.Digest, r.Parent, r.Outcome = p.Digest, p.Record, &o
	g.mu.Lock()
	delete(g.open, p.Record)
	g.mu.Unlock()
	g.report(r)
}

func (g *Gate) opened(id string) (openExec, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	o, ok := g.open[id]
	return o, ok
}

// Refused records an attempt that the sandbox refused by itself: a denied file
// (file.denied), a destination (net.denied), a call against the sandbox
// (sandbox.denied). Count is how many equal attempts it stands for.
func (g *Gate) Refused(a countersign.Action, ruling countersign.Ruling, errno string, count int) error {
	typ := "sandbox.denied"
	switch a.Kind {
	case countersign.KindFileRead, countersign.KindFileWrite:
		typ = "file.denied"
	case countersign.KindNet:
		typ = "net.denied"
	}
	r := g.record(typ, a, a.Digest(g.cfg.Key, g.secret), countersign.Decision{
		Verdict: countersign.Deny, Basis: countersign.ByPolicy, Ruling: ruling, Reason: ruling.Reason,
	})
	r.Outcome = &countersign.Outcome{Status: "refused", Error: errno}
	if count > 1 {
		r.Detail = map[string]any{"count": count}
	}
	_, err := g.cfg.Ledger.Append(context.Background(), r, true)
	if err != nil {
		g.Close(err)
	}
	return err
}

// Settle waits until every permit has its outcome, or until the time is up.
func (g *Gate) Settle(limit time.Duration) {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		g.mu.Lock()
		n := len(g.open)
		g.mu.Unlock()
		if n == 0 {
			return
		}
	}
}

// Orphan records every open permit as one whose result is not known. It is
// called once, when the session ends.
func (g *Gate) Orphan(reason string) {
	g.mu.Lock()
	open := g.open
	g.open = map[string]openExec{}
	g.mu.Unlock()
	g.reports.Lock() // waits for what is being written, and keeps out what would come behind
	g.over = true
	g.reports.Unlock()
	for id, o := range open {
		r := g.base(finished(o.action), o.action)
		r.Parent, r.Action.Digest = id, o.digest
		r.Outcome = &countersign.Outcome{Status: "orphaned", Error: reason}
		g.write(r)
	}
}

// report writes a record that nothing waits for, in the order of its making; a
// failure closes the gate. Behind the session's end nothing is reported: what was
// still open there is on record as orphaned.
func (g *Gate) report(r countersign.Record) {
	g.reports.RLock()
	defer g.reports.RUnlock()
	if !g.over {
		g.write(r)
	}
}

func (g *Gate) write(r countersign.Record) {
	if _, err := g.cfg.Ledger.Append(context.Background(), r, false); err != nil {
		g.Close(err)
	}
}
