package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// secretText stands in every denied file of the attacked project. An attack has
// succeeded if it prints it (or its own word, see attack.word).
const secretText = "canary-7f3a9c"

// attack is one row: what an agent tries, what it prints when it gets through,
// and how often the attempt must stand on record. Each is a triple: run bare it
// succeeds (or the row proves nothing), run inside it is refused, and each
// refused call is one record.
type attack struct {
	name    string
	script  string   // bash, run in the project
	word    string   // printed on success; empty: the secret
	records []string // "type op-or-host[*n]" that must be added, exactly; nil: unchecked here
	prepare string   // bash, run bare in the project before the session
	noBare  string   // reason why it cannot succeed bare on this machine
	needs   string   // a program it needs
}

func denied(n int, ops ...string) []string {
	var out []string
	for range n {
		for _, op := range ops {
			out = append(out, "file.denied "+op)
		}
	}
	return out
}

// fileAttacks try to read or change what the deny-list closes.
var fileAttacks = []attack{
	{name: "cat", script: `cat .env`, records: denied(1, "read")},
	{name: "head", script: `head -c 100 .env`, records: denied(1, "read")},
	{name: "shell redirection", script: `echo "$(<.env)"`, records: denied(1, "read")},
	{name: "while read", script: `while read l; do echo "$l"; done < .env`, records: denied(1, "read")},
	{name: "variable in the name", script: `f=.en; cat ${f}v`, records: denied(1, "read")},
	{name: "glob", script: `cat .en?`, records: denied(1, "read")},
	{name: "dot segments", script: `cat ./sub/../.env`, records: denied(1, "read")},
	{name: "double slash", script: `cat .//.env`, records: denied(1, "read")},
	{name: "absolute path", script: `cat "$PWD/.env"`, records: denied(1, "read")},
	{name: "source", script: `. ./.env; echo "$SECRET"`, records: denied(1, "read")},
	{name: "three tries make three records", script: `cat .env; cat .env; cat .env`, records: denied(3, "read")},
	{name: "grep -r", script: `grep -rh canary . --include='.env'`, records: denied(1, "read")},
	{name: "grep of everything", script: `grep -rhs canary .env sub/server.pem`, records: denied(2, "read")},
	{name: "find -exec", script: `find . -maxdepth 1 -name .env -exec cat {} +`, records: denied(1, "read")},
	{name: "cp and read", script: `cp .env copy.txt; cat copy.txt`, records: denied(1, "read")},
	{name: "dd", script: `dd if=.env status=none`, records: denied(1, "read")},
	{name: "tar", script: `tar cf - .env 2>/dev/null | grep -a canary`, records: denied(1, "read")},
	{name: "base64", script: `base64 .env | base64 -d`, records: denied(1, "read")},
	{name: "xxd by od", script: `od -c .env >/dev/null && cat .env`, records: denied(1, "read")},
	{name: "sed", script: `sed -n p .env`, records: denied(1, "read")},
	{name: "awk", script: `awk 1 .env`, records: denied(1, "read")},
	{name: "diff", script: `diff .env /dev/null | grep canary`, records: denied(1, "read")},
	{name: "python open", script: `python3 -c 'print(open(".env").read())'`, needs: "python3", records: denied(1, "read")},
	{name: "python mmap", script: `python3 -c 'import mmap,os; f=os.open(".env",os.O_RDONLY); print(mmap.mmap(f,0,prot=1)[:])'`, needs: "python3", records: denied(1, "read")},
	{name: "python sendfile", script: `python3 -c 'import os; f=os.open(".env",0); o=os.open("o",65,420); os.sendfile(o,f,0,99)'; cat o`, needs: "python3", records: denied(1, "read")},
	{name: "node fs", script: `node -e 'console.log(require("fs").readFileSync(".env","utf8"))'`, needs: "node", records: denied(1, "read")},
	{name: "perl", script: `perl -e 'open F,".env" or exit 1; print <F>'`, needs: "perl", records: denied(1, "read")},
	{name: "openat2", script: `python3 - <<'X'
import ctypes,os
l=ctypes.CDLL(None,use_errno=True)
how=(ctypes.c_uint64*3)(0,0,0)
fd=l.syscall(437,-100,b".env",ctypes.byref(how),24)
print(os.read(fd,100) if fd>=0 else "no")
X`, needs: "python3", records: denied(1, "read")},
	{name: "legacy open call", script: `python3 -c 'import ctypes,os; l=ctypes.CDLL(None); fd=l.syscall(2,b".env",0); print(os.read(fd,99) if fd>=0 else "no")'`, needs: "python3", noBare: arch("amd64"), records: denied(1, "read")},
	{name: "O_PATH then reopen", script: `python3 -c 'import os; f=os.open(".env",os.O_PATH); print(open("/proc/self/fd/%d"%f).read())'`, needs: "python3", records: denied(1, "read")},
	{name: "descriptor of the directory", script: `python3 -c 'import os; d=os.open(".",0); print(os.read(os.open(".env",0,dir_fd=d),99))'`, needs: "python3", records: denied(1, "read")},
	{name: "through /proc/self/cwd", script: `cat /proc/self/cwd/.env`, records: denied(1, "read")},
	{name: "through /proc/self/root", script: `cat /proc/self/root"$PWD"/.env`, records: denied(1, "read")},
	{name: "through /dev/fd", script: `exec 9< .env && cat /dev/fd/9`, records: denied(1, "read")},
	{name: "symlink made inside", script: `ln -s .env innocent; cat innocent`, records: denied(1, "read")},
	{name: "symlink of a symlink", script: `ln -s .env a1; ln -s a1 a2; cat a2`, records: denied(1, "read")},
	{name: "symlink that stood before", script: `cat link-to-env`, records: denied(1, "read")},
	{name: "hard link that stood before", script: `cat hard.txt`, records: denied(1, "read")},
	{name: "hard link made inside", script: `ln .env h2 && cat h2`, records: denied(1, "link")},
	{name: "rename", script: `mv .env moved && cat moved`, records: denied(1, "rename")},
	{name: "rename of its directory", prepare: `mkdir -p dir; echo ` + secretText + ` > dir/server.key`, script: `mv dir other && cat other/server.key`, records: denied(1, "read")},
	{name: "other case", prepare: `echo ` + secretText + ` > .ENV`, script: `cat .ENV`, records: denied(1, "read")},
	{name: "mixed case in a directory", prepare: `mkdir -p d; echo ` + secretText + ` > d/.Env`, script: `cat d/.Env`, records: denied(1, "read")},
	{name: "compatibility form of Unicode", prepare: `printf ` + secretText + ` > $'.\uff45nv'`, script: `cat $'.\uff45nv'`, records: denied(1, "read")},
	{name: "zero-width character in the name", prepare: `printf ` + secretText + ` > $'.e\u200bnv'`, script: `cat $'.e\u200bnv'`, records: denied(1, "read")},
	{name: "private key", script: `cat sub/server.pem`, records: denied(1, "read")},
	{name: "ssh key in the project", prepare: `mkdir -p deploy; echo ` + secretText + ` > deploy/id_ed25519`, script: `cat deploy/id_ed25519`, records: denied(1, "read")},
	{name: "credentials file", prepare: `mkdir -p .aws; echo ` + secretText + ` > .aws/credentials`, script: `cat .aws/credentials`},
	{name: "nested .env", prepare: `mkdir -p a/b/c; echo ` + secretText + ` > a/b/c/.env.production`, script: `cat a/b/c/.env.production`, records: denied(1, "read")},
	{name: "home: ssh key", prepare: `mkdir -p ~/.ssh; echo ` + secretText + ` > ~/.ssh/id_rsa`, script: `cat ~/.ssh/id_rsa`},
	{name: "home: aws", prepare: `mkdir -p ~/.aws; echo ` + secretText + ` > ~/.aws/credentials`, script: `cat ~/.aws/credentials`},
	{name: "home: git credentials", prepare: `echo ` + secretText + ` > ~/.git-credentials`, script: `cat ~/.git-credentials`},
	{name: "home: netrc", prepare: `echo ` + secretText + ` > ~/.netrc`, script: `cat ~/.netrc`},
	{name: "home: history", prepare: `echo ` + secretText + ` > ~/.bash_history`, script: `cat ~/.bash_history`},
	{name: "home: another project", prepare: `mkdir -p ~/other; echo ` + secretText + ` > ~/other/notes`, script: `cat ~/other/notes`, records: []string{}},
	{name: "truncate", script: `: > .env && echo got-through`, word: "got-through", records: denied(1, "truncate")},
	{name: "append", script: `echo x >> .env && echo got-through`, word: "got-through", records: denied(1, "write")},
	{name: "chmod", script: `chmod 777 .env && echo got-through`, word: "got-through", records: denied(1, "chmod")},
	{name: "touch", script: `touch -d 2001-01-01 .env && echo got-through`, word: "got-through"},
	{name: "git show HEAD", script: `git show HEAD:.env`, records: denied(1, "withheld")},
	{name: "git cat-file of its blob", script: `git cat-file -p $(git ls-tree HEAD .env | awk '{print $3}')`, records: denied(1, "withheld")},
	{name: "git show of the index", script: `git show :.env`, records: denied(1, "withheld")},
	{name: "git log -p", script: `git log -p --all -- .env | grep canary`, records: denied(1, "withheld")},
	{name: "git history before it was removed", script: `git show HEAD~1:old.env 2>/dev/null; git log -p --all | grep old-canary`, word: "old-canary", records: denied(4, "withheld")},
	{name: "git cat-file --batch", script: `echo HEAD:sub/server.pem | git cat-file --batch`, records: denied(1, "withheld")},
	{name: "git diff of two commits", script: `git diff $(git hash-object -t tree /dev/null) HEAD -- .env`, records: denied(1, "withheld")},
	{name: "git blame", script: `git blame -s HEAD -- .env`, records: denied(1, "withheld")},
	{name: "its object file", script: `b=$(git rev-parse HEAD:.env); python3 -c 'import sys,zlib,glob
for f in glob.glob(".git/**/%s/%s" % (sys.argv[1][:2], sys.argv[1][2:]), recursive=True): print(zlib.decompress(open(f,"rb").read()))' $b`, needs: "python3", records: denied(1, "withheld")},
	{name: "git stash", script: `git stash show -p stash@{0} | grep stash-canary`, word: "stash-canary", records: []string{}},
	{name: "git archive", script: `git archive HEAD .env | grep -a canary`, records: denied(1, "withheld")},
	{name: "git worktree", script: `git worktree add -q wt HEAD && cat wt/.env`, records: []string{}},
	{name: "git checkout of the blob", script: `rm -rf co; mkdir co; git --work-tree=co checkout HEAD -- .env && cat co/.env`, records: []string{}},
	{name: "every object by hand", script: `git cat-file --batch-all-objects --batch 2>/dev/null | grep -a canary`, records: denied(3, "withheld")},
	{name: "git grep in history", script: `git grep -h canary $(git rev-list --all) -- .env | sed s/.*://`, records: denied(1, "withheld")},
	{name: "git of the real directory by environment", script: `GIT_ALTERNATE_OBJECT_DIRECTORIES=$PWD/.git/objects git show HEAD:.env`, records: denied(1, "withheld")},
	{name: "strings of the object files", script: `for f in $(find .git/objects -type f); do python3 -c 'import sys,zlib
try: print(zlib.decompress(open(sys.argv[1],"rb").read()))
except Exception: pass' $f; done | grep canary`, needs: "python3", records: []string{}},
	{name: "io_uring", script: `python3 -c '
import ctypes
l=ctypes.CDLL(None,use_errno=True)
p=(ctypes.c_uint8*120)()
fd=l.syscall(425,8,ctypes.byref(p))
print("got-through" if fd>=0 else "errno %d"%ctypes.get_errno())'`, word: "got-through", needs: "python3", records: []string{"sandbox.denied io_uring_setup"}},
	{name: "environment of the parent", script: `tr '\0' '\n' < /proc/1/environ | grep canary; env | grep canary`, prepare: ``, word: "never-bare", noBare: "the bare run has no such variable"},
}

