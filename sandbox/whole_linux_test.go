package sandbox

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/internal/landlock"
)

// linger starts one that goes as far from this process as it can, says its pid,
// and waits for nobody.
func linger(a []string) error {
	if len(a) > 0 { // the one left behind
		for {
			unix.Pause()
		}
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	c := exec.Command("setsid", "-f", exe, "__attack", "linger", "x")
	c.Stdout = os.Stdout
	return c.Run()
}

// alive are the pids on this host of the processes whose command line ends so.
func alive(t *testing.T, tail string) (pids []int) {
	t.Helper()
	all, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if strings.HasSuffix(string(b), tail) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// TestWholeEndsWithItsCommand: what a command left behind, in a session and a group
// of its own and reparented, ends before the command is said to have ended; the
// agent, who is beside it, lives on.
func TestWholeEndsWithItsCommand(t *testing.T) {
	if landlock.ABI() < landlock.Signals {
		t.Skip("NOT PROTECTED HERE: no command is lent a secret on this kernel")
	}
	g := newGround(t)
	s := g.start(t, "sleep", "100")
	if err := s.Go(); err != nil {
		t.Fatal(err)
	}
	for _, whole := range []bool{false, true} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.Spawn(Command{Path: g.exe, Argv: []string{"attack", "__attack", "linger"}, Env: g.Env, Dir: g.project, Stdout: w, Whole: whole})
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
		supervise(p)
		if err := p.Go(); err != nil {
			t.Fatal(err)
		}
		if exit, err := p.Wait(); exit != 0 || err != nil {
			t.Fatalf("exit %d, %v", exit, err)
		}
		tail := g.exe + "\x00__attack\x00linger\x00x\x00"
		if whole {
			// Its pipe ends when the last that holds it has.
			if _, err := bufio.NewReader(r).ReadString(0); err == nil {
				t.Error("the pipe did not end")
			}
			eventually(t, "what was left behind to end", func() bool { return len(alive(t, tail)) == 0 })
		} else {
			eventually(t, "one to be left behind", func() bool { return len(alive(t, tail)) == 1 })
			for _, pid := range alive(t, tail) { // or it would be counted next
				_ = unix.Kill(pid, unix.SIGKILL)
			}
			eventually(t, "it to be gone", func() bool { return len(alive(t, tail)) == 0 })
		}
		r.Close()
	}
	select {
	case <-s.Done():
		t.Error("the agent ended with it")
	default:
	}
}
