//go:build amd64 || arm64

package execgate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
)

// attacks builds the C attacks, and the evil twin that marks whenever it runs.
func attacks(t testing.TB) (good, evil string) {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("NOT PROTECTED BY THIS TEST HERE: gcc is missing")
	}
	dir := t.TempDir()
	good, evil = filepath.Join(dir, "attack"), filepath.Join(dir, "evil")
	for out, def := range map[string]string{good: "-DGOOD", evil: "-DEVIL"} {
		if b, err := exec.Command(gcc, "-w", "-O1", "-pthread", def, "-o", out, "testdata/attack.c").CombinedOutput(); err != nil {
			t.Fatalf("gcc: %v\n%s", err, b)
		}
		if err := os.Chmod(out, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return good, evil
}

func sum(t testing.TB, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// looksEvil is all that the judge knows: it refuses what it is shown as evil,
// and every program that is not exactly the good one. What marks nevertheless has run unseen.
func looksEvil(a countersign.Action, good string) bool {
	e := a.Exec
	return e.Exe.SHA256 != good || slices.Contains(e.Argv, "evil") || slices.Contains(e.Env, "WORD=evil") ||
		strings.HasSuffix(e.Cwd, "evildir") || len(e.Argv) > 1 && e.Argv[1] == "check-stdin" && e.Stdin == countersign.StdinPipe
}

func TestRaces(t *testing.T) {
	good, evil := attacks(t)
	goodSum := sum(t, good)
	n := rounds(2000)
	for _, mode := range []string{"argv", "env", "path", "rename", "symlink", "inplace", "dir", "cwd", "stdin"} {
		t.Run(mode, func(t *testing.T) {
			for _, off := range []bool{true, false} {
				g := newGated(t)
				g.off = off
				marks := g.prepareRace(good, evil)
				var denied atomic.Int32
				g.judge.decide = func(_ context.Context, a countersign.Action) Answer {
					if looksEvil(a, goodSum) {
						denied.Add(1)
						return Answer{Errno: unix.EACCES}
					}
					return Answer{}
				}
				count := n
				if off {
					count = 200
				}
				if mode == "stdin" { // bound where somebody may be asked: the agent starts it itself
					g.cfg.Launch = Launch{Argv: []string{good, "race", mode, fmt.Sprint(count)}}
				}
				if off {
					g.worksBare(marks, good, "race", mode, fmt.Sprint(count))
					continue
				}
				if code := g.run(good, "race", mode, fmt.Sprint(count)); code != 0 {
					t.Fatalf("exit %d", code)
				}
				b, _ := os.ReadFile(marks)
				killed := 0
				for _, o := range g.judge.finished {
					if o.Status == statusKilled && !strings.HasPrefix(o.Error, "signal") {
						killed++
					}
				}
				t.Logf("%d attempts: %d asked, %d refused as seen, %d started, %d killed at the exec stop, %d ran unseen",
					count, len(g.judge.seen), denied.Load(), len(g.judge.started), killed, len(b))
				if len(b) != 0 {
					t.Errorf("%d of %d ran something that nobody had seen", len(b), count)
				}
			}
		})
	}
}

// worksBare is the control of a race: the attack as often as it takes to win once,
// since a busy machine may let it lose hundreds of times in a row.
func (g *gated) worksBare(marks string, attack ...string) {
	g.t.Helper()
	for range 100 {
		if code := g.run(attack...); code != 0 {
			g.t.Fatalf("exit %d", code)
		}
		if b, _ := os.ReadFile(marks); len(b) > 0 {
			return
		}
	}
	g.t.Error("control: the attack does not work even without the gate")
}

func (g *gated) prepareRace(good, evil string) (marks string) {
	t := g.t
	t.Helper()
	cp := func(from string, to ...string) {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		p := filepath.Join(append([]string{g.dir}, to...)...)
		if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cp(good, "good")
	cp(evil, "evil")
	cp(good, "target")
	cp(good, "d", "target")
	cp(evil, "d.evil", "target")
	for _, d := range []string{"gooddir", "evildir"} {
		if err := os.Mkdir(filepath.Join(g.dir, d), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	marks = filepath.Join(g.dir, "marks")
	g.env = append(g.env, "MARKS="+marks, "MARKSLINE=MARKS="+marks)
	return marks
}
