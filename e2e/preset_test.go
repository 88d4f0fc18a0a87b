package e2e

import (
	"os/exec"
	"strings"
	"testing"
)

// Under the preset standard, looking goes unasked and nothing else; each record
// names the preset; and a program that a repository's own configuration names is
// no part of looking at it.
func TestPreset(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.repoWith("hello.txt", "hello\n")
	w.write("agent.sh", `cat hello.txt
git status --short
sort -o out.txt hello.txt
find . -name hello.txt -exec touch x ';'
bash -c true
`)
	w.write("agent2.sh", `mkdir -p made/.git/objects made/.git/refs && cd made
echo "ref: refs/heads/main" > .git/HEAD
printf '[core]\n\tfsmonitor = make\n' > .git/config
printf '%%:\n\ttouch ../made-it\n' > Makefile
git status
`)
	loose := w.policy("version: 1\ncommands: [{id: dirs, verdict: allow, argv: [mkdir, \"...\"], reason: the test's}]\n")
	w.cs("run", "--preset", "standard", "--approver", "none", "--", "bash", "agent.sh")
	w.decided("cat hello.txt", "allow policy")
	w.decided("git status --short", "allow policy")
	w.decided("sort -o out.txt hello.txt", "deny headless")
	w.decided("find . -name hello.txt -exec touch x ;", "deny headless")
	w.decided("bash -c true", "deny headless")
	w.cs("run", "--preset", "standard", "--policy", loose, "--approver", "none", "--", "bash", "agent2.sh")
	tried := 0
	for _, r := range w.log("--type", "exec.decided") {
		if strings.HasPrefix(r.Action.Summary, "/usr/bin/make ") {
			if tried++; r.Decision.Verdict != "deny" {
				t.Errorf("git's configuration started %s: %+v", r.Action.Summary, r.Decision)
			}
		}
	}
	if _, err := exec.LookPath("/usr/bin/make"); err == nil && tried == 0 {
		t.Error("git did not try to start what its configuration names: the test sees nothing")
	}
	seen := 0
	for _, r := range w.log() {
		if r.Session == "" {
			continue
		}
		if seen++; r.Policy.Preset != "standard" || r.Policy.Bundle == "" {
			t.Errorf("%s says preset %q, bundle %q", r.Type, r.Policy.Preset, r.Policy.Bundle)
		}
	}
	if seen < 10 {
		t.Errorf("only %d records", seen)
	}
}
