package e2e

import (
	"strings"
	"testing"
)

const nine = "1\n2\n3\n4\n5\n6\n7\n8\n9\n"

// A person edits the files that the agent changes, after it did.
func (w *world) clash() {
	w.t.Helper()
	w.write("f.txt", nine)
	w.write("new.txt.orig", "")
	w.write("agent.sh", "bash ./inner.sh\n")
	w.write(".gitignore", "inner.sh\n")
	w.repo()
	w.work("sed -i 's/^2$/two/; s/^6$/six/' f.txt; echo agent > new.txt")
	w.write("f.txt", strings.NewReplacer("6", "mine", "9", "nine").Replace(nine))
	w.write("new.txt", "person\n")
}

func (w *world) states() string {
	var out []string
	for _, h := range w.hunks() {
		if h.State != "applied" {
			out = append(out, strings.Join([]string{h.Op, h.Path, h.State}, " "))
		}
	}
	return strings.Join(out, "\n")
}

// What merges is merged; what does not is shown again against the person's file,
// never accepted in bulk; and the person's lines are never proposed for removal.
func TestAPersonsEditsAreKept(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		w.clash()
		if r := w.cs("review", "--accept-all", "--apply"); r.code != 7 {
			t.Errorf("%+v", r)
		}
		want := strings.NewReplacer("2", "two", "6", "mine", "9", "nine").Replace(nine)
		if got := w.read("f.txt"); got != want || w.read("new.txt") != "person\n" {
			t.Errorf("after the apply: %q %q", got, w.read("new.txt"))
		}
		if got := w.states(); got != "modify f.txt stale\nmodify new.txt stale" {
			t.Errorf("listed:\n%s", got)
		}
		w.cs("review", "--accept-all", "--apply")
		if w.read("f.txt") != want || w.read("new.txt") != "person\n" {
			t.Error("a bulk acceptance took the person's lines away")
		}
		// Named, it is the person's word.
		w.must("review", "--accept-file", "f.txt")
		w.must("review", "--apply")
		if got := w.read("f.txt"); got != strings.Replace(want, "mine", "six", 1) {
			t.Errorf("taken against the person's file: %q", got)
		}
		w.must("review", "--undo")
		if w.read("f.txt") != want {
			t.Errorf("undone: %q", w.read("f.txt"))
		}
	})
}

// A link that a person put in the place of a file is looked at as a link, whatever
// it leads to.
func TestALinkInTheWayIsSeen(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.write("f.txt", nine)
	w.write("same.txt", nine)
	w.write("agent.sh", "bash ./inner.sh\n")
	w.write(".gitignore", "inner.sh\n")
	w.repo()
	w.work("sed -i 's/^2$/two/' f.txt")
	w.exec("ln", "-sf", "same.txt", "f.txt")
	if r := w.must("review", "--list"); !strings.Contains(r.err, "f.txt was changed outside the session too") {
		t.Errorf("a link to the same bytes is not seen: %s", r.err)
	}
	if r := w.cs("review", "--accept-all", "--apply"); r.code != 7 || w.read("same.txt") != nine {
		t.Errorf("applied through a link: %+v", r)
	}
}
