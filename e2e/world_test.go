package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	if runtime.GOOS != "linux" {
		fmt.Println("skipped: nothing is enforced on", runtime.GOOS)
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "__behind" {
		behind(os.Args[2:])
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "countersign-e2e-bin")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "countersign")
	cmd := exec.Command("go", "build", "-o", binary, "../cmd/countersign")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return 1
	}
	os.Chmod(dir, 0o755)
	return m.Run()
}

// world is one user's machine: a home, XDG directories, a project.
type world struct {
	t       *testing.T
	root    string // everything of it
	home    string
	project string
	uid     int
	env     []string
}

// ordinary is the uid of a user with no privilege and no files of its own.
const ordinary = 54321

// users are who the tests run as: an ordinary user always, root where we are it.
func users() []int {
	if os.Getuid() == 0 {
		return []int{0, ordinary}
	}
	return []int{os.Getuid()}
}

// newWorld makes a world outside /tmp (which the sandbox has one of its own of).
func newWorld(t *testing.T, uid int) *world {
	t.Helper()
	root, err := os.MkdirTemp("/var/tmp", "cs-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { exec.Command("chmod", "-R", "u+rwX", root).Run(); os.RemoveAll(root) })
	w := &world{t: t, root: root, home: filepath.Join(root, "home"), project: filepath.Join(root, "home", "project"), uid: uid}
	w.env = []string{
		"HOME=" + w.home, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "USER=tester", "TERM=xterm-256color",
		"XDG_STATE_HOME=" + filepath.Join(root, "state"), "XDG_CONFIG_HOME=" + filepath.Join(root, "config"),
		"XDG_CACHE_HOME=" + filepath.Join(root, "cache"), "XDG_RUNTIME_DIR=" + filepath.Join(root, "run"),
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com",
	}
	for _, d := range []string{"home/project", "state", "config/countersign", "cache", "run"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.own()
	if uid == ordinary {
		openFuse(t)
	}
	return w
}

// openFuse lets the ordinary user open /dev/fuse, as desktops and servers do.
func openFuse(t *testing.T) {
	st, err := os.Stat("/dev/fuse")
	if err != nil || st.Mode().Perm() == 0o666 || os.Getuid() != 0 {
		return
	}
	if err := os.Chmod("/dev/fuse", 0o666); err != nil {
		t.Logf("/dev/fuse stays closed: %v", err)
	}
}

// own hands everything below the root to the world's user.
func (w *world) own() {
	w.t.Helper()
	if os.Getuid() == 0 && w.uid != 0 {
		if out, err := exec.Command("chown", "-R", fmt.Sprintf("%d:%d", w.uid, w.uid), w.root).CombinedOutput(); err != nil {
			w.t.Fatalf("%v: %s", err, out)
		}
	}
}

// write puts a file below the project (or at an absolute path of the world).
func (w *world) write(name, content string) {
	w.t.Helper()
	if !filepath.IsAbs(name) {
		name = filepath.Join(w.project, name)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		w.t.Fatal(err)
	}
	if os.Getuid() == 0 && w.uid != 0 {
		for p := filepath.Dir(name); strings.HasPrefix(p, w.root); p = filepath.Dir(p) {
			os.Lchown(p, w.uid, w.uid)
		}
		os.Lchown(name, w.uid, w.uid)
	}
}

func (w *world) read(name string) string {
	w.t.Helper()
	if !filepath.IsAbs(name) {
		name = filepath.Join(w.project, name)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return "error: " + err.Error()
	}
	return string(b)
}

// command prepares a program to run as the world's user in the project.
func (w *world) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = w.project, w.env
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if os.Getuid() == 0 && w.uid != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(w.uid), Gid: uint32(w.uid), NoSetGroups: false}
	}
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// result is how a command ended.
type result struct {
	out, err string
	code     int
}

func (w *world) exec(name string, args ...string) result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := w.command(ctx, name, args...)
	var out, errb bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errb
	err := cmd.Run()
	r := result{out: out.String(), err: errb.String()}
	if cmd.ProcessState != nil {
		r.code = cmd.ProcessState.ExitCode()
	} else {
		w.t.Fatalf("%s: %v", name, err)
	}
	if ctx.Err() != nil {
		w.t.Errorf("%s %q did not end", name, args)
	}
	return r
}

