//go:build amd64 || arm64

package execgate

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	countersign "github.com/countersign/countersign"
)

// away is a command that runs in no other tree but in the test's mind.
type away struct {
	exit    int
	ran     chan int // the pid that stands in
	signals chan syscall.Signal
	dropped chan struct{}
}

func newAway(exit int) *away {
	return &away{exit, make(chan int, 1), make(chan syscall.Signal, 8), make(chan struct{}, 1)}
}

func (a *away) Run(pid int) int {
	a.ran <- pid
	return a.exit
}
func (a *away) Signal(s syscall.Signal) { a.signals <- s }
func (a *away) Drop()                   { a.dropped <- struct{}{} }

// elsewhere sends the commands of one name away.
func (g *gated) elsewhere(name string, a *away) {
	g.judge.decide = func(_ context.Context, x countersign.Action) Answer {
		ans := Answer{Permit: countersign.Permit{Record: "r", Covers: true}}
		if filepath.Base(x.Exec.Exe.Path) == name {
			ans.Elsewhere = a
		}
		return ans
	}
}

// A command that runs elsewhere does not run here; its process is there meanwhile,
// gives no cover, and ends as that did.
func TestElsewhereDoesNotRunHere(t *testing.T) {
	g := newGated(t)
	a := newAway(41)
	g.elsewhere("touch", a)
	if exit := g.run("/bin/sh", "-c", "touch here; exit $?"); exit != 41 {
		t.Errorf("exit %d", exit)
	}
	if _, err := os.Stat(g.dir + "/here"); err == nil {
		t.Error("it ran here")
	}
	if len(a.ran) != 1 || len(a.dropped) != 0 {
		t.Errorf("%d ran, %d dropped", len(a.ran), len(a.dropped))
	}
}

// What differs at the exec stop runs nowhere.
func TestElsewhereIsForTheVerified(t *testing.T) {
	g := newGated(t)
	a := newAway(0)
	prog := g.file("prog", "", 0o755)
	b, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(prog, b, 0o755); err != nil {
		t.Fatal(err)
	}
	g.judge.decide = func(_ context.Context, x countersign.Action) Answer {
		ans := Answer{Permit: countersign.Permit{Record: "r", Covers: true}}
		if x.Exec.Exe.Path == prog {
			ans.Elsewhere = a
			_ = os.Remove(prog) // another file in its place
			_ = os.WriteFile(prog, append(b, 0), 0o755)
		}
		return ans
	}
	if exit := g.run("/bin/sh", "-c", prog+"; exit $?"); exit == 0 {
		t.Error("exit 0")
	}
	if len(a.ran) != 0 || len(a.dropped) != 1 {
		t.Errorf("%d ran, %d dropped: %q", len(a.ran), len(a.dropped), g.judge.ends)
	}
}
