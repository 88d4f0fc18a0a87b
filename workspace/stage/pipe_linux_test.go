package stage

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestPipesAreNeverWaitedFor leaves named pipes where a start and a comparison
// read files: the ignore file of a layer that the next session inherits from, and
// of the live one.
func TestPipesAreNeverWaitedFor(t *testing.T) {
	for _, live := range []bool{false, true} {
		e := newEnv(t, project(t))
		s := e.start(t, nil)
		write(t, filepath.Join(s.tree.Path, "b.log"), "mine")
		write(t, filepath.Join(s.tree.Path, "src/a.go"), "changed")
		for _, rel := range []string{"src/.gitignore", "new/.gitignore", "src/pipe"} {
			write(t, filepath.Join(s.tree.Path, filepath.Dir(rel), "x"), "x")
			must(t, unix.Mkfifo(filepath.Join(s.tree.Path, rel), 0o666))
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second) // git's own patience is 30 s
		defer cancel()
		_, err := s.Changes(ctx)
		must(t, err)
		if !live {
			must(t, s.Close())
		}
		start := time.Now()
		next := e.start(t, func(o *Options) { o.Fresh = true })
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("live %t: the next start waited for a pipe: %v", live, took)
		}
		if !live && read(t, filepath.Join(next.tree.Path, "b.log")) != "mine" {
			t.Error("the ignored file was not inherited")
		}
		next.release()
		s.release()
	}
}
