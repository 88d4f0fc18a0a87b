package sandbox

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/internal/trial"
)

// TestTry: the calls that a sandbox must refuse are refused on the agent's own
// thread before it starts, and where the gate is missing that shows.
func TestTry(t *testing.T) {
	var want []int
	for _, c := range trial.Calls(false) {
		want = append(want, int(c.Errno))
	}
	for _, gated := range []bool{true, false} {
		g := newGround(t)
		g.Gate = gated
		write(t, g.project+"/.env", "SECRET")
		g.Tripwires = []Trip{{Path: g.project + "/.env"}}
		s := g.start(t, "true")
		for range 2 {
			got, err := s.Try(g.project + "/.env")
			if err != nil {
				t.Fatal(err)
			}
			if i := slices.Index(got, int(unix.ENETUNREACH)); i >= 0 {
				got[i] = int(unix.ECONNREFUSED) // nobody here refuses it before the empty namespace does
			}
			if slices.Equal(got, want) != gated {
				t.Errorf("gate %v: answered %v", gated, got)
			}
		}
		if err := s.Go(); err != nil {
			t.Fatal(err)
		}
		if exit, err := s.Wait(); exit != 0 || err != nil {
			t.Errorf("the command afterwards: %d %v", exit, err)
		}
	}
}
