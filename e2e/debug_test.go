package e2e

import (
	"slices"
	"strings"
	"testing"
)

const debugPolicy = `version: 1
commands:
  - {id: t-debug, verdict: allow, argv: [strace, "..."], debugs: DEBUGS, reason: a test}
  - {id: t-sleep, verdict: allow, argv: [sleep, "..."], reason: a test}
  - {id: t-rm, verdict: deny, argv: [rm, "..."], reason: never}
`

// A debugger works under a rule that says it may; what is given up is on record, and
// the rest holds: deny rules, the deny-list, and whatever it did not start.
func TestDebuggers(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		w.write(".env", "SECRET="+secretText+"\n")
		w.write("hello.txt", "hello\n")
		w.write("inner.sh", "cat hello.txt\ncat .env\nrm hello.txt\n")
		w.write("agent.sh", `sleep 20 &
other=$!
strace -f -qq -o trace.txt sh -c 'cat hello.txt; head -c 3 hello.txt' && echo traced-well
strace -f -qq -o inner.txt sh inner.sh
strace -qq -o other.txt -p $other && echo attached-other
strace -qq -o agent.txt -p $$ && echo attached-agent
strace -qq -o init.txt -p 1 && echo attached-init
strace -qq -o own.txt sh -c 'sleep 3 & timeout 5 strace -qq -o mine.txt -p $!; wait' && echo attached-own
kill $other
cat trace.txt inner.txt
`)
		w.repo()
		for _, debugs := range []string{"true", "false"} {
			policy := w.policy(strings.ReplaceAll(debugPolicy, "DEBUGS", debugs) + "  - {id: t-cat, verdict: allow, argv: [cat, \"...\"], reason: a test}\n")
			r := w.cs("run", "--policy", policy, "--fresh", "--approver", "none", "--", "bash", "agent.sh")
			works := strings.Contains(r.out, "hello\nheltraced-well") && strings.Contains(r.out, "execve(")
			if works != (debugs == "true") {
				t.Errorf("debugs: %s: %+v", debugs, r)
			}
			for _, bad := range []string{"attached-other", "attached-agent", "attached-init", secretText} {
				if strings.Contains(r.out+r.err, bad) {
					t.Errorf("debugs: %s: %s\n%s", debugs, bad, r.out)
				}
			}
			if got := strings.Contains(r.out, "attached-own"); got != (debugs == "true") {
				t.Errorf("debugs: %s: attached to its own: %v\n%s\n%s", debugs, got, r.out, r.err)
			}
			if w.read("hello.txt") != "hello\n" {
				t.Error("changed")
			}
			if debugs == "true" {
				w.checkDebugged()
			}
		}
	})
}

// checkDebugged looks at the record of what the debugger did.
func (w *world) checkDebugged() {
	w.t.Helper()
	gaveUp, uncompared, denied := 0, []string{}, 0
	for _, m := range w.raw() {
		argv, _ := field(m, "action.argv").([]any)
		if len(argv) == 0 {
			continue
		}
		if up, _ := field(m, "decision.gives_up").(string); up != "" {
			if gaveUp++; argv[0] != "strace" || field(m, "policy.rule") != "t-debug" {
				w.t.Errorf("gives something up: %v", m)
			}
		}
		if why, _ := field(m, "decision.reason").(string); strings.Contains(why, "debugger holds it") {
			name, _ := argv[0].(string)
			uncompared = append(uncompared, name)
		}
		if argv[0] == "rm" && field(m, "decision.verdict") == "deny" {
			denied++
		}
	}
	slices.Sort(uncompared)
	if uncompared = slices.Compact(uncompared); gaveUp != 6 || denied == 0 || !slices.Contains(uncompared, "cat") || !slices.Contains(uncompared, "sh") {
		w.t.Errorf("%d gave up, %q not compared, %d denied", gaveUp, uncompared, denied)
	}
	refused := 0
	for _, r := range w.log("--type", "sandbox.denied") {
		if strings.HasPrefix(r.Action.Summary, "ptrace") {
			refused++
		}
	}
	if refused < 3 {
		w.t.Errorf("%d refused attempts to trace are on record", refused)
	}
}

// The agent once more is the agent, under a debugger too: what it starts asks.
func TestDebuggedAgentCoversNothing(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		w.write("hello.txt", "hello\n")
		w.write("agent.sh", `case $1 in
again) echo again; cat hello.txt;;
behind) echo behind; (sleep 1; cat hello.txt) & exec sh -c 'wait; sleep 2';;
*) strace -f -qq -o /dev/null bash agent.sh again
strace -f -qq -o /dev/null bash agent.sh behind;;
esac
`)
		w.repo()
		policy := w.policy(strings.ReplaceAll(debugPolicy, "DEBUGS", "true"))
		r := w.cs("run", "--policy", policy, "--fresh", "--approver", "none", "--", "bash", "agent.sh")
		if !strings.Contains(r.out, "again\n") || !strings.Contains(r.out, "behind\n") || strings.Contains(r.out, "hello") {
			t.Errorf("%s%s", r.out, r.err)
		}
	})
}
