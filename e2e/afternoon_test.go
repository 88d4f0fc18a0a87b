package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// afternoonRepo is an ordinary repository: nested packages, tracked secrets, a
// submodule, a lock file, a hook, and a node_modules that git ignores.
const afternoonRepo = `set -e
git init -q -b main ../lib; (cd ../lib; echo lib > lib.txt; git add .; git commit -qm lib)
git init -q --bare ../origin.git
git init -q -b main .; printf 'agent.sh\ninner.sh\n' >> .git/info/exclude
printf 'node_modules/\ndist/\n' > .gitignore
mkdir -p svc/calc web/packages/a deploy docs
seq 60 > docs/long.md; echo '# here' > README.md; ln -s ../README.md docs/link
printf 'module example.com/svc\n' > svc/go.mod
printf 'package calc\n' > svc/calc/calc.go; printf 'package calc\n\nvar x = 1\n' > svc/calc/more.go
echo '{"name":"web","workspaces":["packages/*"]}' > web/package.json; echo '{"lockfileVersion":3}' > web/package-lock.json
echo '{"name":"@x/a"}' > web/packages/a/package.json
echo TOKEN=hunter2 > .env; echo key > deploy/key.pem; printf '#!/bin/sh\necho deployed\n' > deploy/run.sh; chmod +x deploy/run.sh
git add -A; git commit -qm first
git -c protocol.file.allow=always submodule --quiet add "$PWD/../lib" third/lib; git commit -qm submodule
git remote add origin "$PWD/../origin.git"; git push -q -u origin main
git branch feature
printf '#!/bin/sh\ntouch "$HOME/hook-ran"\n' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit
for p in $(seq 40); do mkdir -p web/node_modules/p$p/lib; for f in $(seq 40); do echo "$p $f" > web/node_modules/p$p/lib/$f.js; done; done
mkdir web/node_modules/.bin web/node_modules/@x; ln -s ../p1/lib/1.js web/node_modules/.bin/p1; ln -s ../../packages/a web/node_modules/@x/a
`

// afternoonWork is done bare and inside; what it prints must be the same.
const afternoonWork = `
export GIT_AUTHOR_DATE='2026-01-01T00:00:00Z' GIT_COMMITTER_DATE='2026-01-01T00:00:00Z'
step() { echo "== $1"; shift; eval "$@" 2>&1 </dev/null; echo "rc $?"; }
step clean 'git status --porcelain'
step submodule 'git submodule status; git -C third/lib status --short; git -C third/lib log --format=%s'
step sizes 'stat -c "%n %s %a" .env deploy/key.pem; ls deploy web'
step edit 'sed -i s/^30$/thirty/ docs/long.md; cat docs/link; git diff --stat'
step dirs 'mv svc/calc svc/sums && mv deploy deploy2 && mv deploy2 deploy && cat svc/sums/calc.go && git status --porcelain'
step git-mv 'git mv web/packages web/pkgs && git mv web/pkgs web/packages && git status --porcelain'
step links 'echo n > new.txt; ln new.txt hard.txt; ln README.md r.txt; stat -c %h new.txt r.txt; test new.txt -ef hard.txt; rm r.txt'
step special 'ln -s new.txt sym; mkfifo pipe; chmod 755 new.txt; touch -d 2020-01-01 hard.txt; stat -c %Y new.txt; rm pipe'
step delete 'rm -r web/packages && ls web && git checkout -q -- web/packages && cat web/packages/a/package.json'
step modules 'find web/node_modules | wc -l; cat web/node_modules/.bin/p1 web/node_modules/@x/a/package.json'
step remove 'rm -rf web/node_modules; ls -d web/node_modules'
step install 'mkdir -p web/node_modules/q; echo q > web/node_modules/q/q.js; mv web/node_modules/q web/node_modules/r; find web/node_modules; git status --porcelain web'
step commit 'git add -A docs svc new.txt && git commit --no-verify -qm "one" && git show --stat --format=%s'
step stash 'echo more >> docs/long.md; git stash -q; git stash list; git stash pop -q; git diff --stat; git checkout -q docs/long.md'
step branches 'git switch -qc topic; echo t > topic.txt; git add topic.txt; git commit --no-verify -qm topic; git switch -q feature; ls docs svc; git switch -q main; git branch -v; ls'
step merge 'git merge -q --no-edit topic; git tag v1; git log --format="%h %s" -4'
step amend 'git commit --no-verify -q --amend -m "topic, amended"; git rev-parse HEAD'
step clean2 'touch junk; git clean -fdq -e hard.txt -e sym; ls; git fsck --no-dangling 2>&1 | grep -vE "/withheld/|^missing blob"; git gc -q'
step open 'echo open >> README.md; deploy/run.sh; git status | sed "/^You are in a sparse checkout/,+1d"; git rev-parse HEAD'
`

