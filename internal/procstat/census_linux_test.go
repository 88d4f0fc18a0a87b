package procstat

import (
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
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

// A thread's process is its leader's, whichever way it is found.
func TestOfThread(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ready, done := make(chan int), make(chan struct{})
	defer close(done)
	go func() {
		runtime.LockOSThread() // on another thread than this one
		ready <- unix.Gettid()
		<-done
	}()
	for _, tid := range []int{<-ready, unix.Gettid(), os.Getpid()} {
		for _, old := range []bool{false, true} {
			var c Census
			c.old.Store(old)
			var buf [1024]byte
			want, err := c.Identify(os.Getpid(), buf[:])
			if err != nil {
				t.Fatal(err)
			}
			if leader, who, err := c.OfThread(tid, buf[:]); err != nil || leader != os.Getpid() || who != want {
				t.Errorf("thread %d, old %v: %d %+v %v, want %d %+v", tid, old, leader, who, err, os.Getpid(), want)
			}
		}
	}
}
