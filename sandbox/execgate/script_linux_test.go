//go:build amd64 || arm64

package execgate

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
)

// binder seals by a bind mount, as the view does.
type binder struct {
	dir string
	n   atomic.Int32
}

func (b *binder) Pin(path string, content []byte) (Pin, error) {
	name := filepath.Join(b.dir, fmt.Sprint(b.n.Add(1)))
	if err := os.WriteFile(name, content, 0o755); err != nil {
		return Pin{}, err
	}
	at, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return Pin{}, err
	}
	defer unix.Close(at)
	tree, err := unix.OpenTree(unix.AT_FDCWD, name, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return Pin{}, err
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return Pin{}, err
	}
	if err := unix.MoveMount(tree, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
		return Pin{}, err
	}
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		return Pin{}, err
	}
	return Pin{Dev: uint64(st.Dev), Ino: st.Ino, Release: func() {
		_ = unix.Unmount(fmt.Sprint("/proc/self/fd/", tree), unix.MNT_DETACH)
		unix.Close(tree)
	}}, nil
}

type language struct {
	name, interp, good, evil string
	rounds                   int
}

func languages(t *testing.T) (out []language) {
	all := []language{
		{"sh", "/bin/sh", ":\n", "echo e >>$MARKS\n", 300},
		{"shebang", "", "#!/bin/sh\n:\n", "#!/bin/sh\necho e >>$MARKS\n", 300},
		{"python", "/usr/bin/python3", "pass\n", "import os\nopen(os.environ['MARKS'],'a').write('e')\n", 10},
		{"env shebang", "", "#!/usr/bin/env python3\npass\n", "#!/usr/bin/env python3\nimport os\nopen(os.environ['MARKS'],'a').write('e')\n", 10},
		{"node", "node", "1\n", "require('fs').appendFileSync(process.env.MARKS,'e')\n", 6},
	}
	for _, l := range all {
		need := l.interp
		if strings.HasPrefix(l.name, "env") {
			need = "python3"
		}
		p, err := exec.LookPath(need)
		if need != "" && err != nil {
			t.Logf("NOT PROTECTED BY THIS TEST HERE: no %s", need)
			continue
		}
		if l.interp != "" {
			l.interp = p
		}
		out = append(out, l)
	}
	return out
}

// TestScriptSwaps: what an approved interpreter reads is what was approved.
func TestScriptSwaps(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("NOT PROTECTED BY THIS TEST HERE: the test's own seal needs root; in a session the view has the right")
	}
	good, _ := attacks(t)
	for _, l := range languages(t) {
		for _, mode := range []string{"rename", "inplace", "symlink", "dir"} {
			t.Run(l.name+"/"+mode, func(t *testing.T) {
				for _, off := range []bool{true, false} {
					swapScripts(t, good, l, mode, off)
				}
			})
		}
	}
}

// settle waits until every sealed copy is taken away again.
func (g *gated) settle() {
	if g.sup == nil || g.cfg.Seals == nil {
		return
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); runtime.Gosched() {
		g.sup.cfg.Seals.mu.Lock()
		n := len(g.sup.cfg.Seals.held)
		g.sup.cfg.Seals.mu.Unlock()
		if n == 0 {
			return
		}
	}
	g.t.Error("sealed copies stayed behind")
}

