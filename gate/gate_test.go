package gate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	countersign "github.com/countersign/countersign"
)

// book is a ledger in memory that can be made to fail.
type book struct {
	mu      sync.Mutex
	records []countersign.Record
	durable map[string]bool
	broken  error
}

func (b *book) Append(_ context.Context, r countersign.Record, durable bool) (countersign.Receipt, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken != nil {
		return countersign.Receipt{}, b.broken
	}
	b.records = append(b.records, r)
	b.durable[r.ID] = durable
	return countersign.Receipt{ID: r.ID, Seq: uint64(len(b.records))}, nil
}

func (b *book) Blob(context.Context, string, string, []byte) (countersign.Payload, error) {
	return countersign.Payload{}, nil
}

func (b *book) all() []countersign.Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]countersign.Record(nil), b.records...)
}

// rules answers by the first word of argv.
type rules map[string]countersign.Verdict

func (r rules) Record(rule string) *countersign.PolicyRecord {
	return &countersign.PolicyRecord{Bundle: "sha256:test", Preset: "standard", Rule: rule}
}

func (r rules) Exec(e *countersign.Exec, covered bool) countersign.Ruling {
	v := r[e.Argv[0]]
	switch {
	case v == "" && covered:
		return countersign.Ruling{Verdict: countersign.Allow, Rule: "covered"}
	case v == "":
		return countersign.Ruling{Verdict: countersign.Ask, Rule: "default"}
	}
	return countersign.Ruling{Verdict: v, Rule: "rule-" + e.Argv[0], Reason: "because", Alone: e.Argv[0] == "alone"}
}

func (r rules) Net(n countersign.Net) countersign.Ruling {
	if v := r[n.Host]; v != "" {
		return countersign.Ruling{Verdict: v, Rule: "rule-net", Reason: "because"}
	}
	return countersign.Ruling{Verdict: countersign.Deny, Rule: "default"}
}

func newGate(t *testing.T, r rules, change func(*Config)) (*Gate, *book) {
	t.Helper()
	b := &book{durable: map[string]bool{}}
	var mu sync.Mutex
	n := 0
	id := func() string { mu.Lock(); defer mu.Unlock(); n++; return fmt.Sprintf("id%03d", n) }
	cfg := Config{
		Policy: r, Ledger: b, Session: "s1", Agent: countersign.Agent{Name: "bash"}, Timeout: time.Minute,
		Now: time.Now, NewID: id, Key: countersign.NewKeyer([]byte("k")), Desk: NewDesk(time.Now, id),
	}
	if change != nil {
		change(&cfg)
	}
	return New(cfg), b
}

func exec(argv ...string) countersign.Action {
	return countersign.Action{Kind: countersign.KindExec, Exec: &countersign.Exec{
		Argv: argv, Cwd: "/p", Exe: countersign.Executable{Path: "/usr/bin/" + argv[0], SHA256: "aa"},
	}}
}

func under(a countersign.Action, record string) countersign.Action {
	a.Exec.Root = &countersign.CoverRoot{Record: record, PID: 7, Start: 9}
	return a
}

// waitOpen waits until n requests stand on the desk.
func waitOpen(t *testing.T, d *Desk, n int) []countersign.Request {
	t.Helper()
	changed := d.Changed()
	deadline := time.After(10 * time.Second)
	for {
		if rs := d.Open(""); len(rs) == n {
			return rs
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%d requests never stood on the desk", n)
		}
	}
}

