package sandbox

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/landlock"
)

// pids is more than a test's sandbox ever has given out.
const pids = 500

// watch opens the environment, the memory and the arguments of every other process there may
// be, listed or not, over and over. It ends well when one opened, and with errNot
// if none had when the file it is told of appeared.
func watch(a []string) error {
	for {
		for pid := 1; pid < pids; pid++ {
			for _, name := range []string{"environ", "mem", "cmdline"} {
				if f, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, name)); err == nil {
					f.Close()
					if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", pid)); err == nil {
						continue // a thread of its own
					}
					fmt.Println("opened", name)
					return nil
				}
			}
		}
		if _, err := os.Stat(a[0]); err == nil {
			return errNot
		}
	}
}

// TestApartFromBirth: of a command that is started apart, and of all that it
// starts, no other command gets to see environment or memory, not in the moment
// of an exec either. Within one command's tree everybody does.
func TestApartFromBirth(t *testing.T) {
	if landlock.ABI() < landlock.Min {
		t.Skip("NOT PROTECTED HERE: the kernel has no Landlock, commands started apart can read each other")
	}
	g := newGround(t)
	stop := g.project + "/stop"
	said, exit := g.run(t, "sleep 60 & "+g.exe+" __attack watch "+stop)
	if exit != 0 || !strings.Contains(said, "opened") {
		t.Fatalf("in one tree nothing is read, so that the rest proves nothing: exit %d, %s", exit, said)
	}

	out, err := os.CreateTemp(g.base, "out")
	if err != nil {
		t.Fatal(err)
	}
	g.Stdout, g.Stderr = out, out
	s := g.start(t, g.exe, "__attack", "watch", stop)
	if err := s.Go(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		p, err := s.Spawn(Command{Argv: []string{"bash", "-c", "sh -c 'sleep 0.01' & sh -c 'exec sleep 0.01'; wait"}, Env: g.Env, Dir: g.project})
		if err != nil {
			break // the sandbox ended with its agent
		}
		supervise(p)
		if p.Go() == nil {
			_, _ = p.Wait()
		}
	}
	write(t, stop, "")
	exit, err = s.Wait()
	b, _ := os.ReadFile(out.Name())
	if exit != 1 || err != nil || strings.TrimSpace(string(b)) != errNot.Error() {
		t.Errorf("exit %d, %v: %s", exit, err, b)
	}
}
