package e2e

import (
	"fmt"
	"testing"
)

// Where no session is named, the newest that left something is meant: one that ran
// beside it for a moment, and changed nothing, hides nothing.
func TestReviewPassesOverSessionsThatLeftNothing(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.write("agent.sh", "echo new > made.txt; echo written; read go\n")
	w.write("look.sh", "exit 0\n")
	w.repo()
	policy := w.policy(allowBash)
	long := w.start("run", "--policy", policy, "--approver", "none", "--", "bash", "agent.sh")
	long.prints("written")
	for range 2 {
		w.must("run", "--policy", policy, "--approver", "none", "--", "bash", "look.sh")
	}
	check := func(when string) {
		t.Helper()
		if hs := w.hunks(); len(hs) != 1 || hs[0].Path != "made.txt" {
			t.Errorf("%s: %+v", when, hs)
		}
	}
	check("while it runs")
	fmt.Fprintln(long.stdin, "go")
	if r := long.wait(); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	check("ended")
	w.must("review", "--accept-all", "--apply")
	if w.read("made.txt") != "new\n" {
		t.Errorf("applied: %q", w.read("made.txt"))
	}
}
