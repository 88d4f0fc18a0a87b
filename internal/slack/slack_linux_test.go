package slack

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	how := os.Getenv("SLACK_TEST")
	switch how {
	case "":
		if _, _, err := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_GET_TIMERSLACK, 0, 0); err == syscall.ENOTSUP {
			fmt.Println("cgo is linked: nothing gets a slack here")
			os.Exit(0)
		}
		os.Exit(m.Run())
	case "ensure":
		threads(4)
		Ensure(Usual)
		tell()
	case "tell":
		tell()
	case "realtime":
		realtime()
	case "signal":
		signalled()
	case "low":
		low()
	case "removed":
		removed()
	}
	os.Exit(0)
}

// threads starts some that stay.
func threads(n int) {
	for range n {
		up := make(chan bool)
		go func() {
			runtime.LockOSThread()
			up <- true
			select {}
		}()
		<-up
	}
}

func tell() { fmt.Println(os.Getpid(), strings.Join(os.Args[1:], " "), all(), fresh()) }

// all is the slack of every thread there is, the monitor's too: were that of one
// another, the call would end the program.
func all() string {
	ns, _, err := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_GET_TIMERSLACK, 0, 0)
	return fmt.Sprint(time.Duration(ns), err == 0)
}

// fresh is that with threads that were not there before.
func fresh() string {
	threads(4)
	return all()
}

func realtime() {
	runtime.LockOSThread()
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}
	if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
		fmt.Println("not allowed:", err)
		return
	}
	Ensure(Usual)
	fmt.Println("goes on")
}

// signalled is told to end before it ensures, when its signals are caught already.
func signalled() {
	fmt.Println("begun")
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		fmt.Println(err)
	}
	Ensure(Usual)
	<-ctx.Done()
	fmt.Println("told")
}

// low starts the program again with few descriptors, as most systems do: Go then
// takes as many as it may.
func low() {
	var l syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l)
	if err == nil {
		l.Cur = min(64, l.Max)
		err = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
	}
	os.Setenv("SLACK_TEST", "removed")
	if err == nil {
		err = syscall.Exec(os.Args[0], os.Args, os.Environ())
	}
	fmt.Println(err)
}

// removed is a program that cannot be started again.
func removed() {
	if err := os.Remove(os.Args[0]); err != nil {
		fmt.Println(err)
	}
	var before, after syscall.Rlimit
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before)
	Ensure(Usual)
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &after)
	if after != before {
		fmt.Println("descriptors:", before, "before,", after, "after")
	}
	fmt.Println(all())
}

func run(t *testing.T, how string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "one", "two")
	cmd.Env = append(os.Environ(), "SLACK_TEST="+how)
	return cmd
}

func want(pid int, d time.Duration) string {
	return fmt.Sprint(pid, " one two ", d, " true ", d, " true")
}

// The process stays the same, with its arguments, and all of its threads have it.
func TestEnsure(t *testing.T) {
	cmd := run(t, "ensure")
	out, err := cmd.Output()
	if got := strings.TrimSpace(string(out)); err != nil || got != want(cmd.Process.Pid, Usual) {
		t.Errorf("%v: %q, want %q", err, got, want(cmd.Process.Pid, Usual))
	}
}

// A real-time thread has no slack and takes the call all the same.
func TestEnsureInRealTime(t *testing.T) {
	out, err := run(t, "realtime").Output()
	switch got := strings.TrimSpace(string(out)); {
	case strings.HasPrefix(got, "not allowed"):
		t.Skip(got)
	case err != nil || got != "goes on":
		t.Errorf("%v: %q", err, got)
	}
}

// The program begins once, and a signal that it has caught is not lost to it.
func TestEnsureKeepsSignals(t *testing.T) {
	out, err := run(t, "signal").Output()
	if got := string(out); err != nil || got != "begun\ntold\n" {
		t.Errorf("%v: %q", err, got)
	}
}

// The limit of descriptors, which Go has raised, stays where it is, and nothing
// needs the program's file.
func TestEnsureKeepsLimits(t *testing.T) {
	cmd := run(t, "low")
	program, err := os.ReadFile(cmd.Path)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Path = filepath.Join(t.TempDir(), "removed")
	cmd.Args[0] = cmd.Path
	if err := os.WriteFile(cmd.Path, program, 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.Output()
	if got, want := string(out), fmt.Sprintln(Usual, true); err != nil || got != want {
		t.Errorf("%v: %q, want %q", err, got, want)
	}
}

// What is started with it has it, be that more or less than who starts it has, who has
// his own again.
func TestWith(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	was, err := get()
	if err != nil {
		t.Skip(err)
	}
	defer set(was)
	for _, before := range []time.Duration{was, 2 * Usual} {
		if err := set(before); err != nil {
			t.Fatal(err)
		}
		cmd := run(t, "tell")
		var out strings.Builder
		cmd.Stdout = &out
		if err := With(Usual, cmd.Start); err != nil {
			t.Fatal(err)
		}
		if after, err := get(); err != nil || after != before {
			t.Errorf("%v after, %v before: %v", after, before, err)
		}
		if err := cmd.Wait(); err != nil || strings.TrimSpace(out.String()) != want(cmd.Process.Pid, Usual) {
			t.Errorf("with %v before: %v: %q", before, err, out.String())
		}
	}
}
