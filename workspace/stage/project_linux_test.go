package stage

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/workspace/gitview"
	"github.com/countersign/countersign/workspace/layer"
)

func TestNestedSubmoduleAndWorktree(t *testing.T) {
	lib := filepath.Join(t.TempDir(), "lib")
	must(t, os.Mkdir(lib, 0o755))
	sh(t, lib, `git init -q -b main; echo l > l.txt; echo SECRET=lib > .env; git add -A; git commit -qm lib`)
	main := project(t)
	sh(t, main, `git submodule --quiet add `+lib+` sub; git commit -qm sub; git init -q nested; cd nested; echo n > n.txt; echo SECRET=nested > .env; echo '*.tmp' > .gitignore; git add -A; git commit -qm n; echo x > x.tmp`)
	tree := filepath.Join(t.TempDir(), "wt")
	sh(t, main, `git worktree add -q `+tree+` -b wt; cd `+tree+`; git submodule --quiet update --init`)
	for _, backend := range []string{Snapshot, Overlay} {
		for name, root := range map[string]string{"main": main, "worktree": tree} {
			t.Run(backend+" "+name, func(t *testing.T) {
				e := newEnv(t, root)
				s := e.start(t, func(o *Options) { o.Backend = backend })
				want := sh(t, root, "git status --porcelain")
				if got := mustInside(t, s, "git status --porcelain"); got != want {
					t.Errorf("status %q, outside %q", got, want)
				}
				out, _ := inside(t, s, `git -C sub log -p --all; git -C sub show HEAD:.env; git -C nested show HEAD:.env; git show HEAD:.env; git show HEAD~1:.env`)
				if strings.Contains(out, "SECRET=") {
					t.Errorf("a secret: %s", out)
				}
				mustInside(t, s, `cd sub; echo more >> l.txt; git commit -qam 'in sub'; git log -1 --format=%s | grep -q 'in sub'; cd ..; git submodule status | grep -q '^+'; git add sub; git commit -qm bump`)
				for _, try := range []string{
					"touch .git/hooks/pre-commit", "touch sub/../.git/modules/sub/hooks/x", "echo x > sub/.git", "rm -rf .git/hooks", "mv .git git2", "rm sub/.git", "touch .git/countersign/objects/x",
					"git config core.fsmonitor evil", "echo x > .git/config", "rm .git/config", "mv .git/config c", "echo x > c; mv c .git/config", "echo ../c > .git/commondir", "echo x > .git/config.worktree",
					"git -C sub config core.fsmonitor evil", "git -C nested config core.fsmonitor evil", "mv .git/modules m", "mv .git/modules/sub .git/modules/s2",
				} {
					if name == "worktree" && strings.Contains(try, "modules") {
						continue
					}
					if out, err := inside(t, s, try); err == nil {
						t.Errorf("%s: allowed: %s", try, out)
					}
				}
				if name == "main" {
					mustInside(t, s, `cd nested; echo y > y.tmp; echo m >> n.txt; git commit -qam 'in nested'`)
					if got := changes(t, s); !strings.Contains(got, "M nested/n.txt\n") || !strings.Contains(got, "IA nested/y.tmp\n") {
						t.Errorf("changes:\n%s", got)
					}
				}
				commits, err := s.Git().NewCommits(context.Background())
				must(t, err)
				if len(commits) < 2 {
					t.Errorf("commits: %+v", commits)
				}
				if got := sh(t, root, "git status --porcelain"); got != want {
					t.Errorf("the real tree: %q", got)
				}
			})
		}
	}
}

func TestRepositoryMadeInsideIsAChange(t *testing.T) {
	e := newEnv(t, project(t))
	s := e.start(t, nil)
	mustInside(t, s, `git init -q made; cd made; echo x > x; git add x; git commit -qm x; git config core.fsmonitor evil`)
	if got := changes(t, s); !strings.Contains(got, "A made/.git/config\n") {
		t.Errorf("changes:\n%s", got)
	}
}

func TestNotARepository(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "a"), "1")
	write(t, filepath.Join(root, ".env"), "SECRET")
	s := newEnv(t, root).start(t, nil)
	if got := mustInside(t, s, "cat .env; echo 2 > a; mkdir -p b/c; echo 3 > b/c/d"); got != "" {
		t.Errorf("got %q", got)
	}
	if got := changes(t, s); got != "M a\nA b/c/d\n" {
		t.Errorf("changes:\n%s", got)
	}
	if len(s.ReadOnly()) != 0 || s.opts.Project.Git {
		t.Error("it is taken for a repository")
	}
}

