package gate

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	countersign "github.com/countersign/countersign"
)

var shell = countersign.Executable{Path: "/usr/bin/bash", SHA256: "aa"}

func shellCommand(line string) Command {
	return Command{Argv: []string{"/bin/bash", "-c", line}, Exe: shell, Hops: []string{"/bin/bash", "/usr/bin/bash"}}
}

func attempt(line string) countersign.Action {
	a := exec("/bin/bash", "-c", line)
	a.Exec.Exe = shell
	return a
}

// early asks ahead and has a person answer what stands on the desk, if anything.
func early(t *testing.T, g *Gate, c Command, ap *countersign.Approval) (asked bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	changed, done := g.Desk().Changed(), make(chan struct{})
	go func() { g.Early(ctx, c); close(done) }()
	for {
		select {
		case <-done:
			return asked
		case <-changed:
		}
		for _, r := range g.Desk().Open("s1") {
			if !r.Early || r.Action.Exec.Argv[2] != c.Argv[2] || asked {
				continue
			}
			asked = true
			if ap == nil {
				cancel()
			} else if err := g.Answer(context.Background(), r.ID, r.Digest, *ap); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// own has the agent run a command, so that its environment is known.
func own(g *Gate) { _, _ = g.Exec(context.Background(), exec("git", "status")) }

func TestAnEarlyAnswerIsThatOfTheFirstAttempt(t *testing.T) {
	for _, yes := range []bool{true, false} {
		g, b := newGate(t, rules{"git": countersign.Allow}, func(c *Config) { c.Timeout = time.Millisecond })
		own(g)
		if !early(t, g, shellCommand("npm test"), &countersign.Approval{Granted: yes, By: "ada", Reason: "no tests now"}) {
			t.Fatal("nobody was asked")
		}
		noted := b.all()[len(b.all())-1]
		if noted.Type != "request.answered" || noted.Decision.Basis != countersign.ByEarly {
			t.Errorf("the answer is on record as %s by %s", noted.Type, noted.Decision.Basis)
		}
		_, err := g.Exec(context.Background(), attempt("npm test"))
		last := b.all()[len(b.all())-1]
		if yes != (err == nil) || last.Decision.Basis != countersign.ByEarly || last.Decision.By != "ada" {
			t.Errorf("answer %v: the attempt got %v, by %s of %q", yes, err, last.Decision.Basis, last.Decision.By)
		}
		_, err = g.Exec(context.Background(), attempt("npm test"))
		if last = b.all()[len(b.all())-1]; !errors.Is(err, ErrDenied) || last.Decision.Basis != countersign.ByTimeout {
			t.Errorf("answer %v: a second attempt is decided by %s: %v", yes, last.Decision.Basis, err)
		}
	}
}

func TestWhatIsNotTheSameIsAskedAbout(t *testing.T) {
	g, _ := newGate(t, rules{"git": countersign.Allow}, func(c *Config) { c.Timeout = time.Millisecond })
	own(g)
	early(t, g, shellCommand("npm test"), &countersign.Approval{Granted: true})
	for name, change := range map[string]func(*countersign.Exec){
		"another line":        func(e *countersign.Exec) { e.Argv[2] = "npm test; id" },
		"another directory":   func(e *countersign.Exec) { e.Cwd = "/p/sub" },
		"another program":     func(e *countersign.Exec) { e.Exe.SHA256 = "bb" },
		"another environment": func(e *countersign.Exec) { e.Delta = []countersign.EnvChange{{Name: "LD_PRELOAD", Value: "/x"}} },
		"a script":            func(e *countersign.Exec) { e.Scripts = []countersign.Script{{Path: "/p/x", SHA256: "cc"}} },
	} {
		a := attempt("npm test")
		change(a.Exec)
		if _, err := g.Exec(context.Background(), a); err == nil {
			t.Errorf("%s: it ran", name)
		}
	}
	if _, err := g.Exec(context.Background(), attempt("npm test")); err != nil {
		t.Errorf("the approval was used up by another: %v", err)
	}
}

func TestNobodyIsAskedEarlyWithoutNeed(t *testing.T) {
	yes := &countersign.Approval{Granted: true}
	g, _ := newGate(t, rules{"git": countersign.Allow}, nil)
	if early(t, g, shellCommand("npm test"), yes) {
		t.Error("asked although the agent's environment is not known")
	}
	own(g)
	early(t, g, shellCommand("npm test"), yes)
	if early(t, g, shellCommand("npm test"), yes) {
		t.Error("asked although an approval waits")
	}
	early(t, g, shellCommand("make"), &countersign.Approval{})
	if !early(t, g, shellCommand("make"), yes) {
		t.Error("not asked because of a denial that met no attempt")
	}
	early(t, g, shellCommand("go test"), &countersign.Approval{Granted: true, Scope: countersign.ScopeSession})
	if early(t, g, shellCommand("go test"), yes) {
		t.Error("asked although there is a grant")
	}
	for name, change := range map[string]func(*Config){
		"headless": func(c *Config) { c.Headless = true },
		"denied":   func(c *Config) { c.Policy = rules{"git": countersign.Allow, "/bin/bash": countersign.Deny} },
		"allowed":  func(c *Config) { c.Policy = rules{"git": countersign.Allow, "/bin/bash": countersign.Allow} },
	} {
		g, _ := newGate(t, rules{"git": countersign.Allow}, change)
		own(g)
		if early(t, g, shellCommand("npm test"), yes) {
			t.Errorf("%s: asked", name)
		}
	}
}

// A model that calls a tool a thousand times does not bury the desk, nor does an
// agent that tries a thousand commands and waits for none.
func TestAFloodDoesNotBuryTheDesk(t *testing.T) {
	g, _ := newGate(t, rules{"git": countersign.Allow}, func(c *Config) { c.Timeout = time.Minute })
	own(g)
	ctx, cancel := context.WithCancel(context.Background())
	back := make(chan bool)
	for i := range 4 * maxEarly {
		go func() {
			g.Early(ctx, shellCommand(fmt.Sprint("npm test ", i)))
			back <- true
		}()
	}
	for range 3 * maxEarly {
		<-back
	}
	if n := len(g.Desk().Open("s1")); n > maxEarly {
		t.Errorf("%d requests at once", n)
	}
	cancel()
	for range maxEarly {
		<-back
	}
	gone, stop := context.WithCancel(context.Background())
	stop()
	for i := range 2 * maxPast {
		_, _ = g.Exec(gone, exec("make", fmt.Sprint(i)))
	}
	left := g.Desk().Open("s1")
	if len(left) != maxPast || left[len(left)-1].Action.Exec.Argv[1] != fmt.Sprint(2*maxPast-1) {
		t.Errorf("%d requests are left", len(left))
	}
}

// One answer is good for one run, whoever waits for it.
func TestAnAttemptTakesTheEarlyRequestsPlace(t *testing.T) {
	for _, same := range []bool{true, false} { // down to its digest, or by its reuse key alone
		g, _ := newGate(t, rules{"git": countersign.Allow}, func(c *Config) { c.Timeout = 5 * time.Second })
		own(g)
		if !early(t, g, shellCommand("npm test"), nil) {
			t.Fatal("nobody was asked")
		}
		waits := g.Desk().Open("s1")
		if len(waits) != 1 || waits[0].Pending {
			t.Fatalf("%+v", waits)
		}
		a := attempt("npm test")
		if !same {
			a.Exec.Stdin = countersign.StdinPipe
		}
		if err := answer(t, g, a, countersign.Approval{Granted: true}); err != nil {
			t.Fatal(err)
		}
		if left := g.Desk().Open("s1"); len(left) != 0 {
			t.Errorf("same %v: %d requests are left", same, len(left))
		}
		if g.Desk().waits(g.reuse(a), time.Now()) {
			t.Errorf("same %v: the answer is good for a second run", same)
		}
	}
}