// afternoon makes the repository, and a copy in which the same can be done bare.
func afternoon(t *testing.T, uid int) (w *world, bare string) {
	w = newWorld(t, uid)
	w.write("agent.sh", "bash ./inner.sh\n")
	w.write("inner.sh", afternoonWork)
	if r := w.exec("bash", "-c", afternoonRepo+`mkdir ../copy; cp -a . ../copy/project`); r.code != 0 {
		t.Fatalf("%s%s", r.out, r.err)
	}
	return w, filepath.Join(w.home, "copy", "project")
}

// work runs a script as an approved command of an agent.
func (w *world) work(script string) result {
	w.t.Helper()
	w.write("inner.sh", script)
	r := w.cs("run", "--policy", w.policy(allowBash), "--approver", "none", "--", "bash", "agent.sh")
	if r.code != 0 {
		w.t.Fatalf("exit %d: %s%s", r.code, r.out, r.err)
	}
	return r
}

func (w *world) head() string { return strings.TrimSpace(w.git("rev-parse", "HEAD")) }

// own files of git that a session must leave alone.
func (w *world) gitFiles() string {
	r := w.exec("bash", "-c", "cd .git; cat config hooks/* info/exclude modules/third/lib/config; ls -l hooks")
	return r.out
}

func TestAfternoon(t *testing.T) {
	for _, uid := range users() {
		t.Run(map[bool]string{true: "root", false: "ordinary"}[uid == 0], func(t *testing.T) {
			w, bare := afternoon(t, uid)
			files := w.gitFiles()
			outside := w.command(context.Background(), "bash", "agent.sh")
			outside.Dir = bare
			want, err := outside.CombinedOutput()
			if err != nil {
				t.Fatalf("bare: %v: %s", err, want)
			}
			inside := w.work(afternoonWork)
			if d := firstDifference(string(want), inside.out); d != "" {
				t.Errorf("inside is not as bare: %s", d)
			}
			if len(w.git("status", "--porcelain")) != 0 {
				t.Error("the real tree changed before anything was accepted")
			}
			w.wholeCommitsAreTakenOver(bare)
			if w.gitFiles() != files {
				t.Error("git's own files of the real repository changed")
			}
			w.rejectedCommitsStay()
			w.hostEditsReachTheSession()
			if _, err := os.Stat(filepath.Join(w.home, "hook-ran")); err == nil {
				t.Error("the person's hook ran")
			}
			w.must("verify")
		})
	}
}

// wholeCommitsAreTakenOver accepts all: the real tree ends up as the bare one.
func (w *world) wholeCommitsAreTakenOver(bare string) {
	t := w.t
	t.Helper()
	for _, h := range w.hunks() {
		open := h.Path == "README.md" || h.Path == "hard.txt" || h.Path == "sym"
		if open != (h.Commit == nil) {
			t.Errorf("%s %s: commit %v", h.Op, h.Path, h.Commit)
		}
	}
	// A shell of the person's goes on with the layer; the review follows it.
	id := w.sessionID()
	if r := w.must("shell", id, "--", "cat", "svc/sums/calc.go"); !strings.Contains(r.out, "package calc") {
		t.Errorf("shell: %s%s", r.out, r.err)
	}
	r := w.must("review", id, "--accept-all", "--apply")
	status := func(dir string) string {
		out, err := w.inDir(dir, "git", "status", "--porcelain", "-b")
		if err != nil {
			t.Errorf("git status: %v %s", err, out)
		}
		return out
	}
	if a, b := status(bare), status(w.project); a != b {
		t.Errorf("the real status is\n%s, bare it is\n%s, apply said %s%s", b, a, r.out, r.err)
	}
	if a, _ := w.inDir(bare, "git", "rev-parse", "HEAD"); a != w.head()+"\n" {
		t.Errorf("HEAD is %s, bare %s: %s", w.head(), a, r.err)
	}
	if out := w.exec("diff", "-r", "--no-dereference", "-x", ".git", "-x", "node_modules", bare, w.project); out.out != "" {
		t.Errorf("the trees differ: %s", out.out)
	}
}

