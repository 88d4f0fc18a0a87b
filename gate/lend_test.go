package gate

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/mask"
)

func lent(a countersign.Action) countersign.Action {
	a.Exec.Lends = []countersign.Lend{{Name: "DB", From: "env:X", Rule: "db"}}
	return a
}

// A command that secrets are lent to is covered by nothing: it is decided by itself.
func TestLentIsNotCovered(t *testing.T) {
	g, b := newGate(t, rules{"free": countersign.Allow}, func(c *Config) { c.Headless = true })
	if _, err := g.Exec(t.Context(), under(exec("migrate"), "id000")); err != nil {
		t.Error("without a secret it is covered:", err)
	}
	if _, err := g.Exec(t.Context(), lent(under(exec("migrate"), "id000"))); !errors.Is(err, ErrDenied) {
		t.Errorf("with one it was let go: %v", err)
	}
	p, err := g.Exec(t.Context(), lent(under(exec("free"), "id000")))
	if err != nil || p.Basis != countersign.ByPolicy {
		t.Errorf("%v, %+v", err, p)
	}
	last := b.all()[len(b.all())-1]
	if last.Parent != "id000" || strings.Join(last.Detail["lends"].([]string), " ") != "DB" {
		t.Errorf("on record as %+v", last)
	}
	if _, err := g.Exec(t.Context(), with(lent(exec("free")), func(e *countersign.Exec) { e.ProgramFromAgent = true })); !errors.Is(err, ErrDenied) {
		t.Errorf("its program comes from the agent: %v", err)
	}
}

func with(a countersign.Action, change func(*countersign.Exec)) countersign.Action {
	change(a.Exec)
	return a
}

// Of the agent's environment policy sees only what the command gets.
func TestLentEnvironment(t *testing.T) {
	e := lent(exec("x")).Exec
	e.Lends[0].Env = []string{"KEPT"}
	e.Delta = []countersign.EnvChange{{Name: "LD_PRELOAD", Value: "x"}, {Name: "KEPT", Value: "y"}}
	if got := asLent(e).Delta; len(got) != 1 || got[0].Name != "KEPT" {
		t.Errorf("%+v", got)
	}
}

// An approval of a command is none of the same with a secret, nor of another's.
func TestLendsAreBound(t *testing.T) {
	g, _ := newGate(t, rules{}, nil)
	seen := map[string]bool{}
	for _, ls := range [][]countersign.Lend{nil, {{Name: "A", From: "env:X"}}, {{Name: "B", From: "env:X"}}, {{Name: "A", From: "env:Y"}}, {{Name: "A", From: "env:X", Env: []string{"E"}}}} {
		a := exec("x")
		a.Exec.Lends = ls
		seen[g.reuse(a)], seen[a.Digest(g.cfg.Key, g.secret)] = true, true
	}
	if len(seen) != 10 {
		t.Errorf("%d of 10 are different", len(seen))
	}
}

// An approval of a command with a secret and no input is none of it with the agent's:
// psql with a pipe does what that says.
func TestLentInputIsPartOfAnApproval(t *testing.T) {
	g, _ := newGate(t, rules{}, nil)
	of := func(in countersign.Stdin, a countersign.Action) string {
		return g.reuse(with(a, func(e *countersign.Exec) { e.Stdin = in }))
	}
	if of(countersign.StdinNull, lent(exec("psql"))) == of(countersign.StdinPipe, lent(exec("psql"))) {
		t.Error("its input makes no difference")
	}
	if of(countersign.StdinNull, exec("psql")) != of(countersign.StdinPipe, exec("psql")) {
		t.Error("without a secret it does")
	}
}

// What was lent is in no record, wherever an action holds it, cut or not.
func TestLentValueEntersNoRecord(t *testing.T) {
	const value = "correct-horse-battery"
	var m mask.Mask
	m.Add("DB", value)
	g, b := newGate(t, rules{"free": countersign.Allow}, func(c *Config) { c.Mask = &m })
	a := exec("free", strings.Repeat("x", maxArg-len(value)/2)+value, "--db", value)
	a.Peer.Argv, a.Exec.Cwd = []string{"sh", value}, "/tmp/"+value
	a.Exec.Scripts = []countersign.Script{{Path: "/p/" + value}}
	if _, err := g.Exec(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if err := g.Refused(countersign.Action{Kind: countersign.KindNet, Net: &countersign.Net{Proto: "dns", Host: value + ".example"}}, countersign.Ruling{Verdict: countersign.Deny}, "NXDOMAIN", 1); err != nil {
		t.Fatal(err)
	}
	if err := g.Refused(countersign.Action{Kind: countersign.KindFileRead, File: &countersign.File{Path: "/p/" + value}}, countersign.Ruling{Verdict: countersign.Deny}, "EACCES", 1); err != nil {
		t.Fatal(err)
	}
	for _, r := range b.all() {
		if s, _ := json.Marshal(r); strings.Contains(string(s), value[:8]) {
			t.Errorf("%s", s)
		}
	}
	if a.Exec.Argv[3] != value {
		t.Error("the action itself was changed")
	}
}

// Who looks at the standing approvals sees what goes with them.
func TestGrantSaysWhatIsLent(t *testing.T) {
	g, _ := newGate(t, rules{}, nil)
	done := make(chan error, 1)
	go func() { _, err := g.Exec(t.Context(), lent(exec("migrate"))); done <- err }()
	r := waitOpen(t, g.Desk(), 1)[0]
	if err := g.Answer(t.Context(), r.ID, "", countersign.Approval{Granted: true, By: "p", Scope: countersign.ScopeSession}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if gs := g.Desk().Grants(); len(gs) != 1 || gs[0].Summary != "migrate (lends DB)" {
		t.Errorf("%+v", gs)
	}
	if _, err := g.Exec(t.Context(), lent(exec("migrate"))); err != nil {
		t.Error("not good for the same with the same:", err)
	}
}
