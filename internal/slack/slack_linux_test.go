package slack

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	switch os.Getenv("SLACK_TEST") {
	case "realtime":
		runtime.LockOSThread()
		attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}
		if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
			fmt.Println("not allowed:", err)
			os.Exit(0)
		}
		Ensure(Usual, os.Environ())
		fmt.Println("goes on")
		os.Exit(0)
	case "ensure":
		Ensure(Usual, os.Environ())
		fallthrough
	case "tell":
		fmt.Println(os.Getpid(), strings.Join(os.Args[1:], " "), seen())
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// seen is the slack of threads that were and were not there before.
func seen() string {
	var all []string
	for range 4 {
		done := make(chan string)
		go func() {
			runtime.LockOSThread()
			d, err := get()
			done <- fmt.Sprint(d, err)
		}()
		all = append(all, <-done)
	}
	return strings.Join(all, " ")
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
	return strings.TrimSpace(fmt.Sprint(pid, " one two ", strings.Repeat(fmt.Sprint(d, " <nil> "), 4)))
}

// The process stays the same, with its arguments, and all of its threads have it.
func TestEnsure(t *testing.T) {
	cmd := run(t, "ensure")
	out, err := cmd.Output()
	if got := strings.TrimSpace(string(out)); err != nil || got != want(cmd.Process.Pid, Usual) {
		t.Errorf("%v: %q, want %q", err, got, want(cmd.Process.Pid, Usual))
	}
}

// A real-time thread has no slack and takes the call all the same: the program must
// not start itself for ever.
func TestEnsureInRealTime(t *testing.T) {
	cmd := run(t, "realtime")
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	err := cmd.Wait()
	switch got := strings.TrimSpace(out.String()); {
	case strings.HasPrefix(got, "not allowed"):
		t.Skip(got)
	case err != nil || got != "goes on":
		t.Errorf("%v: %q", err, got)
	}
}

// What is started with it has it, who starts it has it no more.
func TestWith(t *testing.T) {
	before, err := get()
	if err != nil {
		t.Skip(err)
	}
	cmd := run(t, "tell")
	var out strings.Builder
	cmd.Stdout = &out
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := With(Usual, cmd.Start); err != nil {
		t.Fatal(err)
	}
	if after, err := get(); err != nil || after != before {
		t.Errorf("%v after, %v before: %v", after, before, err)
	}
	if err := cmd.Wait(); err != nil || strings.TrimSpace(out.String()) != want(cmd.Process.Pid, Usual) {
		t.Errorf("%v: %q", err, out.String())
	}
}