func TestIgnoredDirectoriesLiveOn(t *testing.T) {
	e := newEnv(t, project(t))
	sh(t, e.root, `mkdir -p node_modules/p; cd node_modules; for i in $(seq 10); do mkdir p/d$i; for j in $(seq 8); do echo $i > p/d$i/f$j; done; done; echo SECRET > p/.env; ln p/.env p/other; ln p/d1/f1 p/hard`)
	s := e.start(t, nil)
	if len(s.Mounts()) != 7 { // the tree, git, its objects, its hooks, its three texts
		t.Errorf("mounts: %+v", s.Mounts())
	}
	if len(s.Tripwires()) != 3 {
		t.Errorf("tripwires: %+v", s.Tripwires())
	}
	sh(t, s.layer, "! grep -r SECRET tree")
	mustInside(t, s, `test $(stat -c %h node_modules/p/hard) = 2; rm -rf node_modules; mkdir node_modules; echo new > node_modules/x; mkdir -p node_modules/q/.vscode; echo S > node_modules/q/.env; mv node_modules nm; mv nm node_modules`)
	list, err := s.Changes(context.Background())
	must(t, err)
	if got := show(list); got != "IA node_modules/q/.env\n" || s.Hidden() != 1 {
		t.Errorf("changes, %d hidden:\n%s", s.Hidden(), got)
	}
	mustInside(t, s, "rm node_modules/q/.env")
	must(t, s.Close())
	s = e.start(t, nil)
	mustInside(t, s, "test $(cat node_modules/x) = new")
	write(t, filepath.Join(s.tree.Path, "src/a.go"), "undecided")
	must(t, s.Close())
	s = e.start(t, func(o *Options) { o.Fresh = true })
	if got := changes(t, s); got != "" {
		t.Errorf("fresh: %s", got)
	}
	mustInside(t, s, "test $(cat node_modules/x) = new")
	t2 := e.start(t, func(o *Options) { o.Fresh = true })
	mustInside(t, t2, "test $(cat node_modules/x) = new")
	mustInside(t, s, "echo holder > node_modules/x")
	mustInside(t, t2, "echo copy > node_modules/x")
	must(t, s.Close())
	must(t, t2.Close())
	s = e.start(t, nil)
	mustInside(t, s, "test $(cat node_modules/x) = holder")
	if got := changes(t, s); got != "M src/a.go\n" {
		t.Errorf("the undecided layer: %s", got)
	}
}

// A file system gives the number of a file that is gone to a new one: what the agent
// made is not taken for the placeholder of a denied path that it removed.
func TestANewFileWithAPlaceholdersNumber(t *testing.T) {
	for _, c := range []struct{ name, denied, made, want string }{
		{"a denied name in an ignored directory", "node_modules/p/.env", "node_modules/q/.env", "IA node_modules/q/.env\n"},
		{"an empty file", "src/p/.env", "src/empty.go", "A src/empty.go\n"},
		{"a directory", "src/p/.env", "src/new/x", "A src/new/x\n"},
		{"a directory in the place of a denied one", "src/p/.aws", "src/p/.aws/x", "A src/p/.aws/x\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEnv(t, project(t))
			sh(t, e.root, "mkdir -p node_modules/p src/p/.aws; for i in $(seq 60); do echo $i > node_modules/p/f$i; done; echo SECRET | tee node_modules/p/.env src/p/.aws/key > src/p/.env")
			s := e.start(t, nil)
			mustInside(t, s, `rm -rf node_modules src/p; mkdir -p node_modules "$(dirname `+c.made+`)"; touch `+c.made)
			at := c.made
			if path.Base(at) == "x" {
				at = path.Dir(at)
			}
			st, err := s.tree.Lstat(at)
			must(t, err)
			s.base.Get(c.denied).Snap.Ino = st.Ino
			if got := changes(t, s); got != c.want {
				t.Errorf("changes: %s", got)
			}
		})
	}
}

func TestBulkDirectoryFollowsAnInstallOutside(t *testing.T) {
	e := newEnv(t, project(t))
	sh(t, e.root, `mkdir -p node_modules/p; cd node_modules; for i in $(seq 60); do echo $i > p/f$i; done`)
	s := e.start(t, nil)
	must(t, s.Close())
	sh(t, e.root, "echo v2 > node_modules/p/f1; touch node_modules/.package-lock.json")
	s = e.start(t, nil)
	mustInside(t, s, "test $(cat node_modules/p/f1) = v2")
}

