package e2e

import (
	"fmt"
	"strings"
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

// A run goes on with what the newest session left, whatever was looked at since.
func TestRunGoesOnWithTheNewest(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.write("one.sh", "echo one > one.txt\n")
	w.write("two.sh", "echo two > two.txt\n")
	w.write("look.sh", "test -e two.txt && echo goes-on\n")
	w.repo()
	policy := w.policy(allowBash)
	run := func(script string) string {
		return w.must("run", "--policy", policy, "--fresh="+fmt.Sprint(script != "look.sh"), "--approver", "none", "--", "bash", script).out
	}
	run("one.sh")
	run("two.sh")
	w.must("sessions")
	if out := run("look.sh"); !strings.Contains(out, "goes-on") {
		t.Errorf("it went on with an older session: %q", out)
	}
}
