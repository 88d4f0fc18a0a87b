//go:build amd64 || arm64

package execgate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/sandbox/seccomp"
)

// The test binary is also the launcher (which installs the filter, as init does
// in a session) and the helper (which attacks from inside).
func TestMain(m *testing.M) {
	switch os.Getenv("EXECGATE_ROLE") {
	case "launcher":
		os.Unsetenv("EXECGATE_ROLE")
		os.Exit(runLauncher())
	}
	if len(os.Args) > 2 && os.Args[1] == "execgate-helper" {
		os.Exit(runHelper(os.Args[2:]))
	}
	if len(os.Args) > 2 && os.Args[1] == "execgate-interpreter" {
		os.Exit(interpret(os.Args[2]))
	}
	os.Exit(m.Run())
}

// runLauncher starts argv under the filter and hands the listener out on
// descriptor 3. With EXECGATE_OFF it starts it without: the attack's control.
func runLauncher() int {
	off := os.Getenv("EXECGATE_OFF") != ""
	os.Unsetenv("EXECGATE_OFF")
	listener := make(chan int)
	result := make(chan int)
	ready := make(chan bool)
	go func() {
		runtime.LockOSThread()
		if !off {
			prog, err := seccomp.Program(seccomp.Table())
			if err != nil {
				panic(err)
			}
			l, _, err := seccomp.Install(prog)
			if err != nil {
				fmt.Fprintln(os.Stderr, "launcher:", err)
				os.Exit(99)
			}
			listener <- int(l)
			<-ready
		}
		pid, err := syscall.ForkExec(os.Args[1], os.Args[1:], &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
		if err != nil {
			fmt.Fprintln(os.Stderr, "launcher:", err)
			result <- 126
			return
		}
		var st syscall.WaitStatus
		for {
			if _, err := syscall.Wait4(pid, &st, 0, nil); !errors.Is(err, syscall.EINTR) {
				break
			}
		}
		if st.Signaled() {
			result <- 128 + int(st.Signal())
			return
		}
		result <- st.ExitStatus()
	}()
	if !off {
		l := <-listener
		if err := unix.Sendmsg(3, []byte("l"), unix.UnixRights(l), nil, 0); err != nil {
			panic(err)
		}
		unix.Close(l)
		var b [1]byte
		_, _ = unix.Read(3, b[:])
		unix.Close(3)
		close(ready)
	}
	return <-result
}

// scripted is a Judge that decides by a function and remembers everything.
type scripted struct {
	mu       sync.Mutex
	decide   func(ctx context.Context, a countersign.Action) Answer // nil: yes
	seen     []countersign.Action
	started  []countersign.Action
	finished []countersign.Outcome
	ends     []string // "argv: status error"
	refused  []string // "call errno"
	total    int      // refused calls, folded ones counted
	n        int
}

func (j *scripted) Exec(ctx context.Context, a countersign.Action) Answer {
	j.mu.Lock()
	j.n++
	id := fmt.Sprint("r", j.n)
	j.seen = append(j.seen, a)
	decide := j.decide
	j.mu.Unlock()
	ans := Answer{}
	if decide != nil {
		ans = decide(ctx, a)
	}
	if ans.Errno == 0 {
		ans.Permit = countersign.Permit{Record: id, Covers: !a.Exec.Launch && !a.Exec.ProgramFromAgent, Basis: countersign.ByPerson}
		if a.Exec.Root != nil {
			ans.Permit.Basis = countersign.ByCover
		}
		if a.Exec.Launch {
			ans.Permit.Basis = countersign.ByLaunch
		}
	}
	return ans
}

func (j *scripted) Started(_ countersign.Permit, a countersign.Action) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.started = append(j.started, a)
}

func (j *scripted) Finished(_ countersign.Permit, a countersign.Action, o countersign.Outcome) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.finished = append(j.finished, o)
	j.ends = append(j.ends, fmt.Sprint(strings.Join(a.Exec.Argv, " "), ": ", o.Status, " ", o.Error))
}

func (j *scripted) Refused(a countersign.Action, call string, errno unix.Errno, n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.total += n
	s := call + " " + unix.ErrnoName(errno)
	if a.Net != nil {
		s += fmt.Sprintf(" %s %s %d", a.Net.Proto, a.Net.Host, a.Net.Port)
	}
	j.refused = append(j.refused, s)
}

// argvs lists what was asked, in order.
func (j *scripted) argvs() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []string
	for _, a := range j.seen {
		out = append(out, strings.Join(a.Exec.Argv, " "))
	}
	return out
}

