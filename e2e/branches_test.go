package e2e

import (
	"strings"
	"testing"
)

// Commits on branches that are not checked out inside are reviewed as they are:
// accepted whole they move that branch or make it, and the working tree stays.
func TestCommitsOnOtherBranchesAreReviewed(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		w.write("f.txt", nine)
		w.write("agent.sh", "bash ./inner.sh\n")
		w.write(".gitignore", "inner.sh\n")
		w.repo()
		w.git("branch", "old")
		start := w.head()
		names := subjects(w.work(`set -e
git switch -q -c feature; sed -i s/^2$/two/ f.txt; git commit -qam b1; echo n > n.txt; mkdir -p .vscode; echo '{}' > .vscode/tasks.json; git add -A -f .vscode n.txt; git commit -qm b2
git switch -q old; sed -i s/^9$/nine/ f.txt; git commit -qam o1
git switch -q main; sed -i s/^5$/five/ f.txt
git log --format='%H %s' --branches
`).out)
		want := `- modify f.txt -5,1 +5,1 undecided
b1 modify f.txt -2,1 +2,1 undecided
b2 create .vscode/tasks.json -0,0 +1,1 undecided
b2 create n.txt -0,0 +1,1 undecided
o1 modify f.txt -9,1 +9,1 undecided`
		if got := strings.Join(w.byCommit(names), "\n"); got != want {
			t.Fatalf("listed:\n%s", got)
		}
		r := w.must("review", "--accept-all", "--apply")
		if w.read("f.txt") != strings.Replace(nine, "5", "five", 1) || w.head() != start {
			t.Errorf("the working tree: %q %s", w.read("f.txt"), w.git("log", "--oneline"))
		}
		if got := w.git("log", "--format=%s", "feature"); got != "b1\nstart\n" || w.git("log", "--format=%s", "old") != "o1\nstart\n" {
			t.Errorf("branches: %q: %s", got, r.err)
		}
		if !strings.Contains(r.err, "to a new branch feature") || !strings.Contains(r.err, "to your branch old") || !strings.Contains(r.err, "not accepted whole (1 undecided, 1 accepted)") {
			t.Errorf("said: %s", r.err)
		}
		// What is of high risk was not taken in bulk; named, it comes.
		w.must("review", "--accept", w.hunkOf(names, "b2 .vscode/tasks.json 0"))
		w.must("review", "--apply")
		if got := w.git("log", "--format=%s", "feature"); got != "b2\nb1\nstart\n" || w.read("n.txt") != "error: open "+w.project+"/n.txt: no such file or directory" {
			t.Errorf("feature: %q", got)
		}
		if w.git("fsck", "--no-dangling") != "" || w.git("status", "--porcelain") != " M f.txt\n" {
			t.Errorf("status: %s", w.git("status", "--porcelain"))
		}
		for _, h := range w.hunks() {
			if h.State != "applied" {
				t.Errorf("left over: %+v", h)
			}
		}
		w.must("verify")
	})
}

// An undo takes the branches back too, and their commits are to be decided again;
// all of it beside the running session.
func TestUndoTakesOtherBranchesBack(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.write("f.txt", nine)
	w.write(".gitignore", "agent.sh\ninner.sh\n")
	w.repo()
	a := w.steps()
	a.do("git switch -q -c feature; sed -i s/^2$/two/ f.txt; git commit -qam b1; git switch -q main; sed -i s/^5$/five/ f.txt")
	names := subjects(a.in("git", "log", "--format=%H %s", "--branches").out)
	before := strings.Join(w.byCommit(names), "\n")
	w.must("review", "--accept-all", "--apply")
	if w.git("log", "--format=%s", "feature") != "b1\nstart\n" {
		t.Fatal("feature was not made")
	}
	w.must("review", "--undo")
	if got := strings.Join(w.byCommit(names), "\n"); got != before || w.git("branch", "--list", "feature") != "" || w.read("f.txt") != nine {
		t.Errorf("undone:\n%s\n%s", got, w.git("branch"))
	}
	w.must("review", "--reject", w.hunkOf(names, "b1 f.txt 2"))
	w.must("review", "--accept-all", "--apply")
	if w.git("branch", "--list", "feature") != "" {
		t.Error("a rejected commit made a branch")
	}
	a.end()
}
