package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// secretOf makes a secret of its own for a test: in no file of ours.
func secretOf(t *testing.T) string { return "s3cr" + "et-" + strings.ReplaceAll(t.Name(), "/", "-") }

// renames lists the moves of denied files that a review shows.
func (w *world) renames() (out []string) {
	w.t.Helper()
	for _, h := range w.hunks() {
		if h.Op == "rename" && h.State != "applied" && strings.Contains(h.Why, "its content is not read") {
			out = append(out, h.OldPath+" > "+h.Path+" "+h.State)
		}
	}
	slices.Sort(out)
	return out
}

// closed checks that a name is closed inside, and that the secret is nowhere to be
// found there.
func (s *steps) closed(secret string, names ...string) {
	s.w.t.Helper()
	for _, name := range names {
		if r := s.in("cat", name); r.code == 0 || !strings.Contains(r.err, "Permission denied") {
			s.w.t.Errorf("%s is open inside: %d %q %q", name, r.code, r.out, r.err)
		}
	}
	if r := s.in("grep", "-rl", secret, "."); strings.TrimSpace(r.out) != "" {
		s.w.t.Errorf("the secret is inside: %s", r.out)
	}
}

// A directory that holds denied files is renamed inside: the files follow, each by
// a decision of its own, unread, and stay closed; an undo takes them back.
func TestDeniedFilesFollowTheirDirectory(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		secret := secretOf(t)
		for _, name := range []string{"conf/.env", "conf/deep/.env", "conf/.ssh/id_rsa"} {
			w.write(name, secret+name+"\n")
		}
		w.write("conf/a.txt", "a\n")
		w.write("conf/deep/b.txt", "b\n")
		w.write(".gitignore", "agent.sh\ninner.sh\n.env\n.ssh/\n")
		w.git("init", "-q", "-b", "main")
		w.git("add", "-A")
		w.git("commit", "-q", "-m", "start")
		was, err := os.Stat(filepath.Join(w.project, "conf/.env"))
		if err != nil {
			t.Fatal(err)
		}
		a := w.steps("--backend", "snapshot")
		a.do("git mv conf tmp; mv tmp settings; git add -A; git commit -qm renamed")
		want := []string{"conf/.env > settings/.env undecided", "conf/.ssh > settings/.ssh undecided", "conf/deep/.env > settings/deep/.env undecided"}
		if got := w.renames(); !slices.Equal(got, want) {
			t.Fatalf("listed: %q\n%s", got, w.must("review", "--list").out)
		}
		for _, h := range w.hunks() {
			if strings.Contains(h.Why, "not read") && h.Risk != "high" {
				t.Errorf("%+v", h)
			}
		}
		a.closed(secret, "settings/.env", "settings/deep/.env", "settings/.ssh/id_rsa")

		w.must("review", "--accept-all")
		if got := w.renames(); !slices.Equal(got, want) {
			t.Errorf("accepted with all others: %q", got)
		}
		w.write("conf/.env", secret+"edited\n") // in place: the same file
		w.must("review", "--accept-file", "settings/.env", "--accept-file", "settings/deep/.env", "--accept-file", "settings/.ssh", "--apply")
		now, err := os.Stat(filepath.Join(w.project, "settings/.env"))
		if err != nil || !os.SameFile(was, now) || w.read("settings/.env") != secret+"edited\n" || w.read("settings/.ssh/id_rsa") != secret+"conf/.ssh/id_rsa\n" || w.read("settings/deep/.env") != secret+"conf/deep/.env\n" {
			t.Fatalf("not where they belong: %v %s", err, w.exec("find", ".", "-name", ".git", "-prune", "-o", "-print").out)
		}
		if _, err := os.Stat(filepath.Join(w.project, "conf")); err == nil {
			t.Error("the emptied directory stayed")
		}
		if got := w.git("log", "-1", "--format=%s"); got != "renamed\n" {
			t.Errorf("the commit was not taken over: %q", got)
		}
		if got := w.states(); got != "" {
			t.Errorf("still listed:\n%s", got)
		}
		a.closed(secret, "settings/.env", "settings/deep/.env", "settings/.ssh/id_rsa")
		w.movesOnRecord()

		// Once more, and that is taken back.
		a.do("mv settings etc")
		want = []string{"settings/.env > etc/.env undecided", "settings/.ssh > etc/.ssh undecided", "settings/deep/.env > etc/deep/.env undecided"}
		if got := w.renames(); !slices.Equal(got, want) {
			t.Fatalf("listed: %q\n%s", got, w.must("review", "--list").out)
		}
		w.must("review", "--accept-all", "--accept-file", "etc/.env", "--apply")
		if w.read("etc/.env") != secret+"edited\n" || w.read("settings/deep/.env") != secret+"conf/deep/.env\n" || w.read("etc/deep/b.txt") != "b\n" {
			t.Error("one of two did not stay")
		}
		w.must("review", "--undo")
		if w.read("settings/.env") != secret+"edited\n" || w.read("settings/a.txt") != "a\n" {
			t.Error("not taken back")
		}
		if got := w.renames(); !slices.Equal(got, want) {
			t.Errorf("after the undo: %q", got)
		}
		a.closed(secret, "etc/.env", "etc/deep/.env", "etc/.ssh/id_rsa")
		a.do("mv etc settings")
		if got := w.states(); got != "" {
			t.Errorf("after a rename back:\n%s", got)
		}
		a.end()
	})
}

