package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/sandbox/tripwire"
)

// TestAsUser runs this package's tests again as an ordinary user, without and,
// where root can open it, with /dev/fuse.
func TestAsUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("already an ordinary user")
	}
	base, err := os.MkdirTemp("/tmp", "countersign-user") // t.TempDir is root's own
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(base)
	const uid = 4321
	exe := base + "/sandbox.test"
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(exe, b, 0o755), os.Chmod(base, 0o755), os.Mkdir(base+"/tmp", 0o700), os.Chown(base+"/tmp", uid, uid)); err != nil {
		t.Fatal(err)
	}
	for _, fuse := range []bool{false, true} {
		t.Run(fmt.Sprintf("fuse=%v", fuse), func(t *testing.T) {
			if st, err := os.Stat("/dev/fuse"); fuse && err == nil { // else as this machine has it
				if err := os.Chmod("/dev/fuse", 0o666); err != nil {
					t.Fatal(err)
				}
				defer func() { _ = os.Chmod("/dev/fuse", st.Mode().Perm()) }()
			}
			cmd := exec.Command(exe, "-test.v", "-test.timeout=120s")
			if fuse { // what differs
				cmd.Args = append(cmd.Args, "-test.run=Tripwires|Probe|Death|Mounts")
			}
			cmd.Dir = base + "/tmp"
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + base + "/tmp", "HOME=" + base + "/tmp", "LANG=C.UTF-8"}
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "--- PASS: TestTripwires") {
				t.Fatalf("as an ordinary user: %v\n%s", err, out)
			}
		})
	}
}

func TestExit(t *testing.T) {
	for script, want := range map[string]int{"exit 7": 7, "kill -9 $$": 128 + 9, "true": 0, "(sleep 300 &)": 0} {
		if _, exit := newGround(t).run(t, script); exit != want {
			t.Errorf("%q: exit %d, want %d", script, exit, want)
		}
	}
}

