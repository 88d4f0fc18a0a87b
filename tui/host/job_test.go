//go:build unix

package host

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/countersign/countersign"
)

// TestMain lets the test binary be a host in a process of its own, with a
// guard, so that it can be stopped and killed under a real shell.
func TestMain(m *testing.M) {
	switch os.Getenv("HOST_ROLE") {
	case "host":
		os.Exit(hostRole())
	case "guard":
		if err := Guard(os.NewFile(3, "pipe"), os.Stdout, os.Stdin); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// hostRole hosts sh -c "$1"; with HOST_ASK set one request waits from the start.
func hostRole() int {
	pr, pw, _ := os.Pipe()
	guard := exec.Command("/proc/self/exe")
	guard.Env = append(os.Environ(), "HOST_ROLE=guard")
	guard.Stdin, guard.ExtraFiles = os.Stdin, []*os.File{pr}
	guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	ready, _ := guard.StdoutPipe()
	if err := guard.Start(); err != nil {
		Say(os.Stderr, "%v", err)
		return 1
	}
	ready.Read(make([]byte, 6))
	pr.Close()
	master, slave, _ := pty.Open()
	agent := exec.Command("sh", "-c", os.Args[1])
	agent.Stdin, agent.Stdout, agent.Stderr = slave, slave, slave
	agent.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := agent.Start(); err != nil {
		return 1
	}
	slave.Close()
	var open []countersign.Request
	if os.Getenv("HOST_ASK") != "" {
		open = append(open, request("1", "make"))
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { agent.Wait(); cancel() }()
	crash := os.Getenv("HOST_CRASH") != ""
	err := Run(ctx, Options{
		Master: master, In: os.Stdin, Out: os.Stdout, User: "ada", Now: time.Now, Guard: pw,
		Requests: func() []countersign.Request {
			if crash && len(open) > 0 {
				panic("crash")
			}
			return open
		},
		Answer: func(string, string, countersign.Approval) error { open = nil; return nil },
	})
	Say(os.Stderr, "pid %d ended: %v", os.Getpid(), err)
	return 0
}

// shell is an interactive bash in the person's terminal.
func newShell(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, outer: newScreen(100, 20)}
	bash := exec.Command("bash", "--norc", "--noediting", "-i")
	bash.Env = append(os.Environ(), "PS1=READY> ", "HOST_ROLE=host", "SELF="+self(t))
	var err error
	r.person, err = pty.StartWithSize(bash, &pty.Winsize{Rows: 20, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	go r.watch()
	t.Cleanup(func() { r.person.Close(); bash.Process.Kill(); bash.Wait() })
	r.until("a prompt", func() bool { return strings.Contains(r.text(), "READY>") })
	return r
}

func self(t *testing.T) string {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

const full = `stty raw -echo; printf '\033[?1049h\033[?1000;1006h\033[?2004h\033[>1u\033[?25l\033[31mAGENT pid-%d-\033[5 q' $PPID; cat`

// hostPID reads the host's pid off the agent's screen.
func (r *rig) hostPID() int {
	r.t.Helper()
	pid := 0
	r.until("the agent", func() bool {
		_, after, ok := strings.Cut(r.text(), "pid-")
		n, _, _ := strings.Cut(after, "-")
		pid, _ = strconv.Atoi(n)
		return ok && pid > 0
	})
	return pid
}

// clean reports whether the person's terminal is as a shell wants it.
func (r *rig) clean() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.outer
	return !s.alt && len(s.modes()) == 0 && len(s.kitty[0]) == 0 && s.pen.IsZero() && s.shape == 0
}

// sane waits for the prompt and clean modes, and asks stty for the rest.
func (r *rig) sane() {
	r.t.Helper()
	r.until("clean modes", r.clean)
	r.type_("\r") // the guard may have come after the prompt
	r.until("a clean prompt", func() bool { return r.clean() && strings.HasSuffix(strings.TrimSpace(r.text()), "READY>") })
	r.type_("clear; stty -a | grep -c -E ' icanon|^icanon'; stty -a | grep -o ' echo '\r")
	r.until("a cooked terminal", func() bool { return strings.Contains(r.text(), "echo \n") || strings.Contains(r.text(), " echo") })
}

func TestTerminalIsSaneAfterEveryEnd(t *testing.T) {
	for name, end := range map[string]func(*rig, int){
		"agent ends":   func(r *rig, _ int) { r.type_("\x04"); r.type_("") },
		"SIGTERM":      func(_ *rig, pid int) { syscall.Kill(pid, syscall.SIGTERM) },
		"SIGHUP":       func(_ *rig, pid int) { syscall.Kill(pid, syscall.SIGHUP) },
		"SIGKILL":      func(_ *rig, pid int) { syscall.Kill(pid, syscall.SIGKILL) },
		"SIGQUIT":      func(_ *rig, pid int) { syscall.Kill(pid, syscall.SIGQUIT) },
		"agent killed": func(_ *rig, pid int) { exec.Command("pkill", "-9", "-P", fmt.Sprint(pid), "sh").Run() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newShell(t)
			script := full
			if name == "agent ends" {
				script = strings.Replace(full, "; cat", "; head -c 1", 1)
			}
			r.type_("$SELF \"" + strings.ReplaceAll(script, "$", "\\$") + "\"\r")
			pid := r.hostPID()
			end(r, pid)
			r.sane()
		})
	}
	t.Run("panic", func(t *testing.T) {
		t.Parallel()
		r := newShell(t)
		r.type_("HOST_ASK=1 HOST_CRASH=1 $SELF \"" + strings.ReplaceAll(full, "$", "\\$") + "\"\r")
		r.until("the crash", func() bool { return strings.Contains(r.text(), "goroutine 1") })
		r.sane()
	})
}

func TestSuspendAndContinue(t *testing.T) {
	r := newShell(t)
	r.type_("$SELF \"" + strings.ReplaceAll(full, "$", "\\$") + "\"\r")
	pid := r.hostPID()
	syscall.Kill(pid, syscall.SIGTSTP)
	r.sane()
	r.type_("clear; fg\r")
	r.until("the agent again", func() bool {
		r.mu.Lock()
		alt := r.outer.alt && r.outer.dec[1000] && r.outer.dec[-25] && r.outer.shape == 5 && len(r.outer.kitty[1]) == 1
		r.mu.Unlock()
		return alt && strings.Contains(r.text(), "AGENT")
	})
	r.type_("typed")
	r.until("echo of the agent", func() bool { return strings.Contains(r.text(), "typed") })
	syscall.Kill(pid, syscall.SIGTERM)
	r.sane()
}

func TestSuspendAtTheCard(t *testing.T) {
	r := newShell(t)
	r.type_("HOST_ASK=1 $SELF 'printf AGENT; cat'\r")
	r.until("the card", func() bool { return strings.Contains(r.text(), "Run command?") })
	r.type_("\x1a")
	r.sane()
	r.type_("clear; fg\r")
	r.until("the card again", func() bool {
		return strings.Contains(r.text(), "Run command?") && strings.Contains(r.text(), "y approve")
	})
	r.type_("n")
	r.until("the agent", func() bool { return strings.Contains(r.text(), "AGENT") && !strings.Contains(r.text(), "Run command?") })
	r.type_("\x04")
	r.until("the end", func() bool { return strings.Contains(r.text(), "countersign: pid") })
	r.sane()
}

// Ctrl-Z does what it does bare, for an agent that leaves it to the terminal,
// for one that reads the key, and for a shell inside that has jobs of its own.
func TestCtrlZ(t *testing.T) {
	for name, script := range map[string]string{
		"left to the terminal":  `printf AGENT; read x; echo got $x; cat`,
		"sent to its own group": `stty raw -echo; trap C=1 CONT; printf AGENT; head -c 1 >/dev/null; stty sane; kill -TSTP 0; while [ -z "$C" ]; do sleep 0.1; done; printf BACK; read x; echo got $x; cat`,
		"read by the agent":     `stty raw -echo; printf AGENT; head -c 1 >/dev/null; kill -STOP $$; stty sane; printf BACK; read x; echo got $x; cat`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newShell(t)
			r.type_("$SELF '" + script + "'\r")
			r.until("the agent", func() bool {
				return strings.Contains(r.text(), "AGENT\n") || strings.HasSuffix(strings.TrimSpace(r.text()), "AGENT")
			})
			r.type_("\x1a")
			r.until("the shell's word", func() bool { return strings.Contains(r.text(), "Stopped") })
			r.sane()
			r.type_("clear; fg\r")
			last := "AGENT"
			if strings.Contains(script, "BACK") {
				last = "BACK"
			}
			r.until("the agent again", func() bool { return strings.HasSuffix(strings.TrimSpace(r.text()), last) })
			r.type_("word\r")
			r.until("its answer", func() bool { return strings.Contains(r.text(), "got word") })
			r.type_("\x04")
			r.until("the end", func() bool { return strings.Contains(r.text(), "countersign: pid") })
			r.sane()
		})
	}
	t.Run("a shell inside", func(t *testing.T) {
		t.Parallel()
		r := newShell(t)
		r.type_("$SELF 'PS1=INNER- exec bash --norc --noediting -i'\r")
		r.until("the inner shell", func() bool { return strings.HasSuffix(strings.TrimSpace(r.text()), "INNER-") })
		r.type_("\x1a") // which it ignores at its prompt
		r.type_("sh -c 'echo RUN''S; cat'\r")
		r.until("its job", func() bool { return strings.Contains(r.text(), "RUNS") })
		r.type_("\x1a")
		r.until("the inner shell's word", func() bool {
			return strings.Contains(r.text(), "Stopped") && strings.HasSuffix(strings.TrimSpace(r.text()), "INNER-")
		})
		r.type_("exit\rexit\r")
		r.until("the end", func() bool { return strings.Contains(r.text(), "countersign: pid") })
	})
}