func TestVerdictsBecomeDecisions(t *testing.T) {
	tests := []struct {
		name    string
		rules   rules
		action  countersign.Action
		change  func(*Config)
		basis   countersign.Basis
		verdict countersign.Verdict
		durable bool
		covers  bool
	}{
		{"allowed by rule", rules{"ls": countersign.Allow}, exec("ls"), nil, countersign.ByPolicy, countersign.Allow, true, true},
		{"allowed alone", rules{"alone": countersign.Allow}, exec("alone"), nil, countersign.ByPolicy, countersign.Allow, true, false},
		{"denied by rule", rules{"rm": countersign.Deny}, exec("rm"), nil, countersign.ByPolicy, countersign.Deny, true, false},
		{"nobody to ask", rules{}, exec("ls"), func(c *Config) { c.Headless = true }, countersign.ByHeadless, countersign.Deny, true, false},
		{"nobody answers", rules{}, exec("ls"), func(c *Config) { c.Timeout = time.Millisecond }, countersign.ByTimeout, countersign.Deny, true, false},
		{"covered", rules{}, under(exec("cc1"), "id9"), nil, countersign.ByCover, countersign.Allow, false, true},
		{"deny beats cover", rules{"curl": countersign.Deny}, under(exec("curl"), "id9"), nil, countersign.ByPolicy, countersign.Deny, true, false},
		{"ask at any depth beats cover", rules{"git": countersign.Ask}, under(exec("git"), "id9"), func(c *Config) { c.Headless = true }, countersign.ByHeadless, countersign.Deny, true, false},
		{"asks for more than there is", rules{"push": countersign.Ask}, exec("push"), func(c *Config) {
			c.Unmet = func(rule string) (string, bool) { return "needs two approvers", rule == "rule-push" }
		}, countersign.ByFault, countersign.Deny, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, b := newGate(t, tt.rules, tt.change)
			p, err := g.Exec(context.Background(), tt.action)
			rs := b.all()
			if len(rs) != 1 || rs[0].Type != "exec.decided" {
				t.Fatalf("records: %+v", rs)
			}
			d := rs[0].Decision
			if d.Basis != tt.basis || d.Verdict != tt.verdict || b.durable[rs[0].ID] != tt.durable {
				t.Errorf("decided %s by %s (durable %v)", d.Verdict, d.Basis, b.durable[rs[0].ID])
			}
			if (err == nil) != (tt.verdict == countersign.Allow) || (p.Record != "") != (err == nil) {
				t.Errorf("permit %+v, error %v", p, err)
			}
			if p.Covers != tt.covers {
				t.Errorf("covers %v, want %v", p.Covers, tt.covers)
			}
			if err != nil && !errors.Is(err, ErrDenied) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestLaunchCoversNothingAndObeysDeny(t *testing.T) {
	g, _ := newGate(t, rules{"evil": countersign.Deny}, nil)
	a := exec("agent")
	a.Exec.Launch = true
	p, err := g.Exec(context.Background(), a)
	if err != nil || p.Covers {
		t.Errorf("permit %+v, error %v: a launch covers nothing", p, err)
	}
	a = exec("evil")
	a.Exec.Launch = true
	if _, err := g.Exec(context.Background(), a); !errors.Is(err, ErrDenied) {
		t.Errorf("a denied agent was launched: %v", err)
	}
}

func TestFirstAnswerWins(t *testing.T) {
	g, b := newGate(t, rules{}, nil)
	result := make(chan error, 1)
	go func() { _, err := g.Exec(context.Background(), exec("make")); result <- err }()
	r := waitOpen(t, g.Desk(), 1)[0]
	if err := g.Desk().Answer(r.ID, "sha256:other", countersign.Approval{Granted: true}); countersign.CodeOf(err) != countersign.EInvalid {
		t.Fatalf("an approval of another digest was taken: %v", err)
	}
	if err := g.Desk().Answer(r.ID, r.Digest, countersign.Approval{Granted: false, By: "ann", Reason: "not now"}); err != nil {
		t.Fatal(err)
	}
	if err := g.Desk().Answer(r.ID, r.Digest, countersign.Approval{Granted: true, By: "bob"}); countersign.CodeOf(err) != countersign.ENotFound {
		t.Errorf("a second answer was taken: %v", err)
	}
	if err := <-result; !errors.Is(err, ErrDenied) {
		t.Errorf("got %v", err)
	}
	if d := b.all()[0].Decision; d.By != "ann" || d.Reason != "not now" || d.Basis != countersign.ByPerson {
		t.Errorf("recorded %+v", d)
	}
}

func TestLateApprovalIsGoodOnceForTheSameCommand(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	for _, tt := range []struct {
		name  string
		after time.Duration
		want  countersign.Basis
	}{{"in time", 14 * time.Minute, countersign.ByLate}, {"too late", 16 * time.Minute, countersign.ByTimeout}} {
		t.Run(tt.name, func(t *testing.T) {
			g, b := newGate(t, rules{}, func(c *Config) {
				c.Timeout, c.Now, c.Desk = time.Millisecond, clock, NewDesk(clock, func() string { return "r1" })
			})
			g.Exec(context.Background(), exec("make"))
			r := g.Desk().Open("")[0]
			if r.Pending {
				t.Fatal("a timed-out attempt is still pending")
			}
			if err := g.Desk().Answer("r1", "", countersign.Approval{Granted: true, By: "ann"}); err != nil {
				t.Fatal(err)
			}
			now = now.Add(tt.after)
			g.Exec(context.Background(), exec("make", "other"))
			g.Exec(context.Background(), exec("make"))
			g.Exec(context.Background(), exec("make"))
			var got []countersign.Basis
			for _, r := range b.all() {
				got = append(got, r.Decision.Basis)
			}
			if got[1] != countersign.ByTimeout || got[2] != tt.want || got[3] != countersign.ByTimeout {
				t.Errorf("bases %v", got)
			}
		})
	}
}

func TestSessionGrantIsForThatCommandOnly(t *testing.T) {
	g, b := newGate(t, rules{"curl": countersign.Deny}, nil)
	done := make(chan struct{})
	go func() { g.Exec(context.Background(), exec("make")); close(done) }()
	r := waitOpen(t, g.Desk(), 1)[0]
	if err := g.Desk().Answer(r.ID, "", countersign.Approval{Granted: true, Scope: countersign.ScopeSession}); err != nil {
		t.Fatal(err)
	}
	<-done
	for range 3 {
		if _, err := g.Exec(context.Background(), exec("make")); err != nil {
			t.Fatal(err)
		}
	}
	other := exec("make")
	other.Exec.Exe.SHA256 = "changed"
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := g.Exec(ctx, other); err == nil {
		t.Error("a changed executable ran under the grant")
	}
	rs := b.all()
	if rs[1].Decision.Basis != countersign.ByGrant {
		t.Errorf("basis %s", rs[1].Decision.Basis)
	}
	if len(g.Desk().Grants()) != 1 || !g.Desk().Revoke(r.Reuse) || len(g.Desk().Grants()) != 0 {
		t.Error("the grant cannot be listed and revoked")
	}
}

func TestEqualRequestsAreAnsweredOnce(t *testing.T) {
	g, _ := newGate(t, rules{}, nil)
	results := make(chan error, 5)
	for range 5 {
		go func() { _, err := g.Exec(context.Background(), exec("make")); results <- err }()
	}
	r := waitOpen(t, g.Desk(), 1)[0]
	deadline := time.Now().Add(10 * time.Second)
	for g.Desk().waitingFor(r.ID) < 5 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if err := g.Desk().Answer(r.ID, "", countersign.Approval{Granted: true}); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

func (d *Desk) waitingFor(id string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.queue[id]; e != nil {
		return e.waiting
	}
	return 0
}

func TestBrokenLedgerClosesTheGate(t *testing.T) {
	for name, a := range map[string]countersign.Action{"asked": exec("ls"), "covered": under(exec("cc1"), "id9")} {
		t.Run(name, func(t *testing.T) {
			g, b := newGate(t, rules{"ls": countersign.Allow}, nil)
			b.broken = errors.New("no space left on device")
			if p, err := g.Exec(context.Background(), a); err == nil || p.Record != "" {
				t.Fatalf("permit %+v without a record", p)
			}
			b.broken = nil
			if p, err := g.Exec(context.Background(), exec("ls")); countersign.CodeOf(err) != countersign.EClosed || p.Record != "" {
				t.Errorf("the gate opened again: %+v, %v", p, err)
			}
		})
	}
}

func TestNoSecretEntersARecord(t *testing.T) {
	g, b := newGate(t, rules{"curl": countersign.Allow}, nil)
	a := exec("curl", "-H", "Authorization: Bearer tops3cret", "https://u:tops3cret@h/")
	a.Exec.Env = []string{"PASSWORD=tops3cret"}
	a.Exec.Delta = []countersign.EnvChange{{Name: "PASSWORD", Value: "tops3cret"}}
	a.Peer.Argv = []string{"bash", "-c", "TOKEN=tops3cret curl"}
	if _, err := g.Exec(context.Background(), a); err != nil {
		t.Fatal(err)
	}
	line, err := b.all()[0].JSON()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(line), "tops3cret") {
		t.Errorf("a secret is in the record: %s", line)
	}
}

func TestOutcomesHangOnTheirDecision(t *testing.T) {
	g, b := newGate(t, rules{"ls": countersign.Allow}, nil)
	a := exec("ls")
	p, _ := g.Exec(context.Background(), a)
	g.Started(p, a)
	zero := 0
	g.Finished(p, a, countersign.Outcome{Status: "ok", Exit: &zero})
	q, _ := g.Exec(context.Background(), a)
	g.Orphan("the session ended")
	var got []string
	for _, r := range b.all() {
		s := r.Type + "<" + r.Parent
		if r.Outcome != nil {
			s += " " + r.Outcome.Status
		}
		got = append(got, s)
	}
	want := []string{"exec.decided<", "exec.started<" + p.Record, "exec.finished<" + p.Record + " ok", "exec.decided<", "exec.finished<" + q.Record + " orphaned"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestGitCoversOnlyItsOwn(t *testing.T) {
	at := func(exe string, argv ...string) countersign.Action {
		a := exec(argv...)
		a.Exec.Exe.Path = exe
		a.Peer.Exe = "/usr/bin/git"
		return a
	}
	hook := at("/p/x/.git/hooks/pre-commit", "pre-commit")
	hook.Exec.Writable = true
	for name, tt := range map[string]struct {
		action  countersign.Action
		covered bool
	}{
		"its own program":            {at("/usr/lib/git-core/git-remote-http", "git-remote-http"), true},
		"a pager":                    {at("/usr/bin/less", "less"), true},
		"its own script":             {at("/usr/lib/git-core/git-submodule", "git-submodule"), true},
		"a system's program":         {at("/usr/bin/make", "make", "2", "x"), false},
		"a configured command":       {at("/usr/bin/dash", "sh", "-c", "id > x"), false},
		"an interpreter of the tree": {at("/usr/bin/python3", "python3", "x.py"), false},
		"a hook":                     {hook, false},
	} {
		t.Run(name, func(t *testing.T) {
			g, b := newGate(t, rules{"git": countersign.Allow}, func(c *Config) { c.Headless = true })
			root, err := g.Exec(context.Background(), exec("git", "status"))
			if err != nil {
				t.Fatal(err)
			}
			_, err = g.Exec(context.Background(), under(tt.action, root.Record))
			if (err == nil) != tt.covered {
				t.Errorf("covered: %v, want %v", err == nil, tt.covered)
			}
			records := b.all()
			if last := records[len(records)-1]; last.Parent != root.Record {
				t.Errorf("the record's parent is %q, want %q", last.Parent, root.Record)
			}
		})
	}
	g, _ := newGate(t, rules{"git": countersign.Allow}, func(c *Config) { c.Headless = true })
	if p, err := g.Exec(context.Background(), under(at("/usr/bin/less", "less"), "r1")); err != nil || p.Covers {
		t.Errorf("what a pager's keys start is covered: %v %v", p.Covers, err)
	}
	g, _ = newGate(t, rules{"git": countersign.Allow}, func(c *Config) { c.Headless, c.Own = true, true })
	if _, err := g.Exec(context.Background(), under(at("/usr/bin/dash", "sh", "-c", "id"), "r1")); err != nil {
		t.Errorf("the person's own git: %v", err)
	}
	typed := under(at("/usr/bin/bash", "bash"), "r1")
	typed.Exec.ProgramFromAgent = true
	if p, err := g.Exec(context.Background(), typed); err != nil || !p.Covers {
		t.Errorf("a shell that the person types in covers %v, %v", p.Covers, err)
	}
}