func TestSignal(t *testing.T) {
	g := newGround(t)
	s := g.start(t, "bash", "-c", "trap 'echo > got; exit 9' TERM; echo > ready; while :; do sleep 0.01; done")
	if err := s.Go(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ready", func() bool { _, err := os.Stat(g.project + "/ready"); return err == nil })
	if err := s.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if exit, err := s.Wait(); exit != 9 || err != nil {
		t.Fatal(exit, err)
	}
	if err := s.Signal(unix.SIGTERM); err != nil { // to nobody
		t.Fatal(err)
	}
}

func TestNotFound(t *testing.T) {
	g := newGround(t)
	for name, want := range map[string]error{"no-such-command": unix.ENOENT, "/etc/passwd": unix.EACCES} {
		s := g.start(t, name)
		if err := s.Go(); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := s.Wait(); err == nil {
			t.Errorf("%s: no error at the end", name)
		}
		s.Kill()
	}
}

// TestOrdinary is what must work inside as it does bare.
func TestOrdinary(t *testing.T) {
	g := newGround(t)
	g.Env = append(g.Env, "TMPDIR=/tmp", "GOTOOLCHAIN=local", "GOFLAGS=-mod=mod", "GOPROXY=off")
	if dir, err := exec.Command("go", "env", "GOCACHE").Output(); err == nil { // as the product does: a warm cache
		g.Caches = []Cache{{Lower: strings.TrimSpace(string(dir)), Target: insideHome + "/.cache/go-build", Upper: g.base + "/layer/u", Work: g.base + "/layer/w"}}
		t.Cleanup(func() { _ = os.Chmod(g.base+"/layer/w/work", 0o700) })
	}
	write(t, g.project+"/go.mod", "module x\n\ngo 1.20\n")
	write(t, g.project+"/main.go", "package main\n\nfunc main() { println(\"built\") }\n")
	for _, row := range []struct{ script, want string }{
		{"pwd", g.project},
		{"echo $HOME; cd; pwd", insideHome + "\n" + insideHome},
		{"cp /bin/echo ~/e && ~/e home-runs", "home-runs"},
		{"cp /bin/echo /tmp/e && /tmp/e tmp-runs", "tmp-runs"},
		{"cp /bin/echo /var/tmp/e && /var/tmp/e vartmp-runs", "vartmp-runs"},
		{"echo x > /dev/shm/x && cat /dev/shm/x", "x"},
		{"cat /etc/resolv.conf", "nameserver 127.0.0.1"},
		{"node -e 'console.log(6*7)'", "42"},
		{"npm --version", "."},
		{"/usr/bin/python3 -c 'import os,multiprocessing; multiprocessing.Lock(); print(os.getcwd())'", g.project},
		{"go version", "go version"},
		{"go build -o built-here . && ./built-here", "built"},
		{"git init -q . && git config user.email a@b && git config user.name n && git add main.go && git commit -qm m && git log --oneline", " m"},
		{"mkdir a && mv a b && ln main.go c && rm c && echo moved", "moved"},
		{"echo one > /dev/stdout", "one"},
		{"ls /dev/fd/ >/dev/null && cat /proc/self/status", "NoNewPrivs:\t1"},
		{"for i in $(seq 40); do (sleep 0.01 &) ; done; echo forked", "forked"},
		{"sleep 0.1; cat /proc/sys/kernel/ostype", "Linux"},
		{"cat <(echo substituted)", "substituted"},
		{"bash -c 'echo $BASHPID' && nproc && df -h . && id -un || true", "\n"},
	} {
		out, exit := g.run(t, row.script)
		if exit != 0 || !strings.Contains(out, row.want) {
			t.Errorf("%s: exit %d, no %q in %s", row.script, exit, row.want, out)
		}
	}
}

// terminal is a session's terminal with a person at it.
type terminal struct {
	pty *os.File
	mu  sync.Mutex
	out strings.Builder
}

func newTerminal(p *os.File) *terminal {
	w := &terminal{pty: p}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := p.Read(b)
			w.mu.Lock()
			w.out.Write(b[:n])
			w.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return w
}

func (w *terminal) seen() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.String()
}

func (w *terminal) expect(t *testing.T, want string) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !strings.Contains(w.seen(), want); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never %q on the terminal:\n%s", want, w.seen())
		}
	}
}

func (w *terminal) say(s string) { _, _ = io.WriteString(w.pty, s) }

func TestTerminal(t *testing.T) {
	g := newGround(t)
	g.TTY, g.Rows, g.Cols = true, 33, 99
	bare := exec.Command("script", "-qec", g.exe+" __attack tiocsti", "/dev/null") // on a terminal of its own
	if out, err := bare.CombinedOutput(); err != nil {
		t.Logf("TIOCSTI does not work bare here: %s", out)
	}
	s := g.start(t, "bash", "--norc", "-i")
	w := newTerminal(s.PTY)
	if err := s.Go(); err != nil {
		t.Fatal(err)
	}
	w.say("tty; stty size\n")
	w.expect(t, "/dev/pts/0")
	w.expect(t, "33 99")
	w.say("/usr/bin/python3 -c 'import os; print(os.ttyname(0), os.open(\"/dev/tty\", os.O_RDWR) > 2, \"tty-ok\")'\n")
	w.expect(t, "/dev/pts/0 True tty-ok")
	w.say(g.exe + " __attack tiocsti; echo typed=$?\n")
	w.expect(t, "operation not permitted")
	w.expect(t, "typed=1")
	w.say("sleep 100\n")
	eventually(t, "sleep is in the foreground", func() bool { return foreground(s) == "sleep" })
	w.say("\x1a") // Ctrl-Z
	w.expect(t, "Stopped")
	w.say("jobs; fg\n")
	eventually(t, "sleep is in the foreground again", func() bool { return foreground(s) == "sleep" })
	w.say("\x03") // Ctrl-C
	w.say("echo interrupted=$?\n")
	w.expect(t, "interrupted=130")
	if err := unix.IoctlSetWinsize(int(s.PTY.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 10, Col: 20}); err != nil {
		t.Fatal(err)
	}
	w.say("stty size\n")
	w.expect(t, "10 20")
	w.say("exit 5\n")
	if exit, err := s.Wait(); exit != 5 || err != nil {
		t.Fatal(exit, err)
	}
}

