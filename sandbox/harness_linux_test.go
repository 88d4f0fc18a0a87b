package sandbox

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/sandbox/seccomp"
	"github.com/countersign/countersign/sandbox/tripwire"
)

// A test binary is also the sandbox's helpers, the tripwire server, and the
// attacker inside.
func TestMain(m *testing.M) {
	args := os.Args[1:]
	if Main(args) || tripwire.Main(args) {
		return
	}
	if len(args) >= 2 && args[0] == "__attack" {
		os.Exit(attackMain(args[1], args[2:]))
	}
	if len(args) >= 1 && args[0] == "__listened" {
		fmt.Fprintln(os.Stderr, listened(args[1:]))
		os.Exit(1)
	}
	if len(args) >= 1 && args[0] == "__session" {
		sessionMain()
	}
	os.Exit(m.Run())
}

// ground is a piece of host that a test's sandbox stands on.
type ground struct {
	base    string // all of it
	home    string // the agent's private home, host side
	project string
	exe     string // the test binary where the sandbox shows it
	Config
}

const insideHome = "/home/agent"

func newGround(t *testing.T) *ground {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	base := t.TempDir()
	g := &ground{base: base, home: base + "/home", project: base + "/project", exe: base + "/bin/attack"}
	for _, d := range []string{g.home, g.project, base + "/bin", base + "/layer"} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(g.exe, b, 0o755); err != nil {
		t.Fatal(err)
	}
	g.Config = Config{
		Exe: exe, Env: []string{"PATH=/usr/local/go/bin:/usr/bin:/bin", "HOME=" + insideHome, "LANG=C.UTF-8", "TERM=xterm"},
		Dir: g.project, Home: insideHome, HomeSource: g.home, ReadOnly: []string{base + "/bin"}, Gate: true,
		Mounts: []countersign.Mount{{Type: "bind", Source: g.project, Target: g.project}},
	}
	return g
}

// start starts argv; with a gate, a supervisor lets every exec go.
func (g *ground) start(t *testing.T, argv ...string) *Sandbox {
	t.Helper()
	g.Argv = argv
	s, err := Start(t.Context(), g.Config)
	if err != nil {
		t.Fatalf("%v (to mend: %s)", err, countersign.RemedyOf(err))
	}
	t.Cleanup(s.Kill)
	supervise(s.Process)
	return s
}

// run runs a shell script inside and returns what it wrote, and its exit.
func (g *ground) run(t *testing.T, script string) (string, int) {
	t.Helper()
	return g.exec(t, "bash", "-c", script)
}

func (g *ground) exec(t *testing.T, argv ...string) (string, int) {
	t.Helper()
	out, err := os.CreateTemp(g.base, "out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	g.Stdout, g.Stderr = out, out
	s := g.start(t, argv...)
	defer s.Kill()
	if err := s.Go(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Done():
	case <-time.After(50 * time.Second):
		t.Fatalf("%q does not end", argv)
	}
	exit, err := s.Wait()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(b), exit
}

// supervise answers a listener as the exec gate would if everything were
// allowed, and returns how many calls were refused.
func supervise(p *Process) *atomic.Int64 {
	refused := new(atomic.Int64)
	if p.Listener == nil {
		return refused
	}
	fd := p.Listener.Fd()
	go func() {
		runtime.LockOSThread()
		table := seccomp.Table()
		var n seccomp.Notif
		l := seccomp.Listener(fd)
		for l.Recv(&n) == nil {
			row := rowOf(table, &n.Data)
			if row.Do == seccomp.Refuse {
				refused.Add(1)
				_ = l.Fail(n.ID, row.Errno)
				continue
			}
			_ = l.Continue(n.ID)
		}
	}()
	return refused
}

func rowOf(table []seccomp.Row, d *seccomp.Data) seccomp.Row {
	if seccomp.Foreign(d) {
		return seccomp.Row{Do: seccomp.Refuse, Errno: 1}
	}
	for _, r := range table {
		if r.Meets(d) {
			return r
		}
	}
	return seccomp.Row{}
}

// attackMain runs one attack: exit 0 means that it succeeded.
func attackMain(name string, args []string) int {
	f := attacks[name]
	if f == nil {
		fmt.Fprintln(os.Stderr, "no attack", name)
		return 99
	}
	if err := f(args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("done")
	return 0
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

var errNot = errors.New("not what was attacked")

func contains(t *testing.T, out string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(out, p) {
			t.Errorf("no %q in:\n%s", p, out)
		}
	}
}