func swapScripts(t *testing.T, attack string, l language, mode string, off bool) {
	g := newGated(t)
	g.off = off
	g.cfg.Seals = NewSeals(&binder{dir: t.TempDir()})
	g.cfg.Writable = func(p string) bool { return strings.HasPrefix(p, g.dir) }
	evil := l.evil
	goodText := l.good + strings.Repeat("#", len(evil)-len(l.good)-1) + "\n"
	if l.name == "node" {
		goodText = l.good + strings.Repeat("/", len(evil)-len(l.good)-1) + "\n"
	}
	marks := filepath.Join(g.dir, "marks")
	for name, text := range map[string]string{"good": goodText, "evil": evil, "target": goodText, "d/target": goodText, "d.evil/target": evil} {
		_ = os.MkdirAll(filepath.Dir(filepath.Join(g.dir, name)), 0o755)
		g.file(name, text, 0o755)
	}
	g.env = append(g.env, "MARKS="+marks, "INTERP="+l.interp)
	var denied atomic.Int32
	g.judge.decide = func(_ context.Context, a countersign.Action) Answer {
		for _, s := range a.Exec.Scripts {
			if string(s.Content) != goodText {
				denied.Add(1)
				return Answer{Errno: unix.EACCES}
			}
		}
		return Answer{}
	}
	n := l.rounds
	if off && n < 60 {
		return // slow languages: the control is the shell's
	}
	if off {
		n = min(n, 60)
	} else if os.Getenv("COUNTERSIGN_LONG") != "" {
		n *= 100
	}
	g.cfg.Launch = Launch{Argv: []string{attack, "race", mode, fmt.Sprint(n)}}
	if off {
		g.worksBare(marks, g.cfg.Launch.Argv...)
		return
	}
	if code := g.run(g.cfg.Launch.Argv...); code != 0 {
		t.Fatalf("exit %d", code)
	}
	g.settle()
	b, _ := os.ReadFile(marks)
	ran := bytes.Count(b, []byte("e"))
	killed, ok, failed := 0, 0, 0
	for _, o := range g.judge.finished {
		switch {
		case o.Status == statusKilled && !strings.HasPrefix(o.Error, "signal"):
			killed++
		case o.Status == "ok":
			ok++
		case o.Status == statusFailed: // it moved away before it could be sealed
			failed++
		}
	}
	why := map[string]int{}
	for _, e := range g.judge.ends {
		_, e, _ = strings.Cut(e, ": ")
		e, _, _ = strings.Cut(e, "/tmp")
		why[e]++
	}
	t.Log(why)
	t.Logf("%d attempts: %d refused as seen, %d failed, %d killed, %d ran well, %d ran unseen", n, denied.Load(), failed, killed, ok, ran)
	if ran != 0 {
		t.Errorf("%d of %d ran a script that nobody had seen", ran, n)
	}
	if ok+killed+failed+int(denied.Load()) == 0 && mode != "dir" {
		t.Errorf("nothing was decided: %q", g.judge.ends)
	}
}

func TestScriptsRunWhenNobodyAttacks(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("NOT PROTECTED BY THIS TEST HERE: the test's own seal needs root")
	}
	for _, l := range languages(t) {
		t.Run(l.name, func(t *testing.T) {
			g := newGated(t)
			g.cfg.Seals = NewSeals(&binder{dir: t.TempDir()})
			g.cfg.Writable = func(p string) bool { return strings.HasPrefix(p, g.dir) }
			g.env = append(g.env, "MARKS="+filepath.Join(g.dir, "marks"))
			g.file("target", l.evil, 0o755)
			g.cfg.Launch = Launch{Argv: []string{"/bin/sh", "-c", l.interp + " ./target && cd / && " + l.interp + " " + filepath.Join(g.dir, "target")}}
			if code := g.run(g.cfg.Launch.Argv...); code != 0 {
				t.Fatalf("exit %d: %q", code, g.judge.ends)
			}
			g.settle()
			if b, _ := os.ReadFile(filepath.Join(g.dir, "marks")); bytes.Count(b, []byte("e")) != 2 {
				t.Errorf("marks %q: %q", b, g.judge.ends)
			}
		})
	}
}

// A thread that is born while its interpreter opens the script is held like the
// others, and is let go like them: one that was not held its process for ever.
func TestInterpreterWithThreads(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("NOT PROTECTED BY THIS TEST HERE: the test's own seal needs root")
	}
	g := newGated(t)
	g.cfg.Seals = NewSeals(&binder{dir: t.TempDir()})
	g.cfg.Writable = func(p string) bool { return strings.HasPrefix(p, g.dir) }
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := g.file("target", "#!"+self+" execgate-interpreter\n", 0o755)
	g.cfg.Launch = Launch{Argv: []string{self, "execgate-helper", "spawn", "30", script}}
	if code := g.run(g.cfg.Launch.Argv...); code != 0 {
		t.Errorf("exit %d: %q", code, g.judge.ends)
	}
	g.settle()
}
