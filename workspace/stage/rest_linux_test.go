package stage

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// After Rest the layer is compared once; what this process itself does to it then,
// an apply, is seen all the same, and Close goes by what stands.
func TestWhatASessionLeftIsComparedOnce(t *testing.T) {
	e := newEnv(t, project(t))
	s := e.start(t, nil)
	watched := make(chan error, 1)
	go func() { watched <- s.Watch(context.Background(), func(Event) {}) }()
	at := filepath.Join(s.tree.Path, "src", "a.go")
	must(t, os.WriteFile(at, []byte("package changed"), 0o644))
	must(t, os.WriteFile(filepath.Join(s.tree.Path, "a.log"), []byte("changed"), 0o644))
	s.Rest()
	if err := <-watched; err != nil {
		t.Fatal(err)
	}
	const want = "IM a.log\nM src/a.go\n"
	if got := changes(t, s); got != want {
		t.Fatalf("changes:\n%s", got)
	}
	must(t, s.tree.Unlink("src/b.go")) // as nobody does any more
	if got := changes(t, s); got != want {
		t.Errorf("it was compared again:\n%s", got)
	}
	must(t, os.WriteFile(filepath.Join(e.root, "src", "a.go"), []byte("package changed"), 0o644))
	must(t, s.MarkApplied("src/a.go"))
	if got := changes(t, s); got != "IM a.log\nD src/b.go\n" {
		t.Errorf("changes after an apply:\n%s", got)
	}
	must(t, s.Close())
	if s.meta.Changes != 1 {
		t.Errorf("%d changes are left", s.meta.Changes)
	}
	after := e.start(t, nil)
	defer after.Close()
	if b, err := after.BaseBytes("a.log"); err != nil || string(b) != "x\n" {
		t.Errorf("the base of an ignored file that was changed: %q, %v", b, err)
	}
}
