package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// commitsOf are the hunks as "SUBJECT PATH -old +new STATE", the commit by the
// session's own word for it.
func (w *world) byCommit(names map[string]string) []string {
	w.t.Helper()
	var out []string
	for _, h := range w.hunks() {
		if h.Path == "inner.sh" {
			continue
		}
		name := "-"
		if h.Commit != nil {
			name = names[*h.Commit]
		}
		out = append(out, fmt.Sprintf("%s %s %s -%d,%d +%d,%d %s", name, h.Op, h.Path, h.OldStart, h.OldLines, h.NewStart, h.NewLines, h.State))
	}
	return out
}

// subjects reads "ID SUBJECT" lines that the agent printed.
func subjects(out string) map[string]string {
	m := map[string]string{}
	for line := range strings.SplitSeq(out, "\n") {
		if id, subject, ok := strings.Cut(line, " "); ok && len(id) == 40 {
			m[id] = subject
		}
	}
	return m
}

// chain is three commits of one file's lines, the second of the first's line, one
// that takes another back, and something on top.
const chain = `set -e
sed -i s/^2$/two/ f.txt; echo n1 > new.txt; git add new.txt; git commit -qam c1
sed -i 's/^two$/TWO/; s/^9$/nine/' f.txt; git commit -qam c2
git mv new.txt moved.txt; echo n2 >> moved.txt; git commit -qam c3
sed -i s/^5$/five/ f.txt
git log --format='%H %s' -3
`

func (w *world) chain() map[string]string {
	w.t.Helper()
	w.write("f.txt", "1\n2\n3\n4\n5\n6\n7\n8\n9\n")
	w.write("agent.sh", "bash ./inner.sh\n")
	w.write(".gitignore", "inner.sh\n")
	w.repo()
	return subjects(w.work(chain).out)
}

func (w *world) hunkOf(names map[string]string, want string) string {
	w.t.Helper()
	for _, h := range w.hunks() {
		name := "-"
		if h.Commit != nil {
			name = names[*h.Commit]
		}
		if fmt.Sprintf("%s %s %d", name, h.Path, h.OldStart) == want {
			return h.Hunk
		}
	}
	w.t.Fatalf("no hunk %q in %v", want, w.byCommit(names))
	return ""
}

func TestCommitsAreReviewedOneByOne(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		names := w.chain()
		start := w.head()
		want := `c1 modify f.txt -2,1 +2,1 undecided
c1 create new.txt -0,0 +1,1 undecided
c2 modify f.txt -2,1 +2,1 undecided
c2 modify f.txt -9,1 +9,1 undecided
c3 rename moved.txt -0,0 +0,0 undecided
c3 modify moved.txt -1,0 +2,1 undecided
- modify f.txt -5,1 +5,1 undecided`
		if got := strings.Join(w.byCommit(names), "\n"); got != want {
			t.Fatalf("listed:\n%s", got)
		}
		// The first commit alone, then all: the branch follows as far as it goes.
		w.must("review", "--accept", w.hunkOf(names, "c1 f.txt 2"), w.hunkOf(names, "c1 new.txt 0"), w.hunkOf(names, "- f.txt 5"))
		r := w.must("review", "--apply")
		if got := w.git("log", "--format=%s"); got != "c1\nstart\n" {
			t.Errorf("history %q: %s", got, r.err)
		}
		if got := w.read("f.txt"); got != "1\ntwo\n3\n4\nfive\n6\n7\n8\n9\n" {
			t.Errorf("f.txt %q", got)
		}
		if got := w.git("status", "--porcelain"); got != " M f.txt\n" {
			t.Errorf("status %q", got)
		}
		w.must("review", "--accept-all")
		r = w.must("review", "--apply")
		if got := w.git("log", "--format=%s"); got != "c3\nc2\nc1\nstart\n" {
			t.Errorf("history %q: %s", got, r.err)
		}
		if got := w.git("diff", "HEAD"); !strings.Contains(got, "+five") || strings.Count(got, "\n+") != 2 {
			t.Errorf("on top of the commits: %s", got)
		}
		if got := w.read("moved.txt"); got != "n1\nn2\n" {
			t.Errorf("moved.txt %q", got)
		}
		if w.git("rev-parse", "HEAD~3") != start+"\n" || w.git("fsck", "--no-dangling") != "" {
			t.Error("the history does not stand on what was there")
		}
		for _, h := range w.hunks() {
			if h.State != "applied" {
				t.Errorf("left over: %+v", h)
			}
		}
		w.must("verify")
	})
}

// A rejected hunk keeps its commit, and what stands on it, out of the history;
// what was accepted is in the working tree.
func TestCommitsAboveARejectedHunkStayOut(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	names := w.chain()
	w.must("review", "--reject", w.hunkOf(names, "c2 f.txt 2"))
	r := w.must("review", "--accept-all", "--apply")
	if got := w.git("log", "--format=%s"); got != "c1\nstart\n" {
		t.Errorf("history %q", got)
	}
	if got := w.read("f.txt"); got != "1\ntwo\n3\n4\nfive\n6\n7\n8\nnine\n" {
		t.Errorf("f.txt %q", got)
	}
	if got := w.read("moved.txt"); got != "n1\nn2\n" {
		t.Errorf("moved.txt %q", got)
	}
	for _, say := range []string{"took over commit", "not accepted whole (1 rejected): its accepted hunks are in your working tree, uncommitted", "stands on commit"} {
		if !strings.Contains(r.err, say) {
			t.Errorf("%q is not said: %s", say, r.err)
		}
	}
	got := strings.Join(w.byCommit(names), "\n")
	if strings.Contains(got, "undecided") || strings.Count(got, "rejected") != 1 {
		t.Errorf("listed afterwards:\n%s", got)
	}
}

