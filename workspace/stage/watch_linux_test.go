package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// watching runs Watch and keeps what it reports.
type watching struct {
	mu     sync.Mutex
	events []Event
	stop   func()
}

func watch(t testing.TB, s *Staging) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &watching{}
	done := make(chan error)
	go func() {
		done <- s.Watch(ctx, func(e Event) {
			w.mu.Lock()
			w.events = append(w.events, e)
			w.mu.Unlock()
		})
	}()
	var once sync.Once
	w.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(w.stop)
	return w
}

func (w *watching) saw(kind EventKind, path string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Kind == kind && e.Path == path {
			return true
		}
	}
	return false
}

// eventually polls until ok. Watch promises a second; a busy machine may take more.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Errorf("not within the time: %s", what)
}

func has(path, text string) func() bool {
	return func() bool {
		b, err := os.ReadFile(path)
		return err == nil && string(b) == text
	}
}

func absent(path string) func() bool {
	return func() bool {
		_, err := os.Lstat(path)
		return errors.Is(err, os.ErrNotExist)
	}
}

func TestWatchCarriesEditsIn(t *testing.T) {
	e := newEnv(t, project(t))
	s := e.start(t, nil)
	w := watch(t, s)
	in := func(p string) string { return filepath.Join(s.tree.Path, p) }
	write(t, in("lib/one.txt"), "agent\n")
	eventually(t, "the base of an agent's edit is saved", func() bool { _, err := os.Lstat(filepath.Join(s.saved.Path, sumHex("one\n"))); return err == nil })

	start := time.Now()
	write(t, filepath.Join(e.root, "src/a.go"), "package person\n")
	eventually(t, "an edit", has(in("src/a.go"), "package person\n"))
	t.Logf("an edit took %v", time.Since(start))
	sh(t, e.root, `mkdir -p deep/er; echo x > deep/er/x.txt; rm src/b.go; printf v > .a.swp; mv .a.swp run.sh; chmod 644 run.sh`)
	eventually(t, "a file in a new directory", has(in("deep/er/x.txt"), "x\n"))
	eventually(t, "a deletion", absent(in("src/b.go")))
	eventually(t, "a save by rename", has(in("run.sh"), "v"))
	write(t, filepath.Join(e.root, "deep/er/y.txt"), "y")
	eventually(t, "a file in a directory that was new", has(in("deep/er/y.txt"), "y"))

	write(t, filepath.Join(e.root, "lib/one.txt"), "person\n")
	eventually(t, "a conflict", func() bool { return w.saw(Conflict, "lib/one.txt") })
	if got := read(t, in("lib/one.txt")); got != "agent\n" {
		t.Errorf("the agent's edit was lost: %q", got)
	}
	if got := fmt.Sprint(s.Conflicts()); got != "[lib/one.txt]" {
		t.Errorf("conflicts: %s", got)
	}
	b, err := s.BaseBytes("lib/one.txt")
	must(t, err)
	if string(b) != "one\n" {
		t.Errorf("base: %q", b)
	}
	if got := changes(t, s); got != "M lib/one.txt\n" {
		t.Errorf("changes:\n%s", got)
	}
}

// A watch that outlived the layer would hold its lock in each git that it starts,
// and the next session would not go on with it.
func TestCloseEndsTheWatch(t *testing.T) {
	e := newEnv(t, project(t))
	s := e.start(t, nil)
	write(t, filepath.Join(s.tree.Path, "lib/one.txt"), "agent\n")
	ended := make(chan error, 1)
	began := make(chan struct{})
	go func() {
		close(began)
		ended <- s.Watch(context.Background(), func(Event) {})
	}()
	<-began
	must(t, s.Close())
	must(t, <-ended)
	must(t, s.Watch(context.Background(), func(Event) {})) // too late: nothing to watch
}

func TestWatchNeverCopiesADeniedName(t *testing.T) {
	e := newEnv(t, project(t))
	s := e.start(t, nil)
	w := watch(t, s)
	for i := range 50 { // saves by rename, links and new names
		sh(t, e.root, fmt.Sprintf(`mkdir -p d%d; echo SECRET > d%d/.env; printf SECRET%d > .t; mv .t .env; ln d%d/.env hard%d`, i, i, i, i, i))
	}
	sh(t, e.root, "echo SECRET > later; ln later sub-later")
	eventually(t, "a file with two names", has(filepath.Join(s.tree.Path, "sub-later"), "SECRET\n"))
	sh(t, e.root, "ln later later.pem")
	eventually(t, "a file that became another name of a denied one", func() bool { return w.saw(Denied, "sub-later") })
	eventually(t, "the last name is reported", func() bool { return w.saw(Denied, "d49/.env") && w.saw(Denied, "hard49") })
	w.stop()
	sh(t, s.layer, `! grep -r SECRET tree tmp saved`)
	if got := changes(t, s); got != "" {
		t.Errorf("changes:\n%s", got)
	}
	if len(s.Tripwires()) < 101 {
		t.Errorf("%d tripwires", len(s.Tripwires()))
	}
}

func TestBranchSwitchOutsideReachesTheSession(t *testing.T) {
	e := newEnv(t, project(t))
	sh(t, e.root, `git checkout -q -b other; for i in $(seq 300); do echo $i > f$i; done; git rm -q src/b.go; git add -A; git commit -qm other; git checkout -q main`)
	s := e.start(t, nil)
	w := watch(t, s)
	sh(t, e.root, `git checkout -q other`)
	eventually(t, "the branch", func() bool { return w.saw(Branch, "") })
	eventually(t, "the files", has(filepath.Join(s.tree.Path, "f300"), "300\n"))
	eventually(t, "the rest", absent(filepath.Join(s.tree.Path, "src/b.go")))
	var out string
	eventually(t, "a clean status", func() bool {
		out = mustInside(t, s, "git branch --show-current; git status --porcelain")
		return out == "other\n"
	})
	if out != "other\n" {
		t.Errorf("inside:\n%s", out)
	}
	if got := changes(t, s); got != "" {
		t.Errorf("changes:\n%s", got)
	}
}

func TestDeletedOutsideChangedInsideIsAConflict(t *testing.T) {
	e := newEnv(t, project(t))
	s := e.start(t, nil)
	w := watch(t, s)
	write(t, filepath.Join(s.tree.Path, "src/a.go"), "agent")
	sh(t, e.root, "rm -r src")
	eventually(t, "conflict", func() bool { return w.saw(Conflict, "src/a.go") })
	eventually(t, "the other file goes", absent(filepath.Join(s.tree.Path, "src/b.go")))
	if got := changes(t, s); got != "M src/a.go\n" {
		t.Errorf("changes:\n%s", got)
	}
}
