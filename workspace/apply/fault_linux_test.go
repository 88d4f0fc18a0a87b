package apply_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/workspace/apply"
	"github.com/countersign/countersign/workspace/store"
)

// everything is one edit that uses each way in which a path can change.
var everything = map[string]string{
	"a.txt": "ONE\ntwo\nthree\nfour\nfive\nsix\nseven\n", "x/y/new.txt": "new\n", "dir/deep/c.txt": "DEL", "bin": "\x00\x02", "run.sh": "echo hi\n",
	"link": "->dir/b.txt", "dir/b.txt": "DEL", "moved/b.txt": "b\n", "new\nline": "DEL", "new\nline/inner": "i\n",
}

// job is what the child process of a fault test is told.
type childJob struct {
	Options apply.Options
	Store   string
	Do      string // apply, undo, recover
	Plain   bool   // as on a file system that cannot exchange two names
	Die     int    // the step at which it kills itself
}

// TestMain lets this binary be the process that is killed.
func TestMain(m *testing.M) {
	if p := os.Getenv("APPLY_CHILD"); p != "" {
		os.Exit(child(p))
	}
	os.Exit(m.Run())
}

func child(p string) int {
	var j childJob
	b, err := os.ReadFile(p)
	if err == nil {
		err = json.Unmarshal(b, &j)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if j.Options.Store, err = store.Open(j.Store); err != nil {
		return 2
	}
	n := 0
	j.Options.Step = func(s apply.Step) error {
		if n == j.Die {
			fmt.Println(s)
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		n++
		return nil
	}
	j.Options.Record = func(context.Context, countersign.Record) error { return nil }
	if j.Plain {
		j.Options = apply.WithoutExchange(j.Options)
	}
	switch j.Do {
	case "undo":
		_, err = apply.Undo(context.Background(), j.Options)
	case "recover":
		_, err = apply.RecoverWith(j.Options)
	default:
		_, err = apply.Apply(context.Background(), j.Options)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// child prepares a process that applies and kills itself at a step.
func (w *world) child(do string, plain bool, die int) *exec.Cmd {
	w.t.Helper()
	o := w.options()
	o.Record, o.Now, o.Store = nil, nil, nil
	type wire struct {
		Options struct {
			Root, StateDir, Session string
			Hunks                   []countersign.Hunk
		}
		Store, Do string
		Plain     bool
		Die       int
	}
	var j wire
	j.Options.Root, j.Options.StateDir, j.Options.Session, j.Options.Hunks = o.Root, o.StateDir, o.Session, o.Hunks
	j.Store, j.Do, j.Plain, j.Die = filepath.Join(w.state, "review", "store"), do, plain, die
	b, err := json.Marshal(j)
	must(w.t, err)
	p := filepath.Join(w.t.TempDir(), "job")
	must(w.t, os.WriteFile(p, b, 0o600))
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "APPLY_CHILD="+p)
	return cmd
}

// runChild runs an apply that kills itself at a step, and says at which, or ""
// if it came to its end.
func (w *world) runChild(do string, plain bool, die int) string {
	w.t.Helper()
	cmd := w.child(do, plain, die)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if ws, ok := exit.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
			w.t.Fatalf("child: %v\n%s", err, exit.Stderr)
		}
		return strings.TrimSpace(string(out))
	}
	must(w.t, err)
	return ""
}

func TestKilledAtEveryStep(t *testing.T) {
	t.Run("exchange", func(t *testing.T) { killedAtEveryStep(t, false) })
	t.Run("without", func(t *testing.T) { killedAtEveryStep(t, true) })
}

func killedAtEveryStep(t *testing.T, plain bool) {
	seen := map[string]int{}
	for die := 0; ; die++ {
		w := newWorld(t, project)
		stage(t, w, everything)
		w.acceptAll()
		before, after := snapshot(t, w.real), snapshot(t, w.staged)
		at := w.runChild("apply", plain, die)
		if at == "" {
			w.wantReal(after)
			break
		}
		seen[at]++
		what, err := apply.Recover(w.state, w.real)
		must(t, err)
		now := snapshot(t, w.real)
		switch {
		case cmp.Equal(now, before):
			if strings.HasPrefix(what, "finished") {
				t.Errorf("step %d (%s): %q, and the tree is old", die, at, what)
			}
		case cmp.Equal(now, after):
			if strings.HasPrefix(what, "took back") {
				t.Errorf("step %d (%s): %q, and the tree is new", die, at, what)
			}
			if at != string(apply.StepClean) && at != string(apply.StepDone) {
				t.Errorf("killed before %s, and the tree is new", at)
			}
		default:
			t.Fatalf("step %d (%s): neither old nor new after %q:\n%s", die, at, what, cmp.Diff(before, now))
		}
		if what, err := apply.Recover(w.state, w.real); what != "" || err != nil {
			t.Errorf("a second recovery does %q, %v", what, err)
		}
		// And then it works as if nothing had been.
		if cmp.Equal(now, before) {
			_, err := w.apply()
			must(t, err)
		}
		w.wantReal(after)
		_, err = apply.Undo(t.Context(), w.options())
		must(t, err)
		w.wantReal(before)
	}
	for _, s := range []apply.Step{apply.StepPlan, apply.StepImages, apply.StepJournal, apply.StepRecord, apply.StepTemp, apply.StepSwap, apply.StepVerify, apply.StepCommit, apply.StepClean, apply.StepDone} {
		if seen[string(s)] == 0 {
			t.Errorf("nobody was killed at %s", s)
		}
	}
	t.Logf("killed at %v", seen)
}

// A recovery that is killed too is taken up by the next.
func TestRecoveryKilledAtEveryStep(t *testing.T) {
	for _, plain := range []bool{false, true} {
		for _, first := range []int{10, 18, 22, 29} { // among the temporaries, the swaps, the checks
			for die, kills := 0, 0; ; die++ {
				w := newWorld(t, project)
				stage(t, w, everything)
				w.acceptAll()
				before := snapshot(t, w.real)
				if at := w.runChild("apply", plain, first); at == "" || at == string(apply.StepClean) {
					t.Fatalf("the first was to be killed before the commit, not at %q", at)
				}
				at := w.runChild("recover", plain, die)
				if at == "" {
					if kills < 5 {
						t.Errorf("only %d kills", kills)
					}
					w.wantReal(before)
					break
				}
				kills++
				if _, err := apply.Recover(w.state, w.real); err != nil {
					t.Fatal(err)
				}
				w.wantReal(before)
			}
		}
	}
}

func TestUndoKilledAtEveryStep(t *testing.T) {
	kills := 0
	for die := 0; ; die++ {
		w := newWorld(t, project)
		stage(t, w, everything)
		w.acceptAll()
		before, after := snapshot(t, w.real), snapshot(t, w.staged)
		_, err := w.apply()
		must(t, err)
		at := w.runChild("undo", false, die)
		if at == "" {
			w.wantReal(before)
			break
		}
		kills++
		_, err = apply.Recover(w.state, w.real)
		must(t, err)
		now := snapshot(t, w.real)
		if !cmp.Equal(now, before) && !cmp.Equal(now, after) {
			t.Fatalf("step %d (%s): neither old nor new:\n%s", die, at, cmp.Diff(after, now))
		}
		if cmp.Equal(now, after) { // the undo can be asked for again
			_, err := apply.Undo(t.Context(), w.options())
			must(t, err)
		}
		w.wantReal(before)
	}
	if kills < 20 {
		t.Errorf("only %d kills", kills)
	}
}

// A fault at any step before the commit leaves the old tree; a person's edit in
// the way of the roll-back stays.
func TestFaultAtEveryStep(t *testing.T) {
	fault := errors.New("injected")
	for n := 0; ; n++ {
		w := newWorld(t, project)
		stage(t, w, everything)
		w.acceptAll()
		before, after := snapshot(t, w.real), snapshot(t, w.staged)
		o := w.options()
		i, at := 0, apply.Step("")
		o.Step = func(s apply.Step) error {
			if i++; i == n+1 {
				at = s
				return fault
			}
			return nil
		}
		_, err := apply.Apply(t.Context(), o)
		if at == "" {
			must(t, err)
			w.wantReal(after)
			return
		}
		if at == apply.StepClean || at == apply.StepDone {
			must(t, err) // it is in; what is left is tidied at the next start
			what, err := apply.Recover(w.state, w.real)
			must(t, err)
			if !strings.HasPrefix(what, "finished") {
				t.Errorf("%s: recovery says %q", at, what)
			}
			w.wantReal(after)
			continue
		}
		if !errors.Is(err, fault) {
			t.Errorf("%s: %v", at, err)
		}
		w.wantReal(before)
		if what, err := apply.Recover(w.state, w.real); what != "" || err != nil {
			t.Errorf("%s: recovery after a clean roll-back does %q, %v", at, what, err)
		}
	}
}

// A real full disk, at every size of what is left: a small tmpfs holds the
// tree and the state.
func TestFullDisk(t *testing.T) {
	mnt := t.TempDir()
	if err := syscall.Mount("tmpfs", mnt, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("no mount here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(mnt, syscall.MNT_DETACH) })
	fails, oks := 0, 0
	for left := 0; oks < 6; left += 4 << 10 {
		for _, where := range []string{"tree", "state"} {
			w := newWorld(t, project)
			big := map[string]string{"a.txt": strings.Repeat("x\n", 30_000), "n/b.txt": strings.Repeat("y\n", 30_000), "dir/b.txt": "DEL"}
			stage(t, w, big)
			w.acceptAll()
			o := w.options()
			d := filepath.Join(mnt, fmt.Sprintf("%d-%s", left, where))
			if where == "tree" {
				must(t, os.Mkdir(d, 0o700))
				put(t, d, project)
				o.Root = d
			} else {
				must(t, os.Mkdir(d, 0o700))
				o.StateDir = d
			}
			before := snapshot(t, o.Root)
			fill(t, mnt, int64(left))
			_, err := apply.Apply(t.Context(), o)
			must(t, os.Remove(mnt+"/ballast"))
			if err == nil {
				oks++
			} else {
				fails++
				var e *countersign.Error
				if !errors.As(err, &e) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(countersign.RemedyOf(err), "disk space") {
					t.Errorf("%d bytes left for the %s: %v (%s)", left, where, err, countersign.RemedyOf(err))
				}
				if d := cmp.Diff(before, snapshot(t, o.Root)); d != "" {
					t.Errorf("%d bytes left for the %s: the tree changed\n%s", left, where, d)
				}
				if what, err := apply.Recover(o.StateDir, o.Root); what != "" || err != nil {
					t.Errorf("recovery after a clean roll-back does %q, %v", what, err)
				}
			}
			must(t, os.RemoveAll(d))
		}
		if left > 4<<20 {
			t.Fatal("never enough")
		}
	}
	if fails < 5 {
		t.Errorf("only %d full disks", fails)
	}
	t.Logf("%d full disks", fails)
}

// fill leaves that many bytes free.
func fill(t *testing.T, mnt string, left int64) {
	t.Helper()
	f, err := os.Create(mnt + "/ballast")
	must(t, err)
	block := make([]byte, 4096)
	size := int64(0)
	for {
		if _, err := f.Write(block); err != nil {
			break
		}
		size += 4096
	}
	must(t, f.Truncate(max(0, size-left)))
	must(t, f.Close())
}

// A person who edits right after a file was put, before a roll-back, keeps the
// edit; one who edits between plan and put is merged or set aside.
func TestEditsDuringTheApply(t *testing.T) {
	for _, at := range []apply.Step{apply.StepJournal, apply.StepRecord, apply.StepTemp, apply.StepSwap, apply.StepVerify} {
		t.Run(string(at), func(t *testing.T) {
			w := newWorld(t, project)
			stage(t, w, map[string]string{"a.txt": "ONE\ntwo\nthree\nfour\nfive\nsix\nseven\n", "bin": "\x00agent", "new": "new\n"})
			w.acceptAll()
			o := w.options()
			once := true
			o.Step = func(s apply.Step) error {
				if s == at && once {
					once = false
					// in place, as an editor that keeps the file open
					f, err := os.OpenFile(w.base+"/../real/a.txt", os.O_WRONLY|os.O_APPEND, 0)
					must(t, err)
					fmt.Fprint(f, "person\n")
					f.Close()
					put(t, w.real, map[string]string{"bin": "\x00person"})
				}
				return nil
			}
			res, err := apply.Apply(t.Context(), o)
			now := snapshot(t, w.real)
			if !strings.HasSuffix(now["a.txt"], "person\n") || now["bin"] != "\x00person" {
				t.Errorf("a person's edit is lost: %q (%v)", now, err)
			}
			if at != apply.StepVerify && (!strings.HasPrefix(now["a.txt"], "ONE\n") || len(res.Stale) != 1 || countersign.CodeOf(err) != countersign.EPartly) {
				t.Errorf("%q stale %v: %v", now["a.txt"], res.Stale, err)
			}
			for n := range now {
				if strings.Contains(n, ".countersign-") {
					t.Errorf("left behind: %q", n)
				}
			}
		})
	}
}

// A writer that had the old file open before it was displaced.
func TestWriterWithTheOldFileOpen(t *testing.T) {
	w := newWorld(t, project)
	stage(t, w, map[string]string{"bin": "\x00agent", "new": "new\n"})
	w.acceptAll()
	f, err := os.OpenFile(w.real+"/bin", os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	defer f.Close()
	o := w.options()
	once := true
	o.Step = func(s apply.Step) error {
		if s == apply.StepVerify && once {
			once = false
			fmt.Fprint(f, "person")
		}
		return nil
	}
	res, err := apply.Apply(t.Context(), o)
	if countersign.CodeOf(err) != countersign.EPartly || len(res.Stale) != 1 {
		t.Errorf("%v %v", res.Stale, err)
	}
	fmt.Fprint(f, ", and later")
	want := snapshot(t, w.base)
	want["bin"], want["new"] = "\x00\x01person, and later", "new\n"
	w.wantReal(want)
}

// A program that has the file open and writes only after the apply is over.
func TestWriterThatWaits(t *testing.T) {
	w := newWorld(t, project)
	stage(t, w, map[string]string{"bin": "\x00agent", "new": "new\n"})
	w.acceptAll()
	f, err := os.OpenFile(w.real+"/bin", os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	defer f.Close()
	res, err := w.apply()
	if countersign.CodeOf(err) != countersign.EPartly || len(res.Stale) != 1 {
		t.Errorf("%v %v", res.Stale, err)
	}
	fmt.Fprint(f, "later")
	want := snapshot(t, w.base)
	want["bin"], want["new"] = "\x00\x01later", "new\n"
	w.wantReal(want)
}

// A directory that goes because it is empty comes back as it was.
func TestRemovedDirectoriesComeBackWithTheirPermissions(t *testing.T) {
	for _, how := range []string{"roll-back", "undo"} {
		w := newWorld(t, project)
		must(t, os.Chmod(w.real+"/dir/deep", 0o700))
		stage(t, w, map[string]string{"dir/deep/c.txt": "DEL", "dir/b.txt": "DEL", "dir": "a file now\n"})
		must(t, os.Mkdir(w.real+"/dir/empty", 0o711))
		w.acceptAll()
		o := w.options()
		if how == "roll-back" {
			o.Step = func(s apply.Step) error {
				if s == apply.StepCommit {
					return errors.New("injected")
				}
				return nil
			}
		}
		_, err := apply.Apply(t.Context(), o)
		if how == "undo" {
			must(t, err)
			_, err = apply.Undo(t.Context(), o)
			must(t, err)
		}
		for d, want := range map[string]os.FileMode{"dir/deep": 0o700, "dir/empty": 0o711} {
			if st, err := os.Stat(filepath.Join(w.real, d)); err != nil || st.Mode().Perm() != want {
				t.Errorf("%s: %s: %v, %v", how, d, st, err)
			}
		}
	}
}

// Killed at any moment at all, not only between two steps.
func TestKilledAtAnyMoment(t *testing.T) {
	n := 60
	if os.Getenv("COUNTERSIGN_LONG") != "" {
		n = 2_000
	}
	r := rand.New(rand.NewPCG(1, 2))
	old, new := 0, 0
	for range n {
		w := newWorld(t, project)
		stage(t, w, everything)
		w.acceptAll()
		before, after := snapshot(t, w.real), snapshot(t, w.staged)
		cmd := w.child("apply", false, 1<<30)
		must(t, cmd.Start())
		for end := time.Now().Add(time.Minute); time.Now().Before(end); { // once the lock is there, the apply begins
			if _, err := os.Stat(filepath.Join(w.state, "apply", "lock")); err == nil {
				break
			}
		}
		<-time.After(time.Duration(r.IntN(2_500)) * time.Microsecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_, err := apply.Recover(w.state, w.real)
		must(t, err)
		switch now := snapshot(t, w.real); {
		case cmp.Equal(now, before):
			old++
		case cmp.Equal(now, after):
			new++
		default:
			t.Fatalf("neither old nor new:\n%s", cmp.Diff(before, now))
		}
	}
	t.Logf("%d times the old tree, %d times the new", old, new)
}