func TestHugeIgnoredDirectoryIsAttached(t *testing.T) {
	e := newEnv(t, project(t))
	sh(t, e.root, `mkdir -p node_modules/p; cd node_modules; for i in $(seq 60); do echo $i > p/f$i; done; echo SECRET > p/.env`)
	big := func(o *Options) { o.BulkFiles = 55 }
	s := e.start(t, big)
	if len(s.Mounts()) != 8 || len(s.Tripwires()) != 2 {
		t.Errorf("mounts: %+v", s.Mounts())
	}
	mustInside(t, s, `rm -rf node_modules/* ; mkdir node_modules/q; echo 1 > node_modules/q/x; test $(ls node_modules | wc -l) = 1; echo S > node_modules/q/.env`)
	if got := changes(t, s); got != "IA node_modules/q/.env\n" {
		t.Errorf("changes: %s %+v %s", got, s.base.Get("node_modules"), mustInside(t, s, "ls -laR node_modules"))
	}
	s2 := e.start(t, big) // while the first one runs
	mustInside(t, s2, `test $(cat node_modules/q/x) = 1; echo 2 > node_modules/q/x`)
	mustInside(t, s, `test $(cat node_modules/q/x) = 1`)
	sh(t, e.root, "test $(ls node_modules/p | wc -l) = 60")
}

func TestOddFiles(t *testing.T) {
	root := project(t)
	deep := filepath.Join(root, strings.Repeat("directory/", 30))
	must(t, os.MkdirAll(deep, 0o755))
	write(t, filepath.Join(deep, "f"), "deep")
	write(t, filepath.Join(root, "new\nline \xff"), "odd")
	sh(t, root, `mkfifo pipe; mkdir locked empty; echo r > locked/r; chmod 555 locked; truncate -s 5M hole; echo end >> hole; ln src/a.go src/same.go; chmod 444 lib/one.txt; touch -d '2001-02-03 04:05:06.123456789' src/b.go; ln -s /etc/passwd out; ln -s .env tosecret`)
	t.Cleanup(func() { sh(t, root, "chmod 755 locked") })
	s := newEnv(t, root).start(t, nil)
	if d := difference(look(t, root), look(t, s.tree.Path)); strings.ReplaceAll(d, "M .env", "") != "" {
		t.Errorf("the copy differs:\n%s", d)
	}
	if got := changes(t, s); got != "" {
		t.Errorf("changes:\n%s", got)
	}
	sh(t, s.tree.Path, `test -d empty; test "$(stat -c %a locked)" = 555; test $(stat -c %b hole) -lt 100; test src/a.go -ef src/same.go; test $(stat -c %a lib/one.txt) = 444; test "$(stat -c %y src/b.go | cut -c1-29)" = "2001-02-03 04:05:06.123456789"; test ! -e pipe; chmod 755 locked`)
	if n := s.Notes(); len(n) != 1 || n[0].Path != "pipe" {
		t.Errorf("notes: %+v", n)
	}
}

func TestDeniedByNameLinkAndDirectory(t *testing.T) {
	root := project(t)
	sh(t, root, `ln .env hard; mkdir -p conf .aws; echo SECRET=conf > conf/real; ln -s conf/real x.pem; echo SECRET > .aws/credentials; o=$(mktemp); echo SECRET > $o; ln -s $o out.pem`)
	s := newEnv(t, root).start(t, nil)
	sh(t, s.layer, "! grep -r SECRET tree saved tmp git")
	var got []string
	for _, w := range s.Tripwires() {
		got = append(got, fmt.Sprintf("%s<%s %t", w.Path, w.Alias, w.Dir))
	}
	if fmt.Sprint(got) != "[.aws< true .env< false conf/real<x.pem false hard<.env false out.pem< false x.pem< false]" {
		t.Errorf("tripwires: %q", got)
	}
	mustInside(t, s, `echo mine > new.pem; mv conf conf2`)
	if got := changes(t, s); got != "A new.pem\n" {
		t.Errorf("changes:\n%s", got)
	}
	if got := fmt.Sprint(s.Notes()); !strings.Contains(got, "{conf/real went to conf2/real inside; an apply leaves it where it is, for it is denied as another name of x.pem") {
		t.Errorf("notes: %s", got)
	}
	w := watch(t, s)
	write(t, filepath.Join(root, "new.pem"), "SECRET")
	eventually(t, "the host's file of that name", func() bool { return w.saw(Denied, "new.pem") })
	if got := mustInside(t, s, "cat new.pem"); got != "" {
		t.Errorf("still there: %q", got)
	}
}

