package gitview

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/workspace/gitstore"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sh runs a command on the host, as the person would.
func sh(t testing.TB, dir, script string) string {
	t.Helper()
	out, err := trySh(dir, script)
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

func trySh(dir, script string) (string, error) {
	cmd := exec.Command("bash", "-ec", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=p", "GIT_AUTHOR_EMAIL=p@x", "GIT_COMMITTER_NAME=p", "GIT_COMMITTER_EMAIL=p@x", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_ALLOW_PROTOCOL=file", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func denyEnv(rel string) (string, bool) { return "test-env", filepath.Base(rel) == ".env" }

// view is a session git put together without mounts: links stand in for them.
type view struct {
	*Session
	dir string // a working tree whose .git is the session's
	o   Options
}

func newView(t testing.TB, root string, o Options) *view {
	t.Helper()
	p, err := Find(root)
	must(t, err)
	if o.Dir == "" {
		top := t.TempDir()
		o.Dir, o.Store, o.Hooks, o.View = filepath.Join(top, "git"), filepath.Join(top, "store"), t.TempDir(), filepath.Join(top, "view")
		must(t, os.MkdirAll(o.Dir, 0o755))
		sh(t, top, "mkdir view; cd "+root+"; git ls-files -z | grep -zv .env | xargs -0 -r tar cf - | tar xpf - -C "+o.View)
	}
	o.Denied = denyEnv
	s, err := p.SessionGit(context.Background(), o)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	for _, m := range s.Mounts {
		if m.Target == filepath.Join(o.View, ".git") {
			os.RemoveAll(m.Target)
			must(t, os.Symlink(m.Source, m.Target))
		} else if strings.HasSuffix(m.Target, "countersign/objects") {
			os.RemoveAll(m.Target)
			must(t, os.Symlink(m.Source, m.Target))
		} else if strings.HasSuffix(m.Target, ".git/commondir") {
			must(t, os.Remove(m.Source)) // it would not name .git, which is a link here
		}
	}
	return &view{s, o.View, o}
}

func repository(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "r")
	must(t, os.Mkdir(dir, 0o755))
	sh(t, dir, `git init -q -b main .
		echo a > a.txt; echo SECRET=one > .env; git add -A; git commit -qm one
		echo SECRET=two > .env; echo b > b.txt; git add -A; git commit -qm two
		mkdir deep; mv .env deep/.env; git add -A; git commit -qm three
		cp deep/.env copied.txt; git add -A; git commit -qm 'a copy of the secret at an allowed path'
		git rm -q copied.txt; git mv deep/.env .env; git commit -qm 'four'
		git checkout -q -b side; echo SECRET=side > .env; echo s > s.txt; git add -A; git commit -qm side
		git checkout -q main; git merge -q --no-ff -s ours side -m merge
		echo SECRET=stashed > .env; echo stash > a.txt; git stash -q
		echo SECRET=dangling | git hash-object -w --stdin > /dev/null
		echo SECRET=reset > .env; git commit -qam reset; git reset -q --hard HEAD~1
		echo staged > new.txt; git add new.txt; echo SECRET=staged > .env; git add .env`)
	return dir
}

func TestNoSecretIsReachableInside(t *testing.T) {
	root := repository(t)
	v := newView(t, root, Options{})
	all := sh(t, v.dir, `git cat-file --batch-all-objects --batch --buffer 2>/dev/null | strings; true`)
	if strings.Contains(all, "SECRET") {
		t.Errorf("a secret is in the session's objects")
	}
	if !strings.Contains(sh(t, root, `git cat-file --batch-all-objects --batch --buffer | strings`), "SECRET=dangling") {
		t.Error("the test does not see secrets where they are")
	}
	for _, cmd := range []string{"git show HEAD:.env", "git log -p --all", "git stash show -p", "git show HEAD~3:copied.txt", "git fsck --lost-found", "git cat-file -p " + strings.TrimSpace(sh(t, root, "git rev-parse HEAD:.env"))} {
		out, _ := trySh(v.dir, cmd)
		if strings.Contains(out, "SECRET=") {
			t.Errorf("%s shows it:\n%s", cmd, out)
		}
	}
}

func TestOrdinaryGitWorksInside(t *testing.T) {
	root := repository(t)
	v := newView(t, root, Options{})
	sh(t, root, "mkdir fresh; echo SECRET=fresh > fresh/.env; git add fresh")
	if got := sh(t, newView(t, root, Options{}).dir, "git status --porcelain"); got != "A  new.txt\n" {
		t.Errorf("status with a new secret staged: %q", got)
	}
	if got := sh(t, v.dir, "git status --porcelain"); got != "A  new.txt\n" {
		t.Errorf("status: %q", got)
	}
	out := sh(t, v.dir, `git log --oneline | wc -l; git diff --stat; echo x >> b.txt; git diff --stat; git add b.txt; git commit -qm inside
		git stash list; echo y >> a.txt; git stash -q; git stash pop -q; git branch x; git branch -m x y; git remote add up https://h/x; git checkout -q -b z; git gc -q; git fsck 2>&1 | grep -v dangling || true`)
	t.Log(out)
	if log := sh(t, v.dir, "git log --oneline -1"); !strings.Contains(log, "inside") {
		t.Errorf("log: %s", log)
	}
	if _, err := trySh(v.dir, "git push up z"); err == nil {
		t.Error("push works")
	} else if out, _ := trySh(v.dir, "git push https://h/x z"); !strings.Contains(out, "pushing is done outside") {
		t.Errorf("push says: %s", out)
	}
}

func TestCommitsAreTakenOver(t *testing.T) {
	ctx := context.Background()
	root := repository(t)
	sh(t, root, "git reset -q --hard")
	v := newView(t, root, Options{})
	sh(t, v.dir, `echo in >> a.txt; git commit -qam in1; echo c > c.txt; git add c.txt; git commit -qm in2`)
	commits, err := v.NewCommits(ctx)
	must(t, err)
	if len(commits) != 2 || commits[0].Message != "in1\n" || commits[1].Files[0].Path != "c.txt" || commits[0].Refused != "" {
		t.Fatalf("commits: %+v", commits)
	}
	if !v.Own() {
		t.Error("the session's commits are not its own")
	}
	blobs, err := v.Blobs(ctx, "", []string{commits[1].Files[0].New, commits[0].Files[0].Old})
	must(t, err)
	for id, want := range map[string]string{commits[1].Files[0].New: "c\n", commits[0].Files[0].Old: sh(t, root, "git cat-file blob HEAD:a.txt")} {
		b, err := os.ReadFile(blobs[id].File)
		must(t, err)
		if sum := sha256.Sum256(b); string(b) != want || hex.EncodeToString(sum[:]) != blobs[id].SHA256 || int(blobs[id].Size) != len(want) {
			t.Errorf("blob %s: %q %+v", id, b, blobs[id])
		}
	}
	sh(t, root, "cp "+v.dir+"/a.txt "+v.dir+"/c.txt .")
	must(t, take(v, commits[1].ID, nil))
	if got := sh(t, root, "git status --porcelain; git log -1 --format=%s; git fsck --no-dangling 2>&1"); got != "in2\n" {
		t.Errorf("the real repository: %s", got)
	}
	if again, err := v.NewCommits(ctx); err != nil || len(again) != 0 {
		t.Errorf("still new: %v %v", again, err)
	}
	if v.Own() {
		t.Error("still own")
	}
}

// What no person has seen does not come along below an accepted commit.
func TestTakeOverRefusesWhatNobodyAccepted(t *testing.T) {
	for _, c := range []struct{ name, inside, outside, want, says string }{
		{"a file of a commit below", `echo bad > bad.txt; git add bad.txt; git commit -qm in1; echo c > c.txt; git add c.txt; git commit -qm in2`, "echo c > c.txt", `"bad.txt"`, ""},
		{"bytes that a later commit takes away", `echo bad > c.txt; git add c.txt; git commit -qm in1; echo c > c.txt; git commit -qam in2`, "echo c > c.txt", `"c.txt"`, ""},
		{"a link in place of a file", `ln -s /etc c.txt; git add c.txt; git commit -qm in1`, "echo -n /etc > c.txt", `"c.txt"`, ""},
		{"a side that was merged", `git switch -qc s; echo bad > bad.txt; git add bad.txt; git commit -qm s; git rm -q bad.txt; git commit -qm s2; git switch -q main; echo c > c.txt; git add c.txt; git commit -qm in1; git merge -q -m m s`, "echo c > c.txt", `"bad.txt"`, ""},
		{"all of it accepted", `ln -s c.txt l; echo c > c.txt; git add c.txt l; git commit -qm in1; git mv a.txt d.txt; git commit -qm in2; git revert --no-edit HEAD`, "echo c > c.txt; ln -s c.txt l", "", "a.txt d.txt"},
		{"a step on the way that nobody accepted", `git mv a.txt d.txt; git commit -qm in1; git revert --no-edit HEAD`, "", `"a.txt"`, "d.txt"},
		{"a step on the way that was accepted", `echo 1 > c.txt; git add c.txt; git commit -qm in1; echo c > c.txt; git commit -qam in2`, "echo c > c.txt", "", "c.txt"},
		{"a file that lost its permission", `chmod +x a.txt; git commit -qam in1`, "", `"a.txt"`, ""},
		{"a submodule", `git init -q sub; (cd sub; git commit -q --allow-empty -m sub); git add sub 2>&1; git commit -qm in1`, "", `submodule "sub"`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := context.Background()
			root := repository(t)
			sh(t, root, "git reset -q --hard")
			v := newView(t, root, Options{})
			sh(t, v.dir, c.inside)
			sh(t, root, c.outside)
			commits, err := v.NewCommits(ctx)
			must(t, err)
			before := sh(t, root, "git rev-parse HEAD")
			last := strings.TrimSpace(sh(t, v.dir, "git rev-parse HEAD"))
			err = take(v, last, func(_, path string) bool { return slices.Contains(strings.Fields(c.says), path) })
			if c.want == "" {
				must(t, err)
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d commits, error %v", len(commits), err)
			}
			if after := sh(t, root, "git rev-parse HEAD"); after != before {
				t.Error("the branch moved")
			}
		})
	}
}

func TestForgedCommitIsRefused(t *testing.T) {
	ctx := context.Background()
	root := repository(t)
	sh(t, root, "git reset -q --hard")
	v := newView(t, root, Options{})
	id := strings.TrimSpace(sh(t, root, "git rev-parse HEAD:.env"))
	sh(t, v.dir, `git update-index --add --cacheinfo 100644,`+id+`,seen.txt; tree=$(git write-tree --missing-ok); git update-ref refs/heads/main $(echo forged | git commit-tree $tree -p HEAD)`)
	commits, err := v.NewCommits(ctx)
	must(t, err)
	if len(commits) != 1 || !strings.Contains(commits[0].Refused, "seen.txt") {
		t.Fatalf("not refused: %+v", commits)
	}
	if err := take(v, commits[0].ID, nil); err == nil {
		t.Error("taken over")
	}
	if strings.Contains(sh(t, root, "git log --all --format=%s"), "forged") {
		t.Error("the forged commit is in the real repository")
	}
}

func TestTakeOverRefusesWhatIsNoFastForward(t *testing.T) {
	ctx := context.Background()
	root := repository(t)
	sh(t, root, "git reset -q --hard")
	v := newView(t, root, Options{})
	sh(t, v.dir, `echo in >> a.txt; git commit -qam in1`)
	commits, err := v.NewCommits(ctx)
	must(t, err)
	sh(t, root, `echo x > x; git add x; git commit -qm outside`)
	if err := take(v, commits[0].ID, nil); err == nil {
		t.Error("taken over")
	}
	if got := sh(t, root, "git log -1 --format=%s"); got != "outside\n" {
		t.Errorf("the branch moved: %s", got)
	}
}

func TestOutsideMovesAreCarriedIn(t *testing.T) {
	ctx := context.Background()
	root := repository(t)
	sh(t, root, "git reset -q --hard")
	v := newView(t, root, Options{})
	sh(t, v.dir, `echo own > own.txt; git add own.txt`)
	sh(t, root, `echo z > z.txt; git add z.txt; git commit -qm outside; git checkout -q -b other; echo q > q.txt; git add q.txt`)
	sh(t, v.dir, "cp "+root+"/z.txt "+root+"/q.txt .")
	moved, told, err := v.Sync(ctx)
	must(t, err)
	if !moved {
		t.Error("nothing moved")
	}
	if got := sh(t, v.dir, "git status --porcelain; git log -1 --format=%s; git branch --show-current"); got != "A  own.txt\nA  q.txt\noutside\nother\n" {
		t.Errorf("inside: %s %v", got, told)
	}
	if moved, _, err := v.Sync(ctx); moved || err != nil {
		t.Errorf("moved again: %v", err)
	}
	sh(t, v.dir, "git commit -qm mine")
	sh(t, root, "git checkout -q main -f")
	_, told, err = v.Sync(ctx)
	must(t, err)
	if len(told) == 0 || !strings.Contains(sh(t, v.dir, "git log -1 --format=%s"), "mine") {
		t.Errorf("the session's commit was lost; told %v", told)
	}
}

func TestConfigKeysThatStartProgramsAreTakenOut(t *testing.T) {
	root := repository(t)
	sh(t, root, `git config core.fsmonitor /nonexistent/evil; git config alias.x '!evil'; git config filter.f.clean evil; git config remote.origin.url https://user:token@host/x.git
		git config remote.evil.url 'ext::sh -c evil'; git config http.extraheader 'Authorization: x'; git config include.path /nonexistent/evil; git config branch.main.description 'two
lines "q" \\'`)
	v := newView(t, root, Options{})
	conf := sh(t, v.dir, "git config --local --list")
	for _, bad := range []string{"evil", "token", "Authorization"} {
		if strings.Contains(conf, bad) {
			t.Errorf("%s is in the session's configuration:\n%s", bad, conf)
		}
	}
	if !strings.Contains(conf, "remote.origin.url=https://host/x.git") || !strings.Contains(conf, "branch.main.description=two\nlines \"q\" \\") {
		t.Errorf("inert keys are missing:\n%s", conf)
	}
}

// TestOnlyInertKeysAreWritten: what git inside would write is shown to the agent and
// kept for the next session, unless a key of it starts a program.
func TestOnlyInertKeysAreWritten(t *testing.T) {
	ctx := context.Background()
	root := repository(t)
	v := newView(t, root, Options{})
	shown := map[string]string{}
	v.Texts.Serve(func(path string, content []byte) error { shown[path] = string(content); return nil })
	at := filepath.Join(v.o.View, ".git", "config")
	was := v.textNow(t, at)
	for _, bad := range []string{
		"[core]\n\thooksPath = /nonexistent/evil\n", "[CORE]\nFsMonitor\n", "[diff \"x\"]\ntextconv=evil", "[gc]\nrecentObjectsHook=evil", "[submodule \"s\"]\nurl=ext::evil",
		"[include]\npath=/x", "[includeIf \"gitdir:/\"]\npath=/x", "[alias]\nx=!evil", "[remote \"o\"]\nurl = https://me:secret@example.com/x", "[submodule \"s\"]\nupdate=!evil",
		"[core]\nbare=false\\\n\n[core]fsmonitor=evil # x", "[branch \"x\\\"]\nfsmonitor", "[core", "[user]\nname=a\x00b\n", "\xef\xbb\xbf[core]\nfsmonitor=evil",
	} {
		if err := v.Texts.Rewrite(ctx, at, []byte(bad)); err == nil {
			t.Errorf("taken: %q", bad)
		}
	}
	if v.textNow(t, at) != was || len(shown) != 0 {
		t.Errorf("something was written: %v", shown)
	}
	good := was + "[branch \"y\"]\n\tremote = origin # mine\n"
	must(t, v.Texts.Rewrite(ctx, at, []byte(good)))
	must(t, v.Texts.Rewrite(ctx, filepath.Join(v.o.View, ".git", "config.worktree"), []byte("[core]\n\tsparseCheckout = true\n")))
	for _, other := range []string{filepath.Join(v.o.View, ".git", "commondir"), filepath.Join(v.o.View, "config"), "config"} {
		if v.Texts.Rewrite(ctx, other, []byte("")) == nil {
			t.Errorf("%s was rewritten", other)
		}
	}
	if shown[at] != good || v.textNow(t, at) != good {
		t.Errorf("shown %q", shown[at])
	}
	must(t, v.Texts.Rewrite(ctx, at, []byte(strings.Replace(good, `"true"`, "false", 1))))
	if now := v.textNow(t, at); !strings.Contains(now, `filemode = "true"`) {
		t.Errorf("git init inside has taken the modes away: %s", now)
	}
	must(t, v.Texts.Rewrite(ctx, at, []byte(good)))
	v.Texts.Serve(func(string, []byte) error { return syscall.EBUSY })
	if err := v.Texts.Rewrite(ctx, at, []byte(was)); !errors.Is(err, syscall.EBUSY) || v.textNow(t, at) != good {
		t.Errorf("kept though nobody sees it: %v", err)
	}
	// The next session goes on with it, whatever lies in the agent's directory.
	must(t, os.Remove(filepath.Join(v.o.Dir, "0/config")))
	must(t, os.Symlink("/etc/passwd", filepath.Join(v.o.Dir, "0/config")))
	must(t, os.WriteFile(filepath.Join(v.o.Dir, "0/commondir"), []byte("../evil\n"), 0o644))
	w := newView(t, root, v.o)
	if w.textNow(t, at) != good {
		t.Errorf("the next session has %q", w.textNow(t, at))
	}
	if b, err := os.ReadFile(filepath.Join(v.o.Dir, "0/config")); err != nil || string(b) != good {
		t.Errorf("under it lies %q (%v)", b, err)
	}
}

func (v *view) textNow(t *testing.T, at string) string {
	t.Helper()
	all, err := v.Texts.All()
	must(t, err)
	for _, x := range all {
		if x.Path == at {
			return string(x.Content)
		}
	}
	t.Fatalf("no text at %s", at)
	return ""
}

func TestStoreGrowsAndIsMadeAnew(t *testing.T) {
	root := repository(t)
	sh(t, root, "git reset -q --hard")
	v := newView(t, root, Options{})
	gen := v.repos[0].store.Generation()
	sh(t, root, `echo more > more.txt; git add more.txt; git commit -qm more`)
	w := newView(t, root, v.o)
	if w.repos[0].store.Generation() != gen {
		t.Error("a new commit made the whole store anew")
	}
	sh(t, w.dir, "git log -1 -p --format=%s | grep -q more")
	sh(t, root, `cp more.txt .env; git commit -qam 'the same bytes at a denied path'`)
	x := newView(t, root, v.o)
	if x.repos[0].store.Generation() == gen {
		t.Error("content that became denied is still in the store")
	}
	if out := sh(t, x.dir, "git cat-file -p HEAD:more.txt"); out != gitstore.StandIn(strings.TrimSpace(sh(t, root, "git rev-parse HEAD:more.txt"))) {
		t.Errorf("content that stands at a denied path too is readable: %s", out)
	}
}

func TestStoreOutlivesWhatItWasMadeOf(t *testing.T) {
	root := repository(t)
	v := newView(t, root, Options{})
	gen := v.repos[0].store.Generation()
	sh(t, root, `git checkout -q -b gone; echo s > s; git add s; git commit -qm side`)
	newView(t, root, v.o)
	sh(t, root, `git checkout -q main; git branch -qD gone; git reflog expire --all --expire=now; git gc -q --prune=now; echo x > x; git add x; git commit -qm x`)
	w := newView(t, root, v.o)
	if w.repos[0].store.Generation() != gen {
		t.Error("a branch that went made the whole store anew")
	}
	sh(t, w.dir, "git log -p | grep -q '+x'")
	sh(t, root, `rm -rf .git; git init -q -b main .; echo anew > anew; git add anew; git commit -qm anew`)
	x := newView(t, root, v.o)
	if x.repos[0].store.Generation() == gen {
		t.Error("another repository's objects are still in the store")
	}
	sh(t, x.dir, "git log -p | grep -q +anew")
}

func TestHostGitRunsNothingOfTheRepository(t *testing.T) {
	root := repository(t)
	mark := filepath.Join(t.TempDir(), "ran")
	sh(t, root, `git config core.fsmonitor "touch `+mark+`; false"; git config filter.f.clean "touch `+mark+`; cat"; git config filter.f.process "touch `+mark+`"; git config filter.f.smudge "touch `+mark+`; cat"
		echo '* filter=f diff=f' > .gitattributes; git config diff.f.textconv "touch `+mark+`; cat"; git config core.pager "touch `+mark+`"
		for h in post-index-change reference-transaction pre-commit post-checkout; do printf '#!/bin/sh\ntouch `+mark+`\n' > .git/hooks/$h; chmod +x .git/hooks/$h; done`)
	os.Remove(mark)
	v := newView(t, root, Options{})
	if _, err := os.Stat(mark); err == nil {
		sh(t, root, "ls -l "+mark)
	}
	os.Remove(mark) // ls-files of the test itself run fsmonitor
	p, err := Find(root)
	must(t, err)
	ctx := context.Background()
	_, err = p.Ignored(ctx, p.Repo)
	must(t, err)
	_, err = p.CheckIgnored(ctx, p.Repo, root, []string{"a.txt"})
	must(t, err)
	_, err = p.SessionGit(ctx, Options{Dir: t.TempDir(), Store: t.TempDir(), Hooks: t.TempDir(), View: v.dir, Denied: denyEnv})
	must(t, err)
	sh(t, v.dir, "echo in >> b.txt; git commit -qm in b.txt")
	commits, err := v.NewCommits(ctx)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(root, "b.txt"), []byte("b\nin\n"), 0o644))
	must(t, take(v, commits[0].ID, nil))
	if _, err := os.Stat(mark); err == nil {
		t.Error("git on the host ran a program that the repository names")
	}
	trySh(root, "git status > /dev/null")
	if _, err := os.Stat(mark); err != nil {
		t.Error("the repository's programs would not have run anyway")
	}
}