// id is the hunk that does op to a path.
func (w *world) id(op, path string) string {
	w.t.Helper()
	for _, h := range w.hunks() {
		if h.Op == op && h.Path == path && h.State != "applied" {
			return h.Hunk
		}
	}
	w.t.Fatalf("no hunk to %s %s", op, path)
	return ""
}

// movesOnRecord checks that what was decided and done to denied files is on record.
func (w *world) movesOnRecord() {
	w.t.Helper()
	applied := w.log("--type", "changeset.applied")
	moves, _ := applied[len(applied)-1].Detail["moves"].([]any)
	names := ""
	for _, m := range moves {
		m := m.(map[string]any)
		names += m["old_path"].(string) + ">" + m["path"].(string) + " "
	}
	if names != "conf/.env>settings/.env conf/.ssh>settings/.ssh conf/deep/.env>settings/deep/.env " {
		w.t.Errorf("applied: %s", names)
	}
	decided := 0
	for _, r := range w.log("--type", "hunk.decided") {
		if r.Detail["unread"] == true && r.Detail["old_path"] != "" {
			decided++
		}
	}
	if decided != 3 {
		w.t.Errorf("%d decisions on record", decided)
	}
}

// The next session goes on with a rename that nobody has decided on: the denied
// file is closed where its placeholder lies, and cannot be led away from there.
func TestDeniedFilesFollowInTheNextSession(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		secret := secretOf(t)
		w.write("conf/.env", secret)
		w.write("conf/a.txt", "a\n")
		w.write(".gitignore", "agent.sh\ninner.sh\n.env\n")
		w.git("init", "-q", "-b", "main")
		w.git("add", "-A")
		w.git("commit", "-q", "-m", "start")
		one := w.steps("--backend", "snapshot")
		one.do("mv conf settings")
		one.end()
		want := []string{"conf/.env > settings/.env undecided"}
		if got := w.renames(); !slices.Equal(got, want) {
			t.Fatalf("between two sessions: %q", got)
		}
		two := w.steps("--backend", "snapshot")
		two.closed(secret, "settings/.env")
		two.do("mv settings/.env x.txt; cp settings/.env y.txt; ln settings/.env z.txt; ls -a conf; mkdir conf; echo mine > conf/.env")
		for _, name := range []string{"x.txt", "y.txt", "z.txt"} {
			if two.in("test", "-e", name).code == 0 {
				t.Errorf("%s was made", name)
			}
		}
		if got := w.renames(); !slices.Equal(got, want) {
			t.Errorf("in the second session: %q", got)
		}
		// The agent's own file in the old place is new, and comes only if the place is free.
		if got := w.states(); got != "create conf/.env undecided\nrename settings/.env undecided\nrename settings/a.txt undecided" {
			t.Errorf("listed:\n%s", got)
		}
		if r := w.cs("review", "--accept", w.id("create", "conf/.env"), "--apply"); r.code != 7 || w.read("conf/.env") != secret {
			t.Errorf("exit %d, %q", r.code, w.read("conf/.env"))
		}
		// An editor saves the file as another one: what was accepted is shown again.
		w.must("review", "--accept", w.id("rename", "settings/.env"))
		w.write("conf/new", secret+"2")
		if err := os.Rename(filepath.Join(w.project, "conf/new"), filepath.Join(w.project, "conf/.env")); err != nil {
			t.Fatal(err)
		}
		if got := w.renames(); !slices.Equal(got, []string{"conf/.env > settings/.env stale"}) {
			t.Errorf("saved as another file: %q", got)
		}
		w.must("review", "--accept-all", "--apply")
		if w.read("conf/.env") != secret+"2" {
			t.Error("a stale move was applied")
		}
		w.must("review", "--accept-file", "settings/.env", "--accept-file", "conf/.env", "--apply")
		if w.read("settings/.env") != secret+"2" || w.read("conf/.env") != "mine\n" {
			t.Errorf("applied: %q %q", w.read("settings/.env"), w.read("conf/.env"))
		}
		two.closed(secret, "settings/.env")
		two.end()
		three := w.steps("--backend", "snapshot")
		three.closed(secret, "settings/.env", "conf/.env")
		three.end()
	})
}

