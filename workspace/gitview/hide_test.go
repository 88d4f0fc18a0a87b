package gitview

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign/countersign/workspace/gitstore"
)

// TestGitGoesThroughHistoryWithSecrets: what git says along a history of secrets is
// what it says bare, but for the content.
func TestGitGoesThroughHistoryWithSecrets(t *testing.T) {
	root := repository(t)
	sh(t, root, "git reset -q --hard; git branch start HEAD~2")
	v := newView(t, root, Options{})
	bare := filepath.Join(t.TempDir(), "bare")
	sh(t, root, "cp -a . "+bare)
	for _, cmd := range []string{
		"git log -p --format=%s --name-status", "git log --stat --format=%s", "git diff --stat HEAD~3 HEAD~1", "git show --stat --format=%s HEAD~2", "git log --format=%s --follow b.txt",
		"git checkout -q HEAD~3; git status --porcelain; git checkout -q main; git status --porcelain", "git worktree add -q ../wt HEAD~1; git -C ../wt status --porcelain; git worktree remove ../wt; git worktree list | wc -l",
		"git switch -q side; git rebase -q main; git log --format=%s; git switch -q main", "git merge -q -m m side; git status --porcelain; git log --format=%s -1; git reset -q --hard HEAD~1",
		"echo x >> b.txt; git stash -q; git stash pop -q; git commit -qam more; git revert --no-edit HEAD; git blame -s b.txt; git bisect start HEAD start; git bisect reset; git status --porcelain",
	} {
		cmd := "export GIT_COMMITTER_DATE=2026-01-01T00:00:00Z GIT_AUTHOR_DATE=2026-01-01T00:00:00Z\n{ " + cmd + "; } 2>&1"
		if in, out := sh(t, v.dir, cmd), sh(t, bare, cmd); in != out {
			t.Errorf("%s\ninside:\n%s\nbare:\n%s", cmd, in, out)
		}
	}
	if out := sh(t, v.dir, "git log -p; git archive HEAD~1 | tar xO; git cat-file -p HEAD:.env"); strings.Contains(out, "SECRET") || !strings.Contains(out, gitstore.StandIn(strings.TrimSpace(sh(t, root, "git rev-parse HEAD:.env")))) {
		t.Errorf("the history holds secrets, or no stand-in:\n%s", out)
	}
	if out := sh(t, v.dir, "git remote"); out != "" {
		t.Errorf("there is a remote %q that the real repository has not", out)
	}
}

// TestDeniedPathsAreNotCheckedOut under whatever name.
func TestDeniedPathsAreNotCheckedOut(t *testing.T) {
	root := filepath.Join(t.TempDir(), "r")
	must(t, os.Mkdir(root, 0o755))
	sh(t, root, `git init -q -b main .; for d in 'a b ' '[x]' '*' 'q?' 'b\s' '!n' '#h' ' ' 'q"q' ä; do mkdir -p "in/$d"; echo SECRET > "in/$d/.env"; echo plain > "in/$d/plain"; done; echo k > k; git add -A; git commit -qm one
		git rm -rq in; git commit -q --allow-empty -m two`)
	v := newView(t, root, Options{})
	if got := sh(t, v.dir, "git checkout -q HEAD~1; git status --porcelain; find in -name .env; find in -name plain | wc -l; find in -name .env | xargs -r ls; git ls-files -z | grep -z env | xargs -0 git check-attr merge | grep -cv union || true"); got != "10\n0\n" {
		t.Errorf("checked out: %s", got)
	}
	sh(t, v.dir, "echo '!/docs/' >> .git/info/sparse-checkout; sed -i /#h/d .git/info/sparse-checkout; git config index.sparse true; git checkout -q main")
	w := newView(t, root, v.o)
	if got := sh(t, w.dir, "git config index.sparse; grep -c docs .git/info/sparse-checkout; git checkout -q HEAD~1; find in -name .env"); got != "false\n1\n" {
		t.Errorf("the next session: %s", got)
	}
}

func TestTheEmptyFileIsNoSecret(t *testing.T) {
	root := filepath.Join(t.TempDir(), "r")
	must(t, os.Mkdir(root, 0o755))
	sh(t, root, `git init -q -b main .; touch __init__.py; mkdir d; touch d/.env; git add -A; git commit -qm one; git rm -rq d; git commit -qm two`)
	v := newView(t, root, Options{})
	if got := sh(t, v.dir, "rm __init__.py; git checkout -q __init__.py; cat __init__.py; git show HEAD~1:d/.env; git status --porcelain"); got != "" {
		t.Errorf("an empty file is withheld: %q", got)
	}
}