// arch says why a row has no control on another architecture.
func arch(want string) string {
	if want == goarch {
		return ""
	}
	return "another architecture"
}

// prepareAttacked makes the attacked project: secrets tracked, ignored, linked,
// in history and in a stash.
func (w *world) prepareAttacked(rows []attack) {
	w.t.Helper()
	w.write(".env", "SECRET="+secretText+"\n")
	w.write("sub/server.pem", secretText+"\n")
	w.write("readme.md", "hello\n")
	w.write("old.env", "x=old-canary\n")
	w.exec("ln", "-s", ".env", "link-to-env")
	w.repo()
	w.git("rm", "-q", "old.env")
	w.git("commit", "-q", "-m", "remove it")
	w.write(".env", "SECRET=stash-canary "+secretText+"\n")
	w.git("stash", "-q")
	w.exec("ln", ".env", "hard.txt")
	for _, r := range rows {
		if r.prepare != "" {
			if res := w.exec("bash", "-c", r.prepare); res.code != 0 {
				w.t.Fatalf("prepare %s: %s", r.name, res.err)
			}
		}
	}
}

func TestFileAttacks(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) { w.runAttacks(t, fileAttacks) })
}

// runAttacks runs every row bare, in a copy, and then all of them in one
// session, and compares what came through and what is on record.
func (w *world) runAttacks(t *testing.T, rows []attack) {
	w.prepareAttacked(rows)
	bare := filepath.Join(w.root, "bare")
	if r := w.exec("cp", "-a", w.home, bare); r.code != 0 {
		t.Fatal(r.err)
	}
	inside := w.driver(rows)
	for i, row := range rows {
		t.Run(strings.ReplaceAll(row.name, " ", "-"), func(t *testing.T) {
			if row.needs != "" {
				if _, err := lookPath(row.needs); err != nil {
					t.Skipf("not protected here: %s is not installed", row.needs)
				}
			}
			word := row.word
			if word == "" {
				word = secretText
			}
			if row.noBare == "" {
				fresh := filepath.Join(w.root, fmt.Sprintf("bare%d", i))
				w.exec("cp", "-a", bare, fresh)
				defer os.RemoveAll(fresh)
				b := *w
				b.home, b.project = fresh, filepath.Join(fresh, "project")
				b.env = append(append([]string(nil), w.env...), "HOME="+fresh)
				if r := b.exec("bash", "-c", row.script); !strings.Contains(r.out, word) {
					t.Errorf("the row proves nothing: bare it printed %q (%s)", r.out, r.err)
				}
			}
			got := inside[i]
			if got.missing {
				t.Fatal("the row did not run inside")
			}
			if strings.Contains(got.out, word) {
				t.Errorf("got through: %q", got.out)
			}
			if row.records != nil && fmt.Sprint(got.records) != fmt.Sprint(row.records) && !(len(got.records) == 0 && len(row.records) == 0) {
				t.Errorf("on record %q, want %q\noutput %s", got.records, row.records, got.out)
			}
		})
	}
}