// gated is one run of a command under a supervisor.
type gated struct {
	t      testing.TB
	judge  *scripted
	off    bool
	cfg    Config
	dir    string
	stdin  io.Reader
	env    []string
	before func(*Supervisor)
	cred   *syscall.Credential
	ctx    context.Context // of the supervisor
	deaf   bool            // the listener is closed at once, as if the supervisor had died
	out    bytes.Buffer
	sup    *Supervisor
	cmd    *exec.Cmd
}

func newGated(t testing.TB) *gated {
	return &gated{t: t, judge: &scripted{}, dir: t.TempDir()}
}

// run starts argv, waits for its end, and returns its exit code.
func (g *gated) run(argv ...string) int {
	g.t.Helper()
	wait := g.start(argv...)
	return wait()
}

func (g *gated) start(argv ...string) (wait func() int) {
	g.t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		g.t.Fatal(err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "")
	self, err := os.Executable()
	if err != nil {
		g.t.Fatal(err)
	}
	cmd := exec.Command(self, argv...)
	g.cmd = cmd
	cmd.Env = append([]string{"EXECGATE_ROLE=launcher", "PATH=/usr/local/bin:/usr/bin:/bin", "HELPER=" + self, "DIR=" + g.dir}, g.env...)
	if g.off {
		cmd.Env = append(cmd.Env, "EXECGATE_OFF=1")
	}
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = g.dir, g.stdin, &g.out, &g.out
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: g.cred, Pdeathsig: 0}
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	theirs.Close()
	if g.ctx == nil {
		g.ctx = context.Background()
	}
	ctx, cancel := context.WithCancel(g.ctx)
	ended := make(chan error, 1)
	if !g.off {
		g.supervise(ctx, pair[0], ended)
	}
	unix.Close(pair[0])
	return func() int {
		limit := 2 * time.Minute
		if os.Getenv("COUNTERSIGN_LONG") != "" {
			limit = time.Hour
		}
		timer := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		err := cmd.Wait()
		if !g.off {
			select {
			case err := <-ended:
				if err != nil && g.ctx.Err() == nil {
					g.t.Errorf("supervisor: %v", err)
				}
			case <-time.After(5 * time.Second): // something outlived its parent
			}
		}
		cancel()
		if g.out.Len() > 0 {
			g.t.Logf("output: %s", g.out.String())
		}
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return exit.ExitCode()
		}
		if err != nil {
			g.t.Fatal(err)
		}
		return 0
	}
}

func (g *gated) supervise(ctx context.Context, sock int, ended chan error) {
	g.t.Helper()
	oob := make([]byte, unix.CmsgSpace(4))
	var b [1]byte
	_, n, _, _, err := unix.Recvmsg(sock, b[:], oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		g.t.Fatal(err)
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(msgs) != 1 {
		g.t.Fatalf("no listener came: %v (%s)", err, g.out.String())
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		g.t.Fatal(err)
	}
	if g.deaf {
		unix.Close(fds[0])
		ended <- nil
		if _, err := unix.Write(sock, b[:]); err != nil {
			g.t.Fatal(err)
		}
		return
	}
	cfg := g.cfg
	cfg.Listener, cfg.Judge, cfg.Session = os.NewFile(uintptr(fds[0]), "listener"), g.judge, "s"
	cfg.Log = slog.New(slog.DiscardHandler)
	if g.sup, err = New(cfg); err != nil {
		g.t.Fatal(err)
	}
	if g.before != nil {
		g.before(g.sup)
	}
	go func() { ended <- g.sup.Run(ctx) }()
	if _, err := unix.Write(sock, b[:]); err != nil {
		g.t.Fatal(err)
	}
}

func self(t testing.TB) string {
	t.Helper()
	s, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (g *gated) file(name, content string, mode os.FileMode) string {
	g.t.Helper()
	p := filepath.Join(g.dir, name)
	if err := os.WriteFile(p, []byte(content), mode); err != nil {
		g.t.Fatal(err)
	}
	if err := os.Chmod(p, mode); err != nil {
		g.t.Fatal(err)
	}
	return p
}

// rounds is how often a race is run.
func rounds(short int) int {
	if os.Getenv("COUNTERSIGN_LONG") != "" {
		return 100_000
	}
	return short
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

// unsealed is a Pinner that lays nothing over the file: the file itself counts.
type unsealed struct{}

func (unsealed) Pin(path string, _ []byte) (Pin, error) {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	return Pin{Dev: uint64(st.Dev), Ino: st.Ino}, err
}