// What a rule denies by where it lies does not move to where no rule denies it:
// not by an apply; and if the person moves it, its inode is known.
func TestDeniedFilesDoNotMoveOutOfTheirRule(t *testing.T) {
	for _, backend := range []string{"snapshot", "overlay"} {
		t.Run(backend, func(t *testing.T) {
			w := newWorld(t, users()[len(users())-1])
			secret := secretOf(t)
			w.write("conf/vault/key.txt", secret)
			w.write("conf/one.txt", secret)
			w.write("conf/a.txt", "a\n")
			w.write(".countersign/policy.yaml", "version: 1\nfiles:\n  deny:\n    - {id: t-place, paths: [\"/conf/vault/\", \"/conf/one.txt\"], reason: a test}\n")
			w.write(".gitignore", "agent.sh\ninner.sh\n")
			w.repo()
			a := w.steps("--backend", backend)
			a.closed(secret, "conf/vault/key.txt", "conf/one.txt")
			a.do("mv conf/vault conf/v2; mv conf/one.txt conf/2.txt; mv conf open")
			a.closed(secret)
			if backend == "snapshot" {
				a.closed(secret, "open/vault/key.txt", "open/one.txt")
				if r := w.must("review", "--list"); !strings.Contains(r.err, "would not be denied by its name there") {
					t.Errorf("not said: %s", r.err)
				}
			}
			if got := w.renames(); len(got) != 0 {
				t.Errorf("offered: %q", got)
			}
			w.must("review", "--accept-all", "--apply")
			if w.read("conf/one.txt") != secret || w.read("conf/vault/key.txt") != secret || w.read("open/a.txt") != "a\n" {
				t.Errorf("applied: %s", w.exec("find", ".", "-name", ".git", "-prune", "-o", "-print").out)
			}
			// The person moves them: closed all the same, here and in the next session.
			if r := w.exec("sh", "-c", "mv conf/one.txt conf/vault open/"); r.code != 0 {
				t.Fatal(r.err)
			}
			eventually(t, "known under its new name", func() bool { return a.in("cat", "open/one.txt").code != 0 })
			a.closed(secret)
			a.end()
			b := w.steps("--backend", backend)
			b.closed(secret, "open/one.txt", "open/vault/key.txt")
			b.end()
		})
	}
}

