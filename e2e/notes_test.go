package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What staging could not do is said before the agent's first word, in status, on
// record, and at the end of the review.
func TestWhatCouldNotBeStagedIsSaid(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		w.write("a.txt", "a\n")
		w.write(".gitignore", "agent.sh\ninner.sh\npipe\nshut\n")
		w.repo()
		if err := syscall.Mkfifo(filepath.Join(w.project, "pipe"), 0o600); err != nil {
			t.Fatal(err)
		}
		w.write("shut", "closed")
		if err := os.Chmod(filepath.Join(w.project, "shut"), 0); err != nil {
			t.Fatal(err)
		}
		says := []string{"countersign: not the same in the session: pipe is a named pipe"}
		if w.uid != 0 { // root reads everything
			says = append(says, "countersign: not the same in the session: shut cannot be read")
		}
		heard := func(where, text string) {
			t.Helper()
			for _, want := range says {
				if !strings.Contains(text, want) {
					t.Errorf("%s: no %q in %s", where, want, text)
				}
			}
		}
		a := w.steps()
		heard("run", a.said())
		var all []struct{ Notes []struct{ Path, Text string } }
		if err := json.Unmarshal([]byte(w.must("status", "--json").out), &all); err != nil || len(all) != 1 || len(all[0].Notes) != len(says) || all[0].Notes[0].Path != "pipe" {
			t.Errorf("status: %v %+v", err, all)
		}
		heard("a review beside it", w.must("review", "--list").err)
		a.do("echo b > a.txt")
		a.end()
		heard("a review afterwards", w.must("review", "--list").err)
		if r := w.log("--type", "session.started"); len(r) == 0 || r[0].Detail["note_count"] != float64(len(says)) {
			t.Errorf("on record: %+v", r)
		}
	})
}
