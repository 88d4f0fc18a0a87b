package e2e

import "testing"

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
