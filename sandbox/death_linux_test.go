package sandbox

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sessionMain is a session process for a test to kill: it starts the sandbox of
// the Config on its standard input and then does nothing.
func sessionMain() {
	var c Config
	if err := json.NewDecoder(os.Stdin).Decode(&c); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	s, err := Start(context.Background(), c)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	supervise(s.Process)
	if err := s.Go(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("up", s.NSDPID, s.InitPID)
	select {}
}

// TestDeath: whatever of the session dies, all of it dies.
func TestDeath(t *testing.T) {
	for _, who := range []string{"session", "nsd", "init"} {
		t.Run(who, func(t *testing.T) {
			g := newGround(t)
			g.Argv = []string{"bash", "-c", "trap '' TERM HUP; (setsid bash -c 'trap \"\" HUP; while :; do echo x >> alive; sleep 0.01; done' &) ; sleep 1000"}
			plan, err := json.Marshal(g.Config)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(g.Exe, "__session")
			cmd.Stdin = strings.NewReader(string(plan))
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil || !strings.HasPrefix(line, "up") {
				t.Fatalf("%v %s", err, line)
			}
			var nsd, init int
			if _, err := fmt.Sscanf(line, "up %d %d", &nsd, &init); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the daemon runs", func() bool { st, err := os.Stat(g.project + "/alive"); return err == nil && st.Size() > 0 })
			pidfd, err := unix.PidfdOpen(init, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(pidfd)
			target := map[string]int{"session": cmd.Process.Pid, "nsd": nsd, "init": init}[who]
			at := time.Now()
			if err := unix.Kill(target, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			eventually(t, "init is dead", func() bool {
				n, _ := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 0)
				return n == 1
			})
			t.Log("all dead after", time.Since(at))
			before, err := os.Stat(g.project + "/alive")
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
			after, err := os.Stat(g.project + "/alive")
			if err != nil || after.Size() != before.Size() {
				t.Error("the daemon lives on")
			}
		})
	}
}
