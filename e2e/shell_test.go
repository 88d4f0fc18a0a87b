package e2e

import (
	"strings"
	"testing"
)

// What a person's shell in a live session ran is on record with its outcome.
func TestShellInALiveSessionIsOnRecord(t *testing.T) {
	w := newWorld(t, users()[0])
	m := newTmux(w, 80, 24)
	w.write("agent.sh", "echo ready\nread x\n")
	m.text(binary + " run -- bash agent.sh")
	m.key("Enter")
	m.wait("ready")
	for range 5 {
		w.must("shell", "--", "true")
	}
	m.key("Enter")
	m.wait("ended")
	n := 0
	for _, r := range w.log("--type", "exec.finished") {
		if len(r.Action.Argv) > 0 && r.Action.Argv[0] == "true" {
			n++
			if r.Outcome.Status != "ok" || r.Outcome.Exit == nil || *r.Outcome.Exit != 0 {
				t.Errorf("on record as %+v", r.Outcome)
			}
		}
	}
	if n != 5 {
		t.Errorf("%d outcomes of 5 commands", n)
	}
}

// A person's shell beside the agent has job control on its own terminal.
func TestShellHasJobControl(t *testing.T) {
	w := newWorld(t, users()[0])
	agent := newTmux(w, 80, 24)
	w.write("agent.sh", "echo ready\nread x\n")
	agent.text(binary + " run -- bash agent.sh")
	agent.key("Enter")
	agent.wait("ready")
	agent.do("new-window", "env PS1='$ ' SHELL=/bin/bash sh")
	agent.text(binary + " shell")
	agent.key("Enter")
	agent.wait("project")
	agent.text("echo up-$((1+1)); sleep 1000")
	agent.key("Enter")
	agent.wait("up-2")
	agent.key("C-z")
	agent.wait("Stopped")
	agent.text("fg")
	agent.key("Enter")
	eventually(t, "the command to go on", func() bool { return strings.Count(agent.screen(), "sleep 1000") == 3 })
	agent.key("C-c")
	eventually(t, "the prompt to stand again", func() bool {
		return strings.HasSuffix(strings.TrimSpace(agent.screen()), "#") || strings.HasSuffix(strings.TrimSpace(agent.screen()), "$")
	})
	agent.text("echo back-$((1+1))")
	agent.key("Enter")
	agent.wait("back-2")
	agent.text("exit")
	agent.key("Enter")
	if s := agent.screen(); strings.Contains(s, "no job control") {
		t.Errorf("the shell says:\n%s", s)
	}
}

// In a shell beside the agent the person starts other shells and tests, and is
// asked for nothing.
func TestShellRunsWhatThePersonTypes(t *testing.T) {
	w := newWorld(t, users()[0])
	m := newTmux(w, 80, 24)
	w.write("x.test.js", "require('node:test')('adds', () => require('node:assert').equal(1 + 1, 2))\n")
	w.write("agent.sh", "echo ready\nread x\n")
	m.text(binary + " run -- bash agent.sh")
	m.key("Enter")
	m.wait("ready")
	m.do("new-window", "env PS1='$ ' SHELL=/bin/bash sh")
	m.text(binary + " shell")
	m.key("Enter")
	m.wait("project")
	m.text("PS1='inner> ' sh") // what is typed while a line editor gives the terminal back is lost anywhere
	m.key("Enter")
	m.wait("\ninner>")
	m.text("sh -c 'echo nested-$((1+1))'; node --test | grep '# pass'")
	m.key("Enter")
	m.wait("nested-2")
	m.wait("# pass 1")
}