// A secret that is committed: its file moves like any other denied one. The commit
// that renames it names content that the session does not have, and stays inside:
// what it did arrives in the working tree.
func TestCommittedDeniedFileFollows(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	secret := secretOf(t)
	w.write("conf/.env", secret)
	w.write("conf/a.txt", "a\n")
	w.write(".gitignore", "agent.sh\ninner.sh\n")
	w.repo()
	start := w.head()
	a := w.steps("--backend", "snapshot")
	a.do("(git mv --sparse conf settings; git commit -qm renamed; git status --porcelain) > .git/said 2>&1")
	if got := a.in("cat", ".git/said").out; got != "" {
		t.Errorf("git said inside: %s", got)
	}
	if got := w.renames(); !slices.Equal(got, []string{"conf/.env > settings/.env undecided"}) {
		t.Fatalf("listed: %q\n%s", got, w.must("review", "--list").out)
	}
	says := func(r result, more string) {
		t.Helper()
		for _, part := range []string{"(renamed) stays in the session" + more + ": it names content that the session does not have", "of the denied path conf/.env (env-files)", "commit it in your own terminal"} {
			if !strings.Contains(r.err, part) {
				t.Errorf("no %q in %s", part, r.err)
			}
		}
	}
	says(w.must("review", "--list"), "")
	a.do("echo more > more.txt; git add more.txt; git commit -qm more")
	says(w.must("review", "--list", "--json"), ", and 1 commit on top of it")
	a.do("git rm -q more.txt; git update-ref HEAD HEAD~")
	says(w.must("review", "--accept-all", "--accept-file", "settings/.env", "--apply"), "")
	w.git("add", "-A")
	if got := w.git("status", "--porcelain"); w.head() != start || got != "R  conf/.env -> settings/.env\nR  conf/a.txt -> settings/a.txt\n" {
		t.Errorf("git status: %s", got)
	}
	a.closed(secret, "settings/.env")
	w.must("review", "--undo")
	if w.read("conf/.env") != secret {
		t.Error("not taken back")
	}
	// On a branch that is not checked out nothing of it is listed.
	a.do("git branch -q aside; git update-ref HEAD HEAD~")
	if r := w.must("review", "--list"); !strings.Contains(r.err, "(renamed) on aside stays in the session") || !strings.Contains(r.err, "-- git switch aside`") {
		t.Errorf("said: %s", r.err)
	}
	a.end()
	if r := w.must("review", "--list"); !strings.Contains(r.err, "(renamed) on aside stays in the session") {
		t.Errorf("after the end: %s", r.err)
	}
}

// In an overlay no directory with denied files can be renamed: mv copies what it may
// read, and the denied file stays where it is.
func TestOverlayLeavesDeniedFilesWhereTheyAre(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	secret := secretOf(t)
	w.write("conf/.env", secret)
	w.write("conf/a.txt", "a\n")
	w.write(".gitignore", "agent.sh\ninner.sh\n.env\n")
	w.git("init", "-q", "-b", "main")
	w.git("add", "-A")
	w.git("commit", "-q", "-m", "start")
	a := w.steps("--backend", "overlay")
	a.do("mv conf settings 2> .git/said; rm -r conf 2>> .git/said; mv settings/.env x.txt")
	if got := a.in("cat", ".git/said").out; !strings.Contains(got, "conf/.env") {
		t.Errorf("mv said %q", got)
	}
	if got := w.states(); got != "rename settings/a.txt undecided" {
		t.Errorf("listed:\n%s", got)
	}
	w.must("review", "--accept-all", "--apply")
	if w.read("conf/.env") != secret || w.read("settings/a.txt") != "a\n" {
		t.Error("applied otherwise")
	}
	a.closed(secret, "conf/.env")
	a.end()
}
