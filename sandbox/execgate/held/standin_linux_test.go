//go:build amd64 || arm64

package held

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The test binary is also what stops itself until it is seized, and then execs.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "__exec" {
		signal.Ignore(syscall.SIGHUP)
		_, _ = os.Stdout.WriteString(itoa(os.Getpid()) + "\n")
		var b [1]byte
		_, _ = os.Stdin.Read(b[:])
		_ = syscall.Exec(os.Args[2], os.Args[2:], os.Environ())
		os.Exit(99)
	}
	os.Exit(m.Run())
}

// standIn has a shell run a program, holds that at its exec stop and has it stand
// in. It returns what the shell says of its end, and what it wrote.
func standIn(t *testing.T, elsewhere func(pid int) int, signal func(unix.Signal), argv ...string) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Who traces its own child takes its end away from itself: hence the shell.
	cmd := exec.Command("sh", append([]string{"-c", `"$@"; echo "exit $?"`, "sh", exe, "__exec"}, argv...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(pipe)
	line, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid := atoi(strings.TrimSpace(line))
	why := make(chan string)
	go alone(func() { why <- hold(pid, in.Write, func() int { return elsewhere(pid) }, signal) })
	if s := <-why; s != "" {
		t.Fatal(s)
	}
	rest, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(rest))
}

// alone calls f on a thread that has no children, who would be waited for too.
func alone(f func()) {
	runtime.LockOSThread()
	if Childless() {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		alone(f)
		close(done)
	}()
	<-done // meanwhile nothing else runs on this one
}

// hold seizes every thread of a process, lets it go on, and holds its exec stop.
func hold(pid int, goOn func([]byte) (int, error), elsewhere func() int, signal func(unix.Signal)) string {
	tasks, err := os.ReadDir(proc(pid) + "/task")
	if err != nil {
		return err.Error()
	}
	h := Thread{TID: pid}
	for _, e := range tasks {
		one := Thread{TID: atoi(e.Name())}
		if errno := one.Seize(); errno != 0 {
			return "seize: " + errno.Error()
		}
	}
	if _, err := goOn([]byte("\n")); err != nil {
		return err.Error()
	}
	for {
		got, st, errno := h.Wait()
		switch {
		case errno != 0:
			return errno.Error()
		case st.Stopped() && int(st)>>16 == unix.PTRACE_EVENT_EXEC:
			return h.StandIn(got, elsewhere, signal)
		case st.Stopped():
			sig := uintptr(0)
			if int(st)>>16 == 0 {
				sig = uintptr(st.StopSignal())
			}
			Ptrace(unix.PTRACE_CONT, got, 0, sig)
		}
	}
}

func proc(pid int) string { return "/proc/" + itoa(pid) }

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

func atoi(s string) (n int) {
	for _, c := range s {
		n = 10*n + int(c-'0')
	}
	return n
}

// The image does not run; its process ends as what ran elsewhere did.
func TestStandInEndsAsElsewhere(t *testing.T) {
	for _, code := range []int{0, 1, 42, 255} {
		if got, want := standIn(t, func(int) int { return code }, func(unix.Signal) {}, "/bin/echo", "it ran"), "exit "+itoa(code); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Signals go on, but for those that the process ignores; none stops it.
func TestStandInHandsSignalsOn(t *testing.T) {
	got := make(chan unix.Signal, 8)
	said := standIn(t, func(pid int) int {
		for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGTERM, unix.SIGTSTP, unix.SIGINT, unix.SIGCONT} {
			_ = unix.Kill(pid, sig)
			if sig == unix.SIGHUP {
				continue
			}
			if sig == unix.SIGTSTP {
				sig = unix.SIGSTOP
			}
			if s := <-got; s != sig {
				t.Errorf("got %v, want %v", s, sig)
			}
		}
		return 7
	}, func(s unix.Signal) { got <- s }, "/bin/echo")
	if said != "exit 7" {
		t.Error(said)
	}
}

// Who is killed says so.
func TestStandInThatIsKilled(t *testing.T) {
	killed := make(chan struct{})
	said := standIn(t, func(pid int) int {
		_ = unix.Kill(pid, unix.SIGKILL)
		<-killed
		return 0
	}, func(s unix.Signal) {
		if s == unix.SIGKILL {
			close(killed)
		}
	}, "/bin/echo")
	if !strings.HasSuffix(said, "exit 137") {
		t.Error(said)
	}
}