// An undo takes the commits back with the files, if they still stand there.
func TestUndoGivesCommitsBack(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	names := w.chain()
	start := w.head()
	before := w.byCommit(names)
	w.must("review", "--accept-all", "--apply")
	top := w.head()
	w.git("commit", "-qam", "mine")
	if r := w.cs("review", "--undo"); r.code == 0 || !strings.Contains(r.err, "not at the commit that the apply left there") || w.read("moved.txt") != "n1\nn2\n" {
		t.Errorf("undone over a person's commit: %+v", r)
	}
	w.git("reset", "-q", "--soft", top)
	w.git("reset", "-q")
	r := w.must("review", "--undo")
	if w.head() != start || w.git("status", "--porcelain") != "" {
		t.Errorf("HEAD %s, status %q: %s", w.head(), w.git("status", "--porcelain"), r.err)
	}
	if got := w.byCommit(names); strings.Join(got, "\n") != strings.Join(before, "\n") {
		t.Errorf("listed again:\n%s", strings.Join(got, "\n"))
	}
	seen := map[string]int{}
	for _, r := range w.log() {
		seen[r.Type]++
	}
	if seen["commit.taking"] != 1 || seen["commit.taken"] != 1 || seen["commit.returning"] != 1 || seen["commit.returned"] != 1 {
		t.Errorf("on record: %v", seen)
	}
	// And once more, all the way.
	w.must("review", "--accept-all", "--apply")
	if w.head() != top {
		t.Errorf("HEAD %s after the second apply", w.head())
	}
	w.must("verify")
}

// What was decided stays decided in the session that goes on with the layer, as
// long as the hunk is the same.
func TestDecisionsFollowTheLayer(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.write("f.txt", "1\n2\n3\n4\n5\n6\n7\n")
	w.write("agent.sh", "bash ./inner.sh\n")
	w.write(".gitignore", "inner.sh\n")
	w.repo()
	names := subjects(w.work("set -e; sed -i s/2/two/ f.txt; git commit -qam c1; sed -i 's/4/four/; s/6/six/' f.txt; git log --format='%H %s' -1").out)
	w.must("review", "--accept", w.hunkOf(names, "c1 f.txt 2"), w.hunkOf(names, "- f.txt 4"))
	w.must("review", "--reject", w.hunkOf(names, "- f.txt 6"))
	want := "c1 modify f.txt -2,1 +2,1 accepted\n- modify f.txt -4,1 +4,1 accepted\n- modify f.txt -6,1 +6,1 rejected"
	w.work("true")
	if got := strings.Join(w.byCommit(names), "\n"); got != want {
		t.Errorf("in the next session:\n%s", got)
	}
	w.work("sed -i s/six/SIX/ f.txt")
	if got := strings.Join(w.byCommit(names), "\n"); got != strings.Replace(want, "rejected", "undecided", 1) {
		t.Errorf("after another change:\n%s", got)
	}
	r := w.must("review", "--apply")
	if got := w.read("f.txt"); got != "1\ntwo\n3\nfour\n5\n6\n7\n" || w.git("log", "--format=%s") != "c1\nstart\n" {
		t.Errorf("applied: %q %s", got, r.err)
	}
	w.must("shell", "--", "true")
	if got := strings.Join(w.byCommit(names), "\n"); strings.Contains(got, "four") || !strings.Contains(got, "-6,1 +6,1 undecided") {
		t.Errorf("in a shell's session:\n%s", got)
	}
}

// An apply of nothing is none: it says so and is not on record, whether nobody has
// decided or what was accepted is in already.
func TestApplyingNothingIsNoApply(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.write("f.txt", nine)
	w.write(".gitignore", "agent.sh\ninner.sh\n")
	w.repo()
	w.script(allowBash, "sed -i s/^2$/two/ f.txt\n")
	nothing := func() {
		t.Helper()
		if r := w.must("review", "--apply"); !strings.HasPrefix(r.out, "nothing is accepted: ") || !strings.Contains(r.out, "--accept") {
			t.Errorf("said %q", r.out)
		}
	}
	nothing()
	w.must("review", "--reject", w.hunks()[0].Hunk)
	nothing()
	if got := w.log("--type", "changeset.*"); len(got) != 0 || w.read("f.txt") != nine {
		t.Fatalf("an apply of nothing: %+v", got)
	}
	w.must("review", "--accept", w.hunks()[0].Hunk, "--apply")
	nothing()
	if got := w.log("--type", "changeset.applied"); len(got) != 1 || got[0].Action.Summary != "1 hunk in 1 file" {
		t.Errorf("applies on record: %+v", got)
	}
	// The last apply is still the one that wrote.
	if r := w.must("review", "--undo"); w.read("f.txt") != nine {
		t.Errorf("undone: %q: %s", w.read("f.txt"), r.err)
	}
}
