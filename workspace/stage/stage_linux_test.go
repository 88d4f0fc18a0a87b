package stage

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestSnapshotShowsChangesOnly(t *testing.T) {
	e := newEnv(t, project(t))
	s := e.start(t, nil)
	if got := changes(t, s); got != "" {
		t.Fatalf("changes right after the start:\n%s", got)
	}
	out := mustInside(t, s, `git status --porcelain; echo new > src/c.go; echo more >> src/a.go; rm lib/one.txt; git mv run.sh go.sh; chmod -x go.sh; cat .env; git status --porcelain`)
	if strings.Contains(out, "SECRET") {
		t.Errorf("the secret is readable:\n%s", out)
	}
	t.Log(out)
	want := "M src/a.go\nA src/c.go\nD lib/one.txt\n"
	got := changes(t, s)
	for _, line := range strings.Split(strings.TrimSpace(want), "\n") {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("missing %q in\n%s", line, got)
		}
	}
	if read(t, filepath.Join(e.root, "src/a.go")) != "package a\n" {
		t.Error("the real tree changed")
	}
	must(t, s.Close())
}