// TestPipesForIgnoreFiles: an agent's named pipe in the place of an ignore file
// holds nobody up, and hides nothing.
func TestPipesForIgnoreFiles(t *testing.T) {
	root := t.TempDir()
	sh(t, root, "git init -q")
	for _, d := range []string{"a", "b/c"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, ".gitignore"), []byte("*.log\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfifo", filepath.Join(root, "b/.gitignore")).CombinedOutput(); err != nil {
		t.Skipf("no named pipes: %s", out)
	}
	p, err := Find(root)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	got, err := p.CheckIgnored(ctx, p.Repo, root, []string{"a/x.log", "b/x.log", "b/c/x.log", "x.go", strings.Repeat("d/", 20000) + "x.log"})
	if err != nil || !maps.Equal(got, map[string]bool{"a/x.log": true}) {
		t.Errorf("%v, %v", got, err)
	}
}

// TestLinksLaidForASubmodule: the agent guesses the name of a submodule to come
// and lays a link where its git directory will be built.
func TestLinksLaidForASubmodule(t *testing.T) {
	root, outside, other := repository(t), t.TempDir(), repository(t)
	v := newView(t, root, Options{})
	v.Close()
	must(t, os.MkdirAll(filepath.Join(v.o.Dir, "0/modules"), 0o755))
	must(t, os.Symlink(outside, filepath.Join(v.o.Dir, "0/modules/sub")))
	sh(t, root, "git submodule --quiet add "+other+" sub")
	p, err := Find(root)
	must(t, err)
	o := v.o
	o.Nested = []string{"sub"}
	s, err := p.SessionGit(context.Background(), o)
	if err == nil {
		s.Close()
	}
	if names, _ := filepath.Glob(filepath.Join(outside, "*")); len(names) > 0 {
		t.Errorf("written outside: %q", names)
	}
	if fi, err := os.Lstat(filepath.Join(v.o.Dir, "0/modules/sub")); err != nil || !fi.IsDir() {
		t.Errorf("the submodule has no git directory of its own: %v, %v", fi, err)
	}
}

func take(v *view, commit string, says Accepted) error {
	_, err := v.TakeOver(context.Background(), "", commit, says, false)
	return err
}

// An index that git inside cannot read is the session's own affair: it keeps
// neither a review nor the next session from starting.
func TestAnIndexThatIsNoFileStopsNothing(t *testing.T) {
	for name, lay := range map[string]string{
		"link out":  "ln -s /dev/zero .git/index",
		"pipe":      "mkfifo .git/index",
		"directory": "mkdir .git/index",
	} {
		t.Run(name, func(t *testing.T) {
			root := repository(t)
			sh(t, root, "git reset -q --hard")
			v := newView(t, root, Options{})
			sh(t, v.dir, "rm .git/index; "+lay)
			v.Close()
			sh(t, root, "echo z > z.txt; git add z.txt; git commit -qm outside")
			p, err := Find(root)
			must(t, err)
			s, err := p.SessionGit(context.Background(), v.o)
			must(t, err)
			s.Close()
		})
	}
}
