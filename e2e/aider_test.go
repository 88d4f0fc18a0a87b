package e2e

import (
	"path/filepath"
	"testing"
)

// aider installs Aider and returns the directory of its program.
func aider(t *testing.T) string {
	return filepath.Join(fromPyPI(t, "aider-chat-0.86.2", "bin/aider", "--only-binary=:all:", "aider-chat==0.86.2"), "bin")
}

// quietAider are the switches of a run without a person.
var quietAider = []string{"--yes-always", "--no-check-update", "--analytics-disable", "--no-show-model-warnings", "--no-gitignore", "--no-auto-commits", "--no-pretty", "--map-tokens", "0"}

// Aider has no tools: it takes a file from the model's text, and runs the tests it
// was told to, whose failure it reports to the model.
func TestAiderFinishesATask(t *testing.T) {
	bin := aider(t)
	t.Parallel()
	w, m := realAgent(t, "openai", "/v1", users()[len(users())-1])
	w.withPath(bin)
	m.says = []string{"Here is the file.\n\nhello.txt\n```\nhi\n```\n", "That is as it must be.", "Nothing is left to do."}
	argv := append([]string{"run", "--policy", w.policy(vendorPolicy), "--approver", "none", "--", "aider", "--model", "openai/some-model", "--edit-format", "whole"}, quietAider...)
	checkAgent(t, w, m, w.cs(append(argv, "--auto-test", "--test-cmd", tries+"; node --test; false", "--message", vendorTask)...))
}