// foreground names the process group that the terminal listens to.
func foreground(s *Sandbox) string {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		var pid, ppid, pgrp, sid, tty, tpgid int
		var comm, state string
		if _, err := fmt.Sscanf(string(b), "%d %s %s %d %d %d %d %d", &pid, &comm, &state, &ppid, &pgrp, &sid, &tty, &tpgid); err != nil {
			continue
		}
		if pid == tpgid && under(pid, s.InitPID) {
			return strings.Trim(comm, "()")
		}
	}
	return ""
}

// under reports whether pid lives in the pid namespace of init.
func under(pid, init int) bool {
	a, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
	b, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", init))
	return a != "" && a == b
}

func TestSpawn(t *testing.T) {
	g := newGround(t)
	s := g.start(t, "sleep", "100")
	if err := s.Go(); err != nil {
		t.Fatal(err)
	}
	out, err := os.CreateTemp(g.base, "out")
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Spawn(Command{
		Argv: []string{"bash", "-c", "pwd; ls /proc | grep -c '^[0-9]'; cat /proc/2/environ /proc/9/environ; kill -0 1; unshare -U true; exit 3"},
		Env:  g.Env, Dir: insideHome, Stdout: out, Stderr: out,
	})
	if err != nil {
		t.Fatal(err)
	}
	refused := supervise(p)
	if err := p.Go(); err != nil {
		t.Fatal(err)
	}
	exit, err := p.Wait()
	b, _ := os.ReadFile(out.Name())
	if exit != 3 || err != nil {
		t.Fatalf("%d %v %s", exit, err, b)
	}
	contains(t, string(b), insideHome, "unshare failed: Operation not permitted")
	if refused.Load() == 0 {
		t.Error("its own listener saw nothing")
	}
	select {
	case <-s.Done():
		t.Error("the agent ended")
	default:
	}
}

func TestPin(t *testing.T) {
	g := newGround(t)
	path := write(t, g.project+"/run.sh", "echo first\n")
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	s := g.start(t, "sleep", "100")
	inside := func(script string) string {
		out, err := os.CreateTemp(g.base, "out")
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.Spawn(Command{Argv: []string{"bash", "-c", script}, Env: g.Env, Dir: g.project, Stdout: out, Stderr: out})
		if err != nil {
			t.Fatal(err)
		}
		supervise(p)
		if err := p.Go(); err != nil {
			t.Fatal(err)
		}
		_, _ = p.Wait()
		b, _ := os.ReadFile(out.Name())
		return string(b)
	}
	pin, err := s.Pin(path, []byte("echo approved\n"))
	if err != nil {
		t.Fatal(err)
	}
	contains(t, inside("./run.sh; bash run.sh; stat -c '%d %i %a' run.sh"), "approved\napproved\n", fmt.Sprintf("%d %d 555", pin.Dev, pin.Ino))
	contains(t, inside("echo evil > run.sh; mv run.sh x; rm -f run.sh; mv -f /etc/hostname run.sh; chmod 777 run.sh; ./run.sh"), "approved", "Read-only file system", "busy")
	// A swap of the directory above does not help either: unpin takes off what it laid.
	inside("mkdir -p d && echo echo second > d/s && chmod 755 d/s")
	second, err := s.Pin(g.project+"/d/s", []byte("echo pinned\n"))
	if err != nil {
		t.Fatal(err)
	}
	inside("mv d e; mkdir d; echo echo other > d/s")
	for _, p := range []Pin{pin, second} {
		if err := s.Unpin(p); err != nil {
			t.Fatal(err)
		}
	}
	contains(t, inside("./run.sh; cat e/s d/s; grep -c stage/p /proc/self/mountinfo"), "first", "second", "other", "\n0\n")
	if err := s.Unpin(pin); err == nil {
		t.Error("a pin came off twice")
	}
	// Nothing is laid through a link that the agent made.
	inside("ln -s /etc/passwd link; ln -s /etc dir")
	for _, p := range []string{g.project + "/link", g.project + "/dir/passwd", g.project, g.project + "/absent"} {
		if _, err := s.Pin(p, nil); err == nil {
			t.Errorf("pinned %s", p)
		}
	}
	out := inside("head -c4 /etc/passwd")
	contains(t, out, "root")
}

