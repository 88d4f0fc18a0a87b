package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Cline ends a command after 30 s, whoever it waits for, and Continue after 180. Their
// model's call is asked about while the answer is held: a person who takes longer than
// that breaks nothing, and what they said, yes or no, is what the attempt meets.
func TestAPersonTakesLongerThanTheAgentWaits(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]time.Duration{"cline": 35 * time.Second, "continue": 5 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			takesLonger(t, name, wait)
		})
	}
}

func takesLonger(t *testing.T, name string, away time.Duration) {
	all := slices.Concat(vendors, others)
	v := all[slices.IndexFunc(all, func(v vendor) bool { return v.name == name })]
	bin := npmAgent(t, v.pkg, v.version)
	w, m := realAgent(t, v.wire, v.path, users()[len(users())-1], step{run: "node --test"}, step{run: "touch second"})
	m.say = func(s step) (string, map[string]any) { return v.runs(s) }
	w.withPath(bin)
	_, wait := w.backgroundTTY(slices.Concat([]string{"run", "--preset", "standard"}, v.argv, []string{vendorTask})...)
	card := func(line string) request {
		t.Helper()
		eventually(t, line+" is asked", func() bool {
			rs := w.requests()
			return len(rs) == 1 && slices.Contains(rs[0].Argv, line)
		})
		q := w.requests()[0]
		if !q.Early || !q.Pending {
			t.Errorf("%s is asked when it is tried: %+v", line, q)
		}
		return q
	}
	q := card("node --test")
	time.Sleep(away)
	w.must("approve", q.ID)
	w.must("deny", card("touch second").ID, "--reason", "one file is enough")
	out := wait()
	if !strings.Contains(m.seen(), "pass 1") {
		t.Errorf("the tests' output never reached the model:\n%s", out)
	}
	var met []string
	for _, r := range w.log("--type", "exec.decided") {
		if r.Decision.Basis == "early" {
			met = append(met, r.Decision.Verdict+" "+r.Action.Argv[len(r.Action.Argv)-1]+" "+r.Decision.Reason)
		}
		if r.Decision.Basis == "person" || r.Decision.Basis == "timeout" {
			t.Errorf("asked again: %v", r.Action.Argv)
		}
	}
	if want := []string{"allow node --test ", "deny touch second one file is enough"}; !slices.Equal(met, want) {
		t.Errorf("%q, not %q\n%s", met, want, out)
	}
	if n := len(w.log("--type", "request.answered")); n != 2 {
		t.Errorf("%d answers are on record", n)
	}
	if hs := w.hunks(); len(hs) != 0 {
		t.Errorf("what was denied ran: %+v", hs)
	}
	w.must("verify")
}