// cs runs countersign.
func (w *world) cs(args ...string) result { w.t.Helper(); return w.exec(binary, args...) }

// must runs countersign and fails the test if it does not exit with 0.
func (w *world) must(args ...string) result {
	w.t.Helper()
	r := w.cs(args...)
	if r.code != 0 {
		w.t.Fatalf("countersign %q: exit %d\nstdout: %s\nstderr: %s", args, r.code, r.out, r.err)
	}
	return r
}

func (w *world) git(args ...string) string {
	w.t.Helper()
	r := w.exec("git", args...)
	if r.code != 0 {
		w.t.Fatalf("git %q: %s%s", args, r.out, r.err)
	}
	return r.out
}

// repo makes the project a git repository with one commit of what is there.
func (w *world) repo() {
	w.t.Helper()
	w.git("init", "-q", "-b", "main")
	w.git("add", "-A", "-f")
	w.git("commit", "-q", "-m", "start")
}

// rec is a record as a script sees it.
type rec struct {
	ID, Type, Session, Parent string
	Seq                       int
	Actor                     struct {
		ID   string
		Peer struct {
			PID  int
			Exe  string
			Argv []string
		}
	}
	Action struct {
		Kind, Digest, Summary, Cwd, Path, Op, Host string
		Argv, Env                                  []string
		Port                                       int
	}
	Policy   struct{ Bundle, Preset, Rule string }
	Decision struct{ Verdict, Basis, By, Shown, Reason string }
	Outcome  struct {
		Status, Error string
		Exit          *int
	}
	Model struct{ Provider, Requested, Served, Wire string }
	Usage *struct{ Input, Output int64 }
	Cost  struct {
		NanoUSD *int64 `json:"nano_usd"`
	}
	Detail map[string]any
}

// count is how many attempts the record stands for.
func (r rec) count() int {
	if n, ok := r.Detail["count"].(float64); ok {
		return int(n)
	}
	return 1
}

// log reads the ledger through the command line.
func (w *world) log(args ...string) []rec {
	w.t.Helper()
	r := w.must(append([]string{"log", "--json"}, args...)...)
	var out []rec
	for _, line := range strings.Split(strings.TrimSpace(r.out), "\n") {
		if line == "" {
			continue
		}
		var x rec
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			w.t.Fatalf("%v in %s", err, line)
		}
		out = append(out, x)
	}
	return out
}

// hunk is a line of `review --list --json`.
type hunk struct {
	Session, Hunk, Path, Op, State, Risk, Why, Digest string
	OldPath                                           string `json:"old_path"`
	OldStart                                          int    `json:"old_start"`
	OldLines                                          int    `json:"old_lines"`
	NewStart                                          int    `json:"new_start"`
	NewLines                                          int    `json:"new_lines"`
	Commit                                            *string
}

func (w *world) hunks() []hunk {
	w.t.Helper()
	var hs []hunk
	r := w.must("review", "--list", "--json")
	if err := json.Unmarshal([]byte(r.out), &hs); err != nil {
		w.t.Fatalf("%v in %s", err, r.out)
	}
	return hs
}

// policy writes a user policy and returns its path.
func (w *world) policy(text string) string {
	path := filepath.Join(w.root, "policy.yaml")
	w.write(path, text)
	return path
}

// allowBash lets a script be the one approved command: what it starts is covered.
const allowBash = `version: 1
commands:
  - {id: t-bash, verdict: allow, argv: ["bash", "..."], reason: the test's driver}
`

// script runs a shell script as an allowed command of an agent, headless.
func (w *world) script(policy, script string) result {
	w.t.Helper()
	w.write("agent.sh", "#!/bin/bash\nbash ./inner.sh\n")
	w.write("inner.sh", script)
	return w.cs("run", "--policy", w.policy(policy), "--approver", "none", "--", "bash", "agent.sh")
}

// eventually polls until ok says so.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never happened: %s", what)
}