func TestFromNamesALayer(t *testing.T) {
	e := newEnv(t, project(t))
	a := e.start(t, nil)
	write(t, filepath.Join(a.tree.Path, "a.txt"), "a")
	dir := a.opts.SessionDir
	p := a.opts.Project
	_, err := New(context.Background(), Options{Project: p, StateDir: e.state, SessionDir: filepath.Join(e.state, "sessions/x"), From: dir})
	if err == nil {
		t.Fatal("a live layer was taken")
	}
	must(t, a.Close())
	b := e.start(t, func(o *Options) { o.Fresh = true })
	write(t, filepath.Join(b.tree.Path, "b.txt"), "b")
	must(t, b.Close())
	if l := Layers(e.state, e.root); len(l) != 2 || l[0].Changes != 1 || l[0].Live {
		t.Errorf("layers: %+v", l)
	}
	c := e.start(t, func(o *Options) { o.From = dir })
	if got := changes(t, c); got != "A a.txt\n" {
		t.Errorf("changes: %s", got)
	}
	must(t, Discard(b.opts.SessionDir))
	if n, err := layer.DiskUse(c.layer); err != nil || n == 0 {
		t.Errorf("disk use %d %v", n, err)
	}
}

func TestStashKeepsALayer(t *testing.T) {
	e := newEnv(t, project(t))
	s := e.start(t, nil)
	mustInside(t, s, "echo x >> src/a.go; git stash -q")
	if got := changes(t, s); got != "" {
		t.Errorf("changes: %s", got)
	}
	must(t, s.Close())
	s = e.start(t, nil)
	mustInside(t, s, "git stash pop -q")
	if got := changes(t, s); got != "M src/a.go\n" {
		t.Errorf("changes: %s", got)
	}
}

// TestAsOrdinaryUser runs the other tests as a user without privileges.
func TestAsOrdinaryUser(t *testing.T) {
	if os.Getuid() != 0 || testing.Short() {
		t.Skip("not root")
	}
	dir, err := os.MkdirTemp("", "stage-user")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o777))
	must(t, os.Chown(dir, 65534, 65534))
	exe := filepath.Join(dir, "stage.test")
	b, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	must(t, os.WriteFile(exe, b, 0o755))
	cmd := exec.Command(exe, "-test.run", "SnapshotShows|OverlayShows|Nested|Huge|Unreadable|Odd", "-test.v")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "PASS: TestUnreadable") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestUnreadableFilesArePlaceholders(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	root := project(t)
	sh(t, root, "echo x > locked; chmod 0 locked; mkdir shut; echo y > shut/y; chmod 0 shut")
	t.Cleanup(func() { sh(t, root, "chmod 755 shut") })
	s := newEnv(t, root).start(t, nil)
	if got := changes(t, s); got != "" {
		t.Errorf("changes:\n%s", got)
	}
	if len(s.Notes()) == 0 {
		t.Error("no note")
	}
	must(t, s.Close())
}

// filling makes a small file system that is nearly full.
func TestDiskFullLeavesNothing(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounts a file system")
	}
	root := project(t)
	sh(t, root, "head -c 3000000 /dev/urandom > big")
	state := t.TempDir()
	if err := syscall.Mount("tmpfs", state, "tmpfs", 0, "size=2m"); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { syscall.Unmount(state, syscall.MNT_DETACH) })
	p, err := gitview.Find(root)
	must(t, err)
	_, err = New(context.Background(), Options{Project: p, StateDir: state, SessionDir: filepath.Join(state, "sessions/a"), Denied: denyEnv})
	if err == nil || !strings.Contains(err.Error(), "no space") {
		t.Fatalf("error: %v", err)
	}
	sh(t, state, "test -z \"$(ls sessions/a)\"")
}

// BenchmarkStart is the start on a kept snapshot of 3,000 files.
func BenchmarkStart(b *testing.B) {
	root := filepath.Join(b.TempDir(), "p")
	must(b, os.Mkdir(root, 0o755))
	sh(b, root, `git init -q; for i in $(seq 100); do mkdir -p d$i; for j in $(seq 30); do seq $((i*j%400)) > d$i/f$j; done; done; git add -A; git commit -qm x`)
	e := newEnv(b, root)
	first := time.Now()
	must(b, e.start(b, nil).Close())
	b.Logf("first start and end: %v", time.Since(first))
	var cpu time.Duration
	for b.Loop() {
		before := cpuTime(b)
		s := e.start(b, nil)
		cpu += cpuTime(b) - before
		b.StopTimer()
		must(b, s.Close())
		b.StartTimer()
	}
	b.ReportMetric(float64(cpu.Microseconds())/1000/float64(b.N), "cpu-ms/op")
}

// cpuTime is what this process and its children have used.
func cpuTime(t testing.TB) time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var r syscall.Rusage
		must(t, syscall.Getrusage(who, &r))
		sum += time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	return sum
}