// rejectedCommitsStay rejects a file of one commit: nothing of the history
// comes, and what was accepted is a change of the working tree.
func (w *world) rejectedCommitsStay() {
	t := w.t
	t.Helper()
	w.git("add", "-A")
	w.git("commit", "-q", "--no-verify", "-m", "mine")
	before := w.head()
	w.work(`set -e; echo bad > bad.txt; git add bad.txt; git commit -qm "with bad"; echo good > good.txt; git add good.txt; git commit -qm good`)
	var bad string
	for _, h := range w.hunks() {
		if h.Path == "bad.txt" {
			bad = h.Hunk
		}
	}
	w.must("review", "--reject", bad)
	r := w.must("review", "--accept-all", "--apply")
	if w.head() != before || strings.Contains(w.git("log", "--all", "--format=%s"), "good") {
		t.Errorf("a commit above a rejected one was taken over: %s", r.err)
	}
	if got := w.git("status", "--porcelain"); got != "?? good.txt\n" {
		t.Errorf("status %q: %s", got, r.err)
	}
	if !strings.Contains(r.err, "uncommitted") {
		t.Errorf("nothing says so: %s", r.err)
	}
}

// hostEditsReachTheSession edits while a session runs: an untouched file
// follows, a touched one is a conflict that is shown and loses nothing.
func (w *world) hostEditsReachTheSession() {
	t := w.t
	t.Helper()
	w.write("inner.sh", `sed -i s/^50$/agent/ docs/long.md; echo ready
for i in $(seq 400); do grep -q host README.md && break; sleep 0.05; done; grep host README.md
for i in $(seq 400); do test "$(git branch --show-current)" = elsewhere && break; sleep 0.05; done; git branch --show-current
`)
	j := w.start("run", "--fresh", "--policy", w.policy(allowBash), "--approver", "none", "--", "bash", "agent.sh")
	j.prints("ready")
	w.write("README.md", "from the host\n")
	j.prints("from the host")
	w.exec("sed", "-i", "s/^50$/person/", "docs/long.md")
	w.git("switch", "-qc", "elsewhere")
	r := j.wait()
	if r.code != 0 || !strings.Contains(r.out, "elsewhere") {
		t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
	}
	list := w.must("review", "--list")
	if !strings.Contains(list.err, "docs/long.md was changed outside") {
		t.Errorf("the list shows no conflict: %s%s", list.out, list.err)
	}
	if got := w.log("--type", "workspace.conflict"); len(got) == 0 || got[len(got)-1].Action.Path != "docs/long.md" {
		t.Errorf("the record shows no conflict: %+v", got)
	}
	if r := w.cs("review", "--accept-all", "--apply"); r.code != 7 || !strings.Contains(r.err, "the file was changed in the same place") {
		t.Errorf("apply: exit %d: %s%s", r.code, r.out, r.err)
	}
	if !strings.Contains(w.read("docs/long.md"), "person") {
		t.Error("the person's line is gone")
	}
}

func (w *world) inDir(dir, name string, args ...string) (string, error) {
	cmd := w.command(context.Background(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// firstDifference shows the first line in which two outputs differ, and the
// step it belongs to.
func firstDifference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	step := ""
	for i := 0; i < len(a) || i < len(b); i++ {
		var x, y string
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if strings.HasPrefix(x, "== ") {
			step = x
		}
		if x != y {
			return step + ": bare " + x + "\n inside " + y + "\nall of it inside:\n" + got
		}
	}
	return ""
}
