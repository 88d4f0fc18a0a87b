package stage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/workspace/tree"
)

func TestAppliedHunksAreNoChangeAnyMore(t *testing.T) {
	e := newEnv(t, project(t))
	write(t, filepath.Join(e.root, "f"), strings.Repeat("line\n", 20))
	s := e.start(t, nil)
	w := watch(t, s)
	write(t, filepath.Join(s.tree.Path, "f"), "first\n"+strings.Repeat("line\n", 20)+"last\n")
	write(t, filepath.Join(s.tree.Path, "n"), "new\n")
	if got := changes(t, s); got != "M f\nA n\n" {
		t.Fatal(got)
	}
	// One of two hunks is applied by another process that tells nobody.
	write(t, filepath.Join(e.root, "f"), "first\n"+strings.Repeat("line\n", 20))
	write(t, filepath.Join(e.root, "n"), "new\n")
	eventually(t, "the created file is known", func() bool { return changes(t, s) == "M f\n" })
	eventually(t, "the base moves", func() bool { b, err := s.BaseBytes("f"); return err == nil && strings.HasPrefix(string(b), "first") })
	if len(s.Conflicts()) != 0 || w.saw(Conflict, "f") {
		t.Errorf("conflicts: %v", s.Conflicts())
	}
	must(t, s.MarkApplied("f", "n"))
	if got := changes(t, s); got != "M f\n" {
		t.Error(got)
	}
	write(t, filepath.Join(e.root, "f"), "edited by the person\n")
	behind, err := s.Land([]tree.Landing{{Path: []byte("f"), Was: sumHex("something else"), Mode: 0o100644, Real: sumHex("edited by the person\n")}})
	if must(t, err); len(behind) != 1 || !strings.HasPrefix(read(t, filepath.Join(s.tree.Path, "f")), "first") {
		t.Errorf("what was written since the review is gone: %q", behind)
	}
	was := sumHex("first\n" + strings.Repeat("line\n", 20) + "last\n")
	behind, err = s.Land([]tree.Landing{{Path: []byte("f"), Was: was, Mode: 0o100644, Real: sumHex("edited by the person\n")}})
	if must(t, err); len(behind) != 0 {
		t.Errorf("behind: %q", behind)
	}
	if got := changes(t, s); got != "" || read(t, filepath.Join(s.tree.Path, "f")) != "edited by the person\n" {
		t.Errorf("changes: %s", got)
	}
}

func TestChangesNameTheirCommit(t *testing.T) {
	e := newEnv(t, project(t))
	s := e.start(t, nil)
	mustInside(t, s, `echo 1 >> src/a.go; rm src/b.go; git commit -qam one; echo 2 > two; git add two; git commit -qm two; echo 3 > three; echo more >> lib/one.txt; git commit -qm x lib/one.txt; echo evenmore >> lib/one.txt`)
	list, err := s.Changes(context.Background())
	must(t, err)
	var got []string
	for _, c := range list {
		got = append(got, fmt.Sprintf("%s %t", c.Path, c.Commit != ""))
	}
	if fmt.Sprint(got) != "[lib/one.txt false src/a.go true src/b.go true three false two true]" {
		t.Errorf("got %q", got)
	}
	// Apply as a review would, then take the commits over.
	sh(t, e.root, "cp "+s.tree.Path+"/src/a.go src/; rm src/b.go; cp "+s.tree.Path+"/two .; echo one > lib/one.txt; echo more >> lib/one.txt")
	commits, err := s.Git().NewCommits(context.Background())
	must(t, err)
	_, err = s.Git().TakeOver(context.Background(), "", commits[2].ID, nil, false)
	must(t, err)
	must(t, s.MarkApplied("src/a.go", "src/b.go", "two", "lib/one.txt"))
	if got := sh(t, e.root, "git status --porcelain; git log -1 --format=%s"); got != "x\n" {
		t.Errorf("outside: %s", got)
	}
	if got := changes(t, s); got != "M lib/one.txt\nA three\n" {
		t.Errorf("changes: %s", got)
	}
}

