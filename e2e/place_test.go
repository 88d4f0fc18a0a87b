package e2e

import (
	"strings"
	"testing"
)

// What cannot be staged is refused by name, with what to do: the whole machine,
// and a home that holds the state.
func TestPlacesThatAreNoProject(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		for dir, want := range map[string]string{"/": "start a session in /: it is the whole machine", w.root: "it holds Countersign's own state"} {
			w.project = dir
			r := w.cs("run", "--approver", "none", "--", "true")
			if r.code != 1 || !strings.Contains(r.err, want) || !strings.Contains(r.err, "cd to the directory of one project") {
				t.Errorf("in %s: %+v", dir, r)
			}
		}
	})
}