// TestLongObjectNames: a repository of SHA-256 names, with secrets that come later.
func TestLongObjectNames(t *testing.T) {
	root := filepath.Join(t.TempDir(), "r")
	must(t, os.Mkdir(root, 0o755))
	sh(t, root, `git init -q -b main --object-format=sha256 .; for i in $(seq 300); do mkdir -p d/$i; echo SECRET $i > d/$i/.env; done; echo k > k; git add -A; git commit -qm one; git rm -rq d; git commit -qm two`)
	v := newView(t, root, Options{})
	sh(t, root, `mkdir e; echo SECRET late > e/.env; git add e; git commit -qm three; git rm -rq e; git commit -qm four`)
	_, _, err := v.Sync(context.Background())
	must(t, err)
	out := sh(t, v.dir, `git log -p | grep -c '^[+-]Countersign withholds the content of blob [0-9a-f]\{64\}:'; git repack -adq; git gc -q; git log -p | grep -c SECRET || true; git status --porcelain; git checkout -q HEAD~3; git status --porcelain`)
	if out != "602\n0\n" {
		t.Errorf("inside: %s", out)
	}
}

// TestPartialClone: what was never fetched stays missing, and git inside bears it.
func TestPartialClone(t *testing.T) {
	root := repository(t)
	sh(t, root, "git reset -q --hard; git config uploadpack.allowFilter true; git clone -q --filter=blob:none file://$PWD ../partial")
	v := newView(t, filepath.Join(filepath.Dir(root), "partial"), Options{})
	if out := sh(t, v.dir, "git status --porcelain; echo x >> a.txt; git commit -qam in; git gc -q; git log --format=%s -1; git diff --stat HEAD~1"); !strings.HasPrefix(out, "in\n") {
		t.Errorf("inside: %s", out)
	}
}

// TestStandInIsNotTakenOver: neither the stand-in itself nor the name it bears
// reaches the real repository.
func TestStandInIsNotTakenOver(t *testing.T) {
	for _, c := range []struct{ name, inside, says string }{
		{"merged from both sides", `git merge -q -m m side`, ".env"},
		{"added again", `git show HEAD:.env > note.txt; git add note.txt; git commit -qm in`, "note.txt"},
		{"with another line ending", `git show HEAD:.env | sed 's/$/\r/' > note.txt; git add note.txt; git commit -qm in`, "note.txt"},
		{"by the name of the secret", `git update-index --add --cacheinfo 100644,$(git rev-parse HEAD:.env),note.txt; git commit -qm in`, "note.txt"},
		{"packed anew", `git repack -adq; git update-index --add --cacheinfo 100644,$(git rev-parse HEAD:.env),note.txt; git commit -qm in`, "note.txt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "r")
			must(t, os.Mkdir(root, 0o755))
			sh(t, root, `git init -q -b main .; echo a > a.txt; echo SECRET=one > .env; git add -A; git commit -qm one
				git switch -qc side; echo SECRET=side > .env; git commit -qam side; git switch -q main; echo SECRET=two > .env; git commit -qam two`)
			v := newView(t, root, Options{})
			sh(t, v.dir, c.inside)
			commits, err := v.NewCommits(context.Background())
			must(t, err)
			if len(commits) != 1 || !strings.Contains(commits[0].Refused, c.says) {
				t.Fatalf("not refused: %+v", commits)
			}
			if err := take(v, commits[0].ID, func(string, string) bool { return true }); err == nil {
				t.Error("taken over")
			}
			if out := sh(t, root, "git log -1 --format=%s; git fsck 2>&1; git status --porcelain"); out != "two\n" {
				t.Errorf("the real repository: %s", out)
			}
		})
	}
}

// BenchmarkThousandsOfSecrets: the time of a start does not hang on how many blobs are
// withheld.
func BenchmarkThousandsOfSecrets(b *testing.B) {
	root := filepath.Join(b.TempDir(), "r")
	must(b, os.Mkdir(root, 0o755))
	sh(b, root, `git init -q -b main .; for i in $(seq 2000); do mkdir -p s/$i; echo $i > s/$i/.env; done; git add -A; git commit -qm one; git rm -rq s; git commit -q --allow-empty -m two`)
	p, err := Find(root)
	must(b, err)
	for _, tt := range []struct {
		name   string
		denied func(string) (string, bool)
	}{{"none", func(string) (string, bool) { return "", false }}, {"all", denyEnv}} {
		for _, warm := range []string{"cold", "warm"} {
			b.Run(tt.name+"/"+warm, func(b *testing.B) {
				store := b.TempDir()
				for b.Loop() {
					if warm == "cold" {
						store = b.TempDir()
					}
					s, err := p.SessionGit(context.Background(), Options{Dir: b.TempDir(), Store: store, Hooks: b.TempDir(), Denied: tt.denied})
					must(b, err)
					s.Close()
				}
			})
		}
	}
}
