package gate

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gate/grants"
)

// project is a place for grants and a clock that several sessions share.
type project struct {
	file grants.File
	now  time.Time
}

func newProject(t *testing.T) *project {
	return &project{grants.File{Path: filepath.Join(t.TempDir(), "p", "grants.json"), Project: "/p"}, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

// session opens a gate on the project.
func (p *project) session(t *testing.T, r rules, change func(*Config)) (*Gate, *book) {
	t.Helper()
	return newGate(t, r, func(c *Config) {
		c.Kept, c.Now = &p.file, func() time.Time { return p.now }
		if change != nil {
			change(c)
		}
	})
}

// run starts a command that is expected to ask, answers it, and waits for its end.
func answer(t *testing.T, g *Gate, a countersign.Action, ap countersign.Approval) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { _, err := g.Exec(context.Background(), a); done <- err }()
	r := waitOpen(t, g.Desk(), 1)[0]
	if err := g.Answer(context.Background(), r.ID, r.Digest, ap); err != nil {
		t.Fatal(err)
	}
	return <-done
}

func (p *project) until() countersign.Approval {
	return countersign.Approval{Granted: true, By: "ann", Means: "cli", Scope: countersign.ScopeProject, Until: p.now.Add(48 * time.Hour)}
}

func types(b *book) string {
	var out []string
	for _, r := range b.all() {
		s := r.Type
		if r.Decision != nil {
			s += "/" + string(r.Decision.Basis)
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func headless(c *Config) { c.Headless = true }

func TestProjectGrantIsGoodInOtherSessionsUntilItsDate(t *testing.T) {
	p := newProject(t)
	g, b := p.session(t, rules{}, nil)
	if err := answer(t, g, exec("make"), p.until()); err != nil {
		t.Fatal(err)
	}
	given := b.all()[0]
	if given.Type != "grant.given" || !b.durable[given.ID] || given.Actor.Kind != "human" || given.Actor.ID != "ann" || given.Decision.Until != "2026-03-03T12:00:00Z" || given.Decision.Scope != "project" || given.Detail["key"] == "" {
		t.Errorf("the grant's record: %+v %+v", given, given.Decision)
	}
	g, b = p.session(t, rules{}, headless)
	if _, err := g.Exec(context.Background(), exec("make")); err != nil {
		t.Fatal(err)
	}
	if d := b.all()[0].Decision; d.Basis != countersign.ByGrant || d.Grant != given.ID || d.By != "ann" || d.Until == "" {
		t.Errorf("its use: %+v", d)
	}
	other := exec("make")
	other.Exec.Exe.SHA256 = "changed"
	for _, a := range []countersign.Action{exec("make", "x"), other} {
		if _, err := g.Exec(context.Background(), a); err == nil {
			t.Errorf("%v ran under the grant of another command", a.Exec.Argv)
		}
	}
	p.now = p.now.Add(49 * time.Hour)
	for range 2 {
		if _, err := g.Exec(context.Background(), exec("make")); err == nil {
			t.Error("it ran after its date")
		}
	}
	if got := types(b); strings.Count(got, "grant.expired") != 1 {
		t.Errorf("its end is on record %s", got)
	}
	if left, err := p.file.List(); err != nil || len(left) != 0 {
		t.Errorf("%v %v", left, err)
	}
}

func TestAGrantEndsWhenPolicyDenies(t *testing.T) {
	for name, how := range map[string]func(*Gate){
		"at the next attempt": func(g *Gate) { g.Exec(context.Background(), exec("make")) },
		"at the next start":   func(g *Gate) { g.Sweep(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newProject(t)
			g, _ := p.session(t, rules{}, nil)
			answer(t, g, exec("make"), p.until())
			answer(t, g, exec("ls"), p.until())
			g, b := p.session(t, rules{"make": countersign.Deny}, headless)
			how(g)
			if got := types(b); !strings.HasPrefix(got, "grant.ended") {
				t.Errorf("on record: %s", got)
			}
			if why, _ := b.all()[0].Detail["reason"].(string); !strings.Contains(why, "rule-make") {
				t.Errorf("reason %q", why)
			}
			g, _ = p.session(t, rules{}, headless)
			if _, err := g.Exec(context.Background(), exec("make")); err == nil {
				t.Error("the grant came back with the old policy")
			}
			if _, err := g.Exec(context.Background(), exec("ls")); err != nil {
				t.Errorf("another grant went with it: %v", err)
			}
		})
	}
}

func TestGrantsHaveAnEnd(t *testing.T) {
	p := newProject(t)
	g, b := p.session(t, rules{}, nil)
	go g.Exec(context.Background(), exec("make"))
	r := waitOpen(t, g.Desk(), 1)[0]
	for what, ap := range map[string]countersign.Approval{
		"no date":        {Granted: true, Scope: countersign.ScopeProject},
		"past":           {Granted: true, Scope: countersign.ScopeProject, Until: p.now},
		"too far":        {Granted: true, Scope: countersign.ScopeProject, Until: p.now.Add(grants.Longest + time.Hour)},
		"too far, still": {Granted: true, Scope: countersign.ScopeSession, Until: p.now.Add(grants.Longest + time.Hour)},
		"another scope":  {Granted: true, Scope: "machine", Until: p.now.Add(time.Hour)},
	} {
		if err := g.Answer(context.Background(), r.ID, r.Digest, ap); countersign.CodeOf(err) != countersign.EInvalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(b.all()) != 0 || len(g.Desk().Open("")) != 1 {
		t.Error("a refused grant left its mark")
	}
	if err := g.Answer(context.Background(), r.ID, r.Digest, countersign.Approval{}); err != nil {
		t.Fatal(err)
	}
}

// A session's grant may have a date too.
func TestSessionGrantRunsOut(t *testing.T) {
	p := newProject(t)
	g, b := p.session(t, rules{}, func(c *Config) { c.Timeout = 20 * time.Millisecond })
	_ = answer(t, g, exec("make"), countersign.Approval{Granted: true, Scope: countersign.ScopeSession, Until: p.now.Add(time.Hour)})
	p.now = p.now.Add(2 * time.Hour)
	if _, err := g.Exec(context.Background(), exec("make")); err == nil {
		t.Error("it ran after its date")
	}
	if got := types(b); got != "grant.given/person exec.decided/person grant.expired exec.decided/timeout" {
		t.Errorf("on record: %s", got)
	}
}

func TestUnreadableGrantsGrantNothing(t *testing.T) {
	for name, text := range map[string]string{
		"torn": `{"v":1,"gra`, "newer": `{"v":2}`, "of another project": `{"v":1,"project":"/q","grants":[]}`, "without an end": `{"v":1,"project":"/p","grants":[{"key":"reuse:x"}]}`,
	} {
		p := newProject(t)
		g, _ := p.session(t, rules{}, nil)
		answer(t, g, exec("make"), p.until())
		if err := os.WriteFile(p.file.Path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { _, err := g.Exec(context.Background(), exec("make")); done <- err }()
		r := waitOpen(t, g.Desk(), 1)[0]
		if !strings.Contains(r.Ruling.Reason, "grants.json") {
			t.Errorf("%s: the card says %q", name, r.Ruling.Reason)
		}
		if err := g.Answer(context.Background(), r.ID, r.Digest, p.until()); err == nil {
			t.Errorf("%s: a grant was kept in it", name)
		}
		g.Answer(context.Background(), r.ID, r.Digest, countersign.Approval{})
		if err := <-done; !errors.Is(err, ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The same command with another shell level is another action; a grant answers it
// where it waits.
func TestAGrantAnswersWhatWaitsOfItsCommand(t *testing.T) {
	g, b := newGate(t, rules{}, nil)
	results := make(chan error, 3)
	for _, level := range []string{"1", "2", "3"} {
		a := exec("make")
		a.Exec.Env = []string{"SHLVL=" + level}
		go func() { _, err := g.Exec(context.Background(), a); results <- err }()
	}
	r := waitOpen(t, g.Desk(), 3)[1]
	if err := g.Answer(context.Background(), r.ID, r.Digest, countersign.Approval{Granted: true, By: "ann", Scope: countersign.ScopeSession}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	got := strings.Fields(types(b))
	slices.Sort(got)
	if strings.Join(got, " ") != "exec.decided/grant exec.decided/grant exec.decided/person grant.given/person" {
		t.Errorf("on record: %v", got)
	}
}

// A command that is tried again after its time stands on the desk once.
func TestATriedAgainCommandStandsOnce(t *testing.T) {
	g, _ := newGate(t, rules{}, func(c *Config) { c.Timeout = time.Millisecond })
	for _, level := range []string{"1", "2"} {
		a := exec("make")
		a.Exec.Env = []string{"SHLVL=" + level}
		g.Exec(context.Background(), a)
	}
	if open := g.Desk().Open(""); len(open) != 1 || open[0].Action.Exec.Env[0] != "SHLVL=2" {
		t.Errorf("%d requests stand", len(open))
	}
}

func TestTypedConfirmation(t *testing.T) {
	p := newProject(t)
	typed := func(c *Config) { c.Typed = func(rule string) bool { return rule == "rule-git" } }
	// Approved without the word, under a policy that wanted none.
	g, _ := p.session(t, rules{}, nil)
	answer(t, g, exec("git", "push"), p.until())
	g, b := p.session(t, rules{"git": countersign.Ask}, typed)
	done := make(chan error, 1)
	go func() { _, err := g.Exec(context.Background(), exec("git", "push")); done <- err }()
	r := waitOpen(t, g.Desk(), 1)[0]
	if r.Confirm != "git" {
		t.Fatalf("it wants %q typed", r.Confirm)
	}
	for _, word := range []string{"", "yes", "GIT"} {
		if err := g.Answer(context.Background(), r.ID, r.Digest, countersign.Approval{Granted: true, Confirmed: word}); err == nil || !strings.Contains(countersign.RemedyOf(err), "--confirm git") {
			t.Errorf("%q: %v", word, err)
		}
	}
	ap := p.until()
	ap.Confirmed = "git"
	if err := g.Answer(context.Background(), r.ID, r.Digest, ap); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for _, r := range b.all() {
		if r.Decision.Confirmed != "git" {
			t.Errorf("%s does not say what was typed", r.Type)
		}
	}
	g, _ = p.session(t, rules{"git": countersign.Ask}, func(c *Config) { typed(c); c.Headless = true })
	if _, err := g.Exec(context.Background(), exec("git", "push")); err != nil {
		t.Errorf("a grant with the word does not hold: %v", err)
	}
	for argv0, want := range map[string]string{"/bin/rm": "rm", "a b": "yes", "": "yes", "..": "yes", "\u0440m": "yes"} {
		if got := word(&countersign.Exec{Argv: []string{argv0}}, true); got != want {
			t.Errorf("%q: %q, want %q", argv0, got, want)
		}
	}
}

// A denial needs no word.
func TestADenialNeedsNoWord(t *testing.T) {
	g, _ := newGate(t, rules{}, func(c *Config) { c.Typed = func(string) bool { return true } })
	if err := answer(t, g, exec("make"), countersign.Approval{Reason: "no"}); !errors.Is(err, ErrDenied) {
		t.Error(err)
	}
}

func TestOneOfManyAnswersIsOnRecord(t *testing.T) {
	g, b := newGate(t, rules{}, nil)
	done := make(chan error, 1)
	go func() { _, err := g.Exec(context.Background(), exec("make")); done <- err }()
	r := waitOpen(t, g.Desk(), 1)[0]
	var all sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			if g.Answer(context.Background(), r.ID, r.Digest, countersign.Approval{Granted: true, Scope: countersign.ScopeSession}) == nil {
				mu.Lock()
				won++
				mu.Unlock()
			}
		}()
	}
	all.Wait()
	<-done
	if got := types(b); won != 1 || strings.Count(got, "grant.given") != 1 {
		t.Errorf("%d answers won; on record: %s", won, got)
	}
}

func TestARequestCarriesTheLastOfItsKind(t *testing.T) {
	g, _ := newGate(t, rules{}, nil)
	yes := countersign.Approval{Granted: true}
	answer(t, g, exec("git", "log"), yes)
	answer(t, g, exec("git", "push", "origin"), yes)
	answer(t, g, exec("ls"), yes)
	answer(t, g, exec("git", "log", "-x"), countersign.Approval{})
	for _, tt := range []struct{ argv, want []string }{
		{[]string{"git", "log", "-p"}, []string{"git", "log"}},
		{[]string{"git", "pull"}, []string{"git", "push", "origin"}},
		{[]string{"make"}, nil},
	} {
		go g.Exec(context.Background(), exec(tt.argv...))
		r := waitOpen(t, g.Desk(), 1)[0]
		if !slices.Equal(r.Last, tt.want) || r.LastAt.IsZero() != (tt.want == nil) {
			t.Errorf("%v is compared with %v", tt.argv, r.Last)
		}
		g.Answer(context.Background(), r.ID, r.Digest, countersign.Approval{})
	}
}

// What a wrapper has new in it each time makes no other command; what it wraps does.
func TestAGrantSeesThroughTheWrapper(t *testing.T) {
	g, b := newGate(t, rules{}, func(c *Config) {
		c.Timeout = 20 * time.Millisecond
		c.Same = func(argv []string) []string {
			out := slices.Clone(argv)
			for i := range out {
				if s, ok := strings.CutPrefix(out[i], "/tmp/agent-"); ok && len(s) == 4 {
					out[i] = "/tmp/agent-*"
				}
			}
			return out
		}
	})
	_ = answer(t, g, exec("bash", "-c", "npm test", "/tmp/agent-aaaa"), countersign.Approval{Granted: true, Scope: countersign.ScopeSession})
	if _, err := g.Exec(context.Background(), exec("bash", "-c", "npm test", "/tmp/agent-bbbb")); err != nil {
		t.Errorf("the same command is asked again: %v", err)
	}
	if _, err := g.Exec(context.Background(), exec("bash", "-c", "npm run x", "/tmp/agent-bbbb")); err == nil {
		t.Error("another command ran under the grant")
	}
	last := b.all()
	if last[1].Action.Digest == last[2].Action.Digest || last[2].Action.Argv[3] != "/tmp/agent-bbbb" {
		t.Errorf("the record does not say what ran: %+v", last[2].Action)
	}
}