// TestKilledSessionGoesOn loses what was not written of the base, as a killed
// process would.
func TestKilledSessionGoesOn(t *testing.T) {
	e := newEnv(t, project(t))
	s := e.start(t, nil)
	old := read(t, filepath.Join(s.layer, "base.idx"))
	w := watch(t, s)
	write(t, filepath.Join(s.tree.Path, "agent"), "a")
	sh(t, e.root, "echo person >> src/a.go; rm src/b.go; mkdir x; echo n > x/new")
	eventually(t, "the edits", has(filepath.Join(s.tree.Path, "x/new"), "n\n"))
	eventually(t, "the edits", absent(filepath.Join(s.tree.Path, "src/b.go")))
	w.stop()
	s.release()
	write(t, filepath.Join(s.layer, "base.idx"), old)
	s = e.start(t, nil)
	if got := changes(t, s); got != "A agent\n" || len(s.Conflicts()) != 0 {
		t.Errorf("changes:\n%s%v", got, s.Conflicts())
	}
	// A layer opened for its review stays where it is.
	must(t, s.Close())
	dir := s.opts.SessionDir
	r := e.start(t, func(o *Options) { o.SessionDir, o.From = dir, dir })
	if got := changes(t, r); got != "A agent\n" {
		t.Errorf("review:\n%s", got)
	}
	must(t, r.Close())
	if _, err := os.Stat(filepath.Join(dir, "layer")); err != nil {
		t.Error(err)
	}
}

func TestTenThousandFileChange(t *testing.T) {
	e := newEnv(t, project(t))
	s := e.start(t, nil)
	dirs := 10
	if os.Getenv("COUNTERSIGN_LONG") != "" {
		dirs = 100
	}
	for i := range dirs {
		dir := filepath.Join(s.tree.Path, fmt.Sprint("d", i))
		must(t, os.Mkdir(dir, 0o755))
		for j := range 100 {
			must(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(j)), []byte(fmt.Sprint(i, j)), 0o644))
		}
	}
	start := time.Now()
	list, err := s.Changes(context.Background())
	must(t, err)
	if len(list) != dirs*100 {
		t.Errorf("%d changes", len(list))
	}
	t.Logf("%d changes in %v", len(list), time.Since(start))
}

// TestAgentCannotLeadTheHostAstray swaps directories for links while edits are
// carried in and changes are read.
func TestAgentCannotLeadTheHostAstray(t *testing.T) {
	e := newEnv(t, project(t))
	out := filepath.Join(t.TempDir(), "outside")
	write(t, filepath.Join(out, "a.go"), "SECRET=outside")
	write(t, filepath.Join(out, "keep"), "keep")
	s := e.start(t, nil)
	w := watch(t, s)
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() { // the agent
		defer close(done)
		src, away := filepath.Join(s.tree.Path, "src"), filepath.Join(s.tree.Path, "away")
		for {
			select {
			case <-stop:
				return
			default:
			}
			os.Rename(src, away)
			os.Symlink(out, src)
			os.Remove(src)
			os.Rename(away, src)
		}
	}()
	rounds := 60
	if os.Getenv("COUNTERSIGN_LONG") != "" {
		rounds = 3000
	}
	for i := range rounds {
		write(t, filepath.Join(e.root, "src/a.go"), fmt.Sprint("person ", i))
		list, err := s.Changes(context.Background())
		must(t, err)
		for _, c := range list {
			if c.Staged == nil {
				continue
			}
			if r, err := c.Staged.Open(); err == nil {
				b := make([]byte, 100)
				n, _ := r.Read(b)
				r.Close()
				if strings.Contains(string(b[:n]), "SECRET") {
					t.Fatalf("%s shows a file outside", c.Path)
				}
			}
		}
	}
	close(stop)
	<-done
	w.stop()
	if got := read(t, filepath.Join(out, "a.go")); got != "SECRET=outside" {
		t.Errorf("a file outside was written: %q", got)
	}
}
