package procstat

import (
	"os"
	"os/exec"
	"testing"
)

// Both ways must name the parent, tell two processes apart, know which is the
// older, and lose a process that has ended.
func TestIdentify(t *testing.T) {
	for name, old := range map[string]bool{"pidfs": false, "stat": true} {
		t.Run(name, func(t *testing.T) {
			var c Census
			c.old.Store(old)
			if _, err := byPidfd(os.Getpid()); err != nil && !old {
				t.Skipf("NOT TRIED HERE: the kernel has no PIDFD_GET_INFO: %v", err)
			}
			var buf [1024]byte
			us, err := c.Identify(os.Getpid(), buf[:])
			if err != nil || us.Parent != os.Getppid() || us.ID == 0 || !old && us.UID != os.Geteuid() {
				t.Fatalf("%+v, %v", us, err)
			}
			cmd := exec.Command("cat")
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			child, err := c.Identify(cmd.Process.Pid, buf[:])
			again, _ := c.Identify(cmd.Process.Pid, buf[:])
			if err != nil || child.Parent != os.Getpid() || child.ID < us.ID || !old && child.ID == us.ID || again != child {
				t.Errorf("%+v, then %+v, %v; parent %+v", child, again, err, us)
			}
			_ = in.Close()
			if err := cmd.Wait(); err != nil {
				t.Fatal(err)
			}
			if who, err := c.Identify(cmd.Process.Pid, buf[:]); err == nil && who.ID == child.ID {
				t.Errorf("it has ended, and is still %+v", who)
			}
		})
	}
}
