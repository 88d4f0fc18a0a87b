//go:build amd64 || arm64

package execgate

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
)

func TestEveryExecIsAskedAndCovered(t *testing.T) {
	g := newGated(t)
	g.cfg.Launch = Launch{Argv: []string{"/bin/sh", "-c", "sh -c 'true; /bin/true; nosuch; exit 3'; exit $?"}}
	if code := g.run(g.cfg.Launch.Argv...); code != 3 {
		t.Fatalf("exit %d, want 3", code)
	}
	want := []string{
		"/bin/sh -c sh -c 'true; /bin/true; nosuch; exit 3'; exit $?",
		"sh -c true; /bin/true; nosuch; exit 3", "/bin/true",
	}
	if d := cmp.Diff(want, g.judge.argvs()); d != "" {
		t.Error(d)
	}
	launch, decided, covered := g.judge.seen[0].Exec, g.judge.seen[1].Exec, g.judge.seen[2].Exec
	if !launch.Launch || decided.Launch || decided.Root != nil {
		t.Errorf("launch %v, decided: launch %v root %v", launch.Launch, decided.Launch, decided.Root)
	}
	if covered.Root == nil || covered.Root.Record != "r2" {
		t.Errorf("covered by %+v, want r2", covered.Root)
	}
	t.Log(g.judge.ends)
}

func TestRefusedExecGetsItsErrno(t *testing.T) {
	g := newGated(t)
	g.judge.decide = func(_ context.Context, a countersign.Action) Answer {
		if a.Exec.Argv[0] == "ls" {
			return Answer{Errno: unix.EACCES}
		}
		return Answer{}
	}
	g.cfg.Launch = Launch{Argv: []string{"/bin/sh", "-c", "ls /; test $? = 126"}}
	if code := g.run(g.cfg.Launch.Argv...); code != 0 {
		t.Fatalf("exit %d", code)
	}
}
