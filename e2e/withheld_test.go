package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// withheldRepo has a tracked secret in every place of a history: changed in three
// commits, others added and deleted again, changed on both sides of a merge to come,
// in a stash, in a submodule.
const withheldRepo = `set -e
git init -q -b main ../lib; (cd ../lib; echo lib > lib.txt; echo SECRET-sub1 > .env; git add .; git commit -qm lib; echo SECRET-sub2 > .env; echo lib2 >> lib.txt; git commit -qam lib2)
git init -q -b main .; printf 'agent.sh\ninner.sh\n' >> .git/info/exclude
echo base > f.txt; echo SECRET-one > .env; mkdir deploy; echo SECRET-key > deploy/server.pem; git add -A; git commit -qm one; git tag c1
echo SECRET-two > .env; echo two >> f.txt; git commit -qam two; git tag c2
echo SECRET-three > .env; echo three >> f.txt; git commit -qam three; git tag c3
echo SECRET-old > old.env; echo SECRET-cert > cert.pem; git add -A; git commit -qm 'adds two'; git tag c4
git switch -qc topic c2; echo SECRET-topic > .env; echo t > t.txt; git add -A; git commit -qm topic
git switch -qc own c3; echo own > own.txt; git add -A; git commit -qm own; git switch -q main
git rm -q old.env cert.pem; git commit -qm 'removes two'
git -c protocol.file.allow=always submodule --quiet add "$PWD/../lib" third/lib; git commit -qm submodule
echo last >> f.txt; git commit -qam last
echo SECRET-stash > .env; git stash -q
git switch -qc twin c2; git switch -q main; touch -d '1 hour ago' .env deploy/server.pem f.txt; git update-index -q --refresh; touch -d '1 minute ago' .git/index
`

// withheldWork is done bare and inside; it must print the same, and end the same.
const withheldWork = `
export GIT_AUTHOR_DATE='2026-01-01T00:00:00Z' GIT_COMMITTER_DATE='2026-01-01T00:00:00Z'
step() { echo "== $1"; eval "$1" 2>&1 </dev/null; echo "rc $?"; }
step 'git status --porcelain'
step 'git log --stat --format=%s'
step 'git log -p --format=%s | grep -v SECRET | grep -v withholds'
step 'git diff --stat c1 c4'
step 'git show --stat --format=%s c3; git show --name-status --format=%s c4'
step 'git -C third/lib log --stat --format=%s; git -C third/lib checkout -q HEAD~1; git -C third/lib status --porcelain; git status --porcelain; git -C third/lib checkout -q main'
step 'git worktree add -q wt c2; git -C wt status --porcelain; cat wt/f.txt; git worktree remove wt'
step 'git checkout -q c1; git status --porcelain -uno; cat f.txt; git checkout -q c4; git status --porcelain -uno; git checkout -q main; git status --porcelain'
step 'git switch -q twin; echo x > x.txt; git add x.txt; git stash -q; git stash show --stat; git stash pop -q; git commit -qm x; git status --porcelain -uno'
step 'git merge -q -m merged topic; git log --format=%s -2; git status --porcelain -uno'
step 'git switch -q own; git rebase -q twin -X ours; git log --format=%s -2; git status --porcelain -uno; git cherry-pick c4 >/dev/null; git log --format=%s -1'
step 'git switch -q main; git blame -s f.txt; git log --format=%s --follow f.txt; git bisect start HEAD c1 >/dev/null; git bisect reset'
step 'git gc -q; git branch -q -D twin own topic; git status --porcelain; git remote -v'
`

// withheldRecords are what that work leaves on record: each program that read what
// stands in for a secret, once for each path, and no other.
const withheldRecords = `cert.pem withheld private-keys git log --stat --format=%s
old.env withheld env-suffix git log --stat --format=%s
.env withheld env-files git log --stat --format=%s
deploy/server.pem withheld private-keys git log --stat --format=%s
cert.pem withheld private-keys git log -p --format=%s
old.env withheld env-suffix git log -p --format=%s
.env withheld env-files git log -p --format=%s
deploy/server.pem withheld private-keys git log -p --format=%s
.env withheld env-files git diff --stat c1 c4
cert.pem withheld private-keys git diff --stat c1 c4
old.env withheld env-suffix git diff --stat c1 c4
.env withheld env-files git show --stat --format=%s c3
third/lib/.env withheld env-files git -C third/lib log --stat --format=%s
.env withheld env-files git rebase -q twin -X ours
cert.pem withheld private-keys git cherry-pick c4
old.env withheld env-suffix git cherry-pick c4
`