func TestMounts(t *testing.T) {
	g := newGround(t)
	lower, upper, work := g.base+"/lower", g.base+"/layer/u:p,\\per", g.base+"/layer/work"
	for _, d := range []string{upper, work} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, lower+"/a", "lower")
	write(t, lower+"/b", "lower")
	write(t, g.base+"/cache/go/entry", "cached")
	g.Mounts = []countersign.Mount{{Type: "overlay", Lower: []string{lower}, Upper: upper, Work: work, Target: g.project}}
	t.Cleanup(func() { // the kernel leaves them without a mode bit
		_ = os.Chmod(work+"/work", 0o700)
		_ = os.Chmod(g.base+"/layer/c/work/work", 0o700)
	})
	g.Caches = []Cache{{Lower: g.base + "/cache/go", Target: insideHome + "/.cache/go-build", Upper: g.base + "/layer/c/upper", Work: g.base + "/layer/c/work"}}
	s := g.start(t, "bash", "-c", `echo changed > a; rm b; echo new > c; cat ~/.cache/go-build/entry; echo more > ~/.cache/go-build/entry
		while [ ! -e go ]; do sleep 0.01; done; cat c; cat hidden`)
	out, err := os.CreateTemp(g.base, "out")
	if err != nil {
		t.Fatal(err)
	}
	s.Kill()
	g.Stdout, g.Stderr = out, out
	s = g.start(t, g.Argv...)
	if err := s.Go(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first writes", func() bool { b, _ := os.ReadFile(g.base + "/layer/c/upper/entry"); return string(b) == "more\n" })
	write(t, upper+"/hidden", "hidden")
	if err := s.AddTripwire(Trip{Path: g.project + "/hidden"}); err != nil {
		t.Fatal(err)
	}
	p, err := s.Spawn(Command{Argv: []string{"touch", g.project + "/go"}, Env: g.Env, Dir: "/"})
	if err != nil {
		t.Fatal(err)
	}
	supervise(p)
	if err := p.Go(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Wait(); err != nil {
		t.Fatal(err)
	}
	b, _ := os.ReadFile(out.Name())
	contains(t, string(b), "cachednew\n", "hidden: Permission denied")
	for path, want := range map[string]string{lower + "/a": "lower", lower + "/b": "lower", upper + "/a": "changed\n", g.base + "/cache/go/entry": "cached"} {
		if b, _ := os.ReadFile(path); string(b) != want {
			t.Errorf("%s: %q", path, b)
		}
	}
}

// TestTripwires lays nodes, served by the real server, or masks where there is
// no FUSE for this user.
func TestTripwires(t *testing.T) {
	g := newGround(t)
	write(t, g.project+"/.env", "SECRET=1")
	write(t, g.home+"/elsewhere/f", "mine")
	write(t, g.project+"/target", "SECRET=2")
	if err := os.Symlink("target", g.project+"/.env.link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere", g.home+"/.ssh"); err != nil { // of an earlier session
		t.Fatal(err)
	}
	nodes := []tripwire.Node{
		{ID: 1, Path: g.project + "/.env", Rule: "env", Attr: tripwire.Attr{Mode: 0o100600, Size: 8, Nlink: 1}},
		{ID: 2, Path: insideHome + "/.aws", Rule: "aws", Attr: tripwire.Attr{Mode: 0o040700, Nlink: 2, Dir: true}},
		{ID: 3, Path: insideHome + "/.aws/credentials", Rule: "aws", Attr: tripwire.Attr{Mode: 0o100600, Nlink: 1}},
		{ID: 4, Path: insideHome + "/.ssh", Rule: "ssh", Attr: tripwire.Attr{Mode: 0o040700, Nlink: 2, Dir: true}},
		{ID: 6, Path: g.project + "/.env.link", Rule: "env", Attr: tripwire.Attr{Mode: 0o120777, Size: 8, Nlink: 1}},
		{ID: 7, Path: g.project + "/tool", Rule: "env", Attr: tripwire.Attr{Mode: 0o100755, Size: 8, Nlink: 1}},
		{ID: 5, Path: insideHome + "/.netrc", Rule: "netrc", Attr: tripwire.Attr{Mode: 0o100600, Nlink: 1}},
	}
	for _, n := range nodes {
		g.Tripwires = append(g.Tripwires, Trip{ID: n.ID, Path: n.Path, Dir: n.Attr.Dir})
	}
	events := make(chan tripwire.Event, 64)
	var server *tripwire.Server
	g.OnFuse = func(f *os.File) (err error) {
		if server, err = tripwire.Start(t.Context(), g.Exe, f, func(e tripwire.Event) { events <- e }); err != nil {
			return err
		}
		t.Cleanup(func() { server.Close() })
		for _, n := range nodes {
			if err := server.Add(n); err != nil {
				return err
			}
		}
		return nil
	}
	out, err := os.CreateTemp(g.base, "out")
	if err != nil {
		t.Fatal(err)
	}
	g.Stdout, g.Stderr = out, out
	s := g.start(t, "bash", "-c", "cat .env; cat ~/.aws/credentials; ls ~/.aws; cat ~/.ssh/id; cat ~/.netrc; rm -f .env; mv .env x; stat -c %s .env; cat .env.link; rm -f .env.link; ./tool; echo end")
	if err := s.Go(); err != nil {
		t.Fatal(err)
	}
	_, _ = s.Wait()
	b, _ := os.ReadFile(out.Name())
	contains(t, string(b), "cat: .env: Permission denied", ".aws/credentials: Permission denied", "directory '/home/agent/.aws': Permission denied",
		".ssh/id: Permission denied", ".netrc: Permission denied", ".env.link: Permission denied", "./tool: Permission denied", "end")
	if strings.Contains(string(b), "SECRET") {
		t.Fatal("leaked")
	}
	if server == nil {
		if s.NoFuse == "" {
			t.Error("masks without a reason")
		}
		t.Log("masked:", s.NoFuse)
		return
	}
	contains(t, string(b), "\n8\n")
	time.Sleep(10 * time.Millisecond)
	seen := map[string]int{}
	for len(events) > 0 {
		e := <-events
		seen[e.Path+" "+e.Op]++
		if e.Peer.PID == 0 || !strings.HasPrefix(e.Peer.Exe, "/usr/bin/") {
			t.Errorf("%s by %+v", e.Path, e.Peer)
		}
	}
	want := map[string]int{
		g.project + "/.env read": 1, insideHome + "/.aws/credentials lookup": 1, insideHome + "/.aws list": 1,
		insideHome + "/.ssh/id lookup": 1, insideHome + "/.netrc read": 1,
		g.project + "/.env.link readlink": 1, g.project + "/tool exec": 1, g.project + "/tool read": 1, // bash looks why
	}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("events %v, want %v", seen, want)
	}
}

func TestRequireFuse(t *testing.T) {
	if f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err == nil {
		f.Close()
		t.Skip("FUSE is open to this user")
	}
	g := newGround(t)
	g.OnFuse, g.RequireFuse, g.Argv = func(*os.File) error { return nil }, true, []string{"true"}
	_, err := Start(t.Context(), g.Config)
	if countersign.CodeOf(err) != countersign.EPosture || countersign.RemedyOf(err) == "" {
		t.Fatalf("%v (%s)", err, countersign.RemedyOf(err))
	}
}