// attempt is what one row did inside.
type attempt struct {
	out     string
	records []string
	missing bool
}

// driver runs every row under one approved command, each between two marker
// commands, so that its records can be told from the others'.
func (w *world) driver(rows []attack) []attempt {
	w.t.Helper()
	var b strings.Builder
	b.WriteString("set +e\n")
	for i, r := range rows {
		w.write(fmt.Sprintf("rows/%03d.sh", i), r.script+"\n")
		fmt.Fprintf(&b, "/bin/true row-begin %d; echo '<<<%d'; timeout 20 bash rows/%03d.sh 2>&1; echo; echo '>>>%d'; /bin/true row-end %d\n", i, i, i, i, i)
	}
	res := w.script(allowBash, b.String())
	out := make([]attempt, len(rows))
	for i := range rows {
		_, after, ok := strings.Cut(res.out, fmt.Sprintf("<<<%d\n", i))
		text, _, closed := strings.Cut(after, fmt.Sprintf(">>>%d\n", i))
		out[i] = attempt{out: text, missing: !ok || !closed}
	}
	if res.code != 0 {
		w.t.Errorf("the session: exit %d, %s\n%s", res.code, res.err, res.out)
	}
	w.assign(out)
	return out
}

// assign gives each refusal to the row whose process was refused: by the row's
// script on its command line, or by the process's own covered exec. Order is no
// help: a refusal is recorded beside the execs that follow it.
func (w *world) assign(out []attempt) {
	row, byPID := -1, map[int]int{}
	records := w.log()
	for _, r := range records {
		switch {
		case r.Type == "exec.decided" && len(r.Action.Argv) == 3 && r.Action.Argv[1] == "row-begin":
			fmt.Sscan(r.Action.Argv[2], &row)
		case r.Type == "exec.decided" && row >= 0:
			byPID[r.Actor.Peer.PID] = row
		}
	}
	for _, r := range records {
		if !strings.HasSuffix(r.Type, ".denied") {
			continue
		}
		at, known := byPID[r.Actor.Peer.PID]
		for _, arg := range r.Actor.Peer.Argv {
			if strings.HasPrefix(arg, "rows/") {
				n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(arg, "rows/"), ".sh"))
				at, known = n, err == nil
			}
		}
		if !known || at >= len(out) {
			continue
		}
		what := r.Action.Op
		if r.Type == "net.denied" {
			what = r.Action.Host
		}
		for range r.count() {
			out[at].records = append(out[at].records, r.Type+" "+what)
		}
	}
}
