package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

// A grant for a project is good in its later sessions, headless ones too, until
// its date or until the policy denies; giving, using and ending it are records.
func TestProjectGrant(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		wait := w.asking("version: 1\n", "ls hello.txt\n")
		q := w.asked()
		if r := w.cs("approve", q.ID, "--for", "project", "--until", "91d"); r.code != 1 || !strings.Contains(r.err, "90 days") {
			t.Errorf("a grant for long: %+v", r)
		}
		if r := w.must("approve", q.ID, "--for", "project", "--until", "30d"); !strings.Contains(r.out, "approved for the project until ") {
			t.Errorf("%s", r.out)
		}
		wait()
		w.write("agent.sh", "ls hello.txt\nls -l hello.txt\n")
		headless := func(policy string) {
			w.cs("run", "--policy", w.policy(policy), "--approver", "none", "--", "bash", "agent.sh")
		}
		headless("version: 1\n")
		w.decided("ls hello.txt", "allow person, allow grant")
		w.decided("ls -l hello.txt", "deny headless")
		given := w.log("--type", "grant.given")
		if len(given) != 1 || given[0].Session != q.Session || given[0].Action.Digest != q.Digest {
			t.Fatalf("given: %+v", given)
		}
		if rs := w.log("--grep", `"grant":"`+given[0].ID+`"`); len(rs) != 1 {
			t.Errorf("%d uses name their grant", len(rs))
		}
		var list []struct{ Session, Project, Key, Summary, Scope, Until, Record string }
		if err := json.Unmarshal([]byte(w.must("grants", "list", "--json").out), &list); err != nil || len(list) != 1 ||
			list[0].Project != w.project || list[0].Session != "" || list[0].Scope != "project" || list[0].Until == "" || list[0].Record != given[0].ID {
			t.Errorf("%v %+v", err, list)
		}
		headless("version: 1\ncommands: [{id: no-ls, verdict: deny, argv: [ls, \"...\"], reason: not here}]\n")
		if rs := w.log("--type", "grant.ended"); len(rs) != 1 || rs[0].Parent != given[0].ID || !strings.Contains(rs[0].Detail["reason"].(string), "no-ls") {
			t.Errorf("ended: %+v", rs)
		}
		headless("version: 1\n")
		w.decided("ls hello.txt", "allow person, allow grant, deny policy, deny headless")
		w.must("verify")
	})
}

// What a rule wants typed is typed, wherever it is approved, and is on record.
func TestTypedConfirmation(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	wait := w.asking(`version: 1
commands: [{id: listing, verdict: ask, argv: [ls, "..."], reason: looks}]
approvals: {typed_confirmation: [listing]}
`, "ls hello.txt; echo \"code=$?\"\n")
	q := w.asked()
	if out := w.must("requests").out; !strings.Contains(out, "--confirm ls") {
		t.Errorf("%s", out)
	}
	for _, args := range [][]string{{"approve", q.ID}, {"approve", q.ID, "--confirm", "yes"}} {
		if r := w.cs(args...); r.code != 1 || !strings.Contains(r.err, "--confirm ls") {
			t.Errorf("%v: %+v", args, r)
		}
	}
	w.must("approve", q.ID, "--confirm", "ls")
	if out := wait(); !strings.Contains(out, "code=0") {
		t.Errorf("%s", out)
	}
	if rs := w.log("--grep", `"confirmed":"ls"`); len(rs) != 1 {
		t.Errorf("the word is in %d records", len(rs))
	}
}

// What an agent's own wrapper has new in it each time makes no other command.
func TestAGrantHoldsInTheAgentsWrapper(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.repoWith("hello.txt", "hello\n")
	w.write("agent.sh", `wrapped() {
	/bin/bash -c -l "\\builtin shopt -u extglob 2>/dev/null || true && { \\builtin unalias -- 'which'; \\builtin unset -f -- 'which'; } >/dev/null 2>&1 || true && { \\builtin unalias -- 'unsetenv'; \\builtin unset -f -- 'unsetenv'; } >/dev/null 2>&1 || true && eval '$2' < /dev/null && pwd -P >| /tmp/claude-$1-cwd"
	echo "$1=$?"
}
wrapped a1 "cat hello.txt"
wrapped b2 "cat hello.txt"
wrapped c3 "cat agent.sh"
`)
	_, wait := w.backgroundTTY("run", "--agent", "claude", "--policy", w.policy("version: 1\n"), "--", "bash", "agent.sh")
	w.must("approve", w.asked().ID, "--for", "session")
	eventually(t, "another command is asked", func() bool {
		rs := w.requests()
		return len(rs) == 1 && strings.Contains(rs[0].Summary, "cat agent.sh")
	})
	w.must("deny", w.asked().ID)
	if out := wait(); !strings.Contains(out, "a1=0") || !strings.Contains(out, "b2=0") || !strings.Contains(out, "c3=126") {
		t.Errorf("%s", out)
	}
}