func TestGitGoesThroughWithheldHistory(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		w.write("agent.sh", "bash ./inner.sh\n")
		if r := w.exec("bash", "-c", withheldRepo+`mkdir ../copy; cp -a . ../copy/project`); r.code != 0 {
			t.Fatalf("%s%s", r.out, r.err)
		}
		w.write("inner.sh", withheldWork)
		b := *w
		b.project = w.home + "/copy/project"
		b.write("inner.sh", withheldWork)
		bare := b.exec("bash", "./inner.sh")
		inside := w.work(withheldWork)
		if diff := firstDifference(bare.out, inside.out); diff != "" {
			t.Errorf("inside and bare differ at %s", diff)
		}
		var records []string
		for _, r := range w.log("--type", "file.denied") {
			records = append(records, fmt.Sprintf("%s %s %s %s", strings.TrimPrefix(r.Action.Path, w.project+"/"), r.Action.Op, r.Policy.Rule, strings.Join(r.Actor.Peer.Argv, " ")))
		}
		if got := strings.Join(records, "\n") + "\n"; got != withheldRecords {
			t.Errorf("on record:\n%s", got)
		}
		if hs := w.hunks(); len(hs) > 0 {
			t.Errorf("hunks of a session that left all as it was: %+v", hs)
		}
	})
}

// TestStandInsGoNowhere: what git prints in place of a secret reaches neither the
// review nor the real repository, and no route prints the secret.
func TestStandInsGoNowhere(t *testing.T) {
	w := newWorld(t, 0)
	w.write("agent.sh", "bash ./inner.sh\n")
	if r := w.exec("bash", "-c", withheldRepo); r.code != 0 {
		t.Fatalf("%s%s", r.out, r.err)
	}
	before := w.head()
	out := w.work(`git log -p --all; git show c1:.env; git archive c4 | tar xO; git cat-file --batch-all-objects --batch; git stash list; git -C third/lib log -p
git checkout c4 -- old.env cert.pem; cat old.env; git reset -q
mkdir co; git --work-tree=co checkout c4 -- . ; cat co/.env; git reset -q --hard; git worktree add -q wt c4; git -C wt show HEAD:.env > wt/.env
git switch -qc both c3; git merge -q -m 'both sides' topic; git switch -q main; git merge -q -m 'with both' both
echo fine > fine.txt; git add fine.txt; git commit -qm fine; git log --format=%s -3`).out
	if strings.Contains(out, "SECRET") {
		t.Errorf("a secret was printed:\n%s", out)
	}
	if !strings.Contains(out, "fine\nwith both\n") || !strings.Contains(out, "Countersign withholds the content of blob ") {
		t.Errorf("the work was not done:\n%s", out)
	}
	for _, h := range w.hunks() {
		if strings.Contains(h.Path, "env") || strings.HasSuffix(h.Path, ".pem") {
			t.Errorf("to review: %+v", h)
		}
		if h.Path == "t.txt" || h.Path == "fine.txt" {
			w.must("review", "--accept", h.Hunk)
		}
	}
	r := w.cs("review", "--apply")
	if w.head() != before || !strings.Contains(r.err, "stands in for withheld content") {
		t.Errorf("taken over: %s\n%s", w.git("log", "--format=%s", "-4"), r.err)
	}
	if w.read("fine.txt") != "fine\n" || strings.Contains(w.exec("grep", "-r", "Countersign withholds", ".").out, "withholds") {
		t.Error("the real tree is not what was accepted")
	}
	if out := w.git("fsck", "--no-dangling"); out != "" {
		t.Errorf("git fsck outside: %s", out)
	}
}

// TestSecretCommittedOutsideMeanwhile: reading what stands in for a secret that
// reached the history while the session ran is on record too.
func TestSecretCommittedOutsideMeanwhile(t *testing.T) {
	w := newWorld(t, 0)
	w.write("agent.sh", "bash ./inner.sh\n")
	w.write("inner.sh", `echo ready; for i in $(seq 600); do git cat-file -e HEAD:late.env 2>/dev/null && break; sleep 0.05; done
for i in $(seq 100); do git cat-file -p HEAD:late.env && break; sleep 0.05; done; git cat-file -p HEAD:.env; git log --stat --format=%s -1 -- other.txt`)
	w.write(".env", "SECRET-one\n")
	w.write("other.txt", "x\n")
	w.repo()
	j := w.start("run", "--policy", w.policy(allowBash), "--approver", "none", "--", "bash", "agent.sh")
	j.prints("ready")
	w.write("late.env", "SECRET-late\n")
	w.git("add", "-f", "late.env")
	w.git("commit", "-qm", "late")
	r := j.wait()
	if strings.Contains(r.out, "SECRET") || strings.Count(r.out, "Countersign withholds") != 2 {
		t.Errorf("%+v", r)
	}
	seen := map[string]int{}
	for _, r := range w.log("--type", "file.denied") {
		if r.Action.Op == "withheld" {
			seen[filepath.Base(r.Action.Path)+" "+r.Policy.Rule]++
		}
	}
	if seen["late.env env-suffix"] == 0 || seen[".env env-files"] == 0 {
		t.Errorf("on record: %v", seen)
	}
}
