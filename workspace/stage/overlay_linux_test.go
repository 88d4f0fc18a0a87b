package stage

import (
	"context"
	"path/filepath"
	"testing"
	"time"
)

func overlay(o *Options) { o.Backend = Overlay }

func TestOverlayShowsChanges(t *testing.T) {
	e := newEnv(t, project(t))
	sh(t, e.root, "mkdir -p node_modules/x keep/a keep/b; echo 1 > node_modules/x/i.js; echo 1 > keep/a/f; echo 2 > keep/b/g; git add keep; git commit -qm keep")
	s := e.start(t, overlay)
	if s.Backend() != Overlay || len(s.Tripwires()) != 1 {
		t.Fatalf("%s %+v", s.Backend(), s.Tripwires())
	}
	out := mustInside(t, s, `git status --porcelain; echo more >> src/a.go; rm src/b.go; rm -r keep/a; rm -r keep/b; mkdir keep/b; echo new > keep/b/h; chmod 644 run.sh; touch lib/one.txt
		echo 2 > node_modules/x/i.js; echo S > sub.env; mkdir .vscode; echo '{}' > .vscode/s.json; ln -s x lib/new; git add -A; git commit -qm inside; git status --porcelain`)
	if out != "" {
		t.Errorf("status: %s", out)
	}
	want := "M src/a.go\nD src/b.go\nD keep/a/f\nD keep/b/g\nA keep/b/h\nM run.sh\nA sub.env\nA lib/new\n"
	if got := changes(t, s); sorted(got) != sorted(want) {
		t.Errorf("changes:\n%s", got)
	}
	if s.Hidden() == 0 {
		t.Error("no ignored change is counted")
	}
	sh(t, e.root, "git diff --exit-code && git status --porcelain && test $(git log --oneline | wc -l) = 3")
	b, err := s.BaseBytes("src/b.go")
	must(t, err)
	if string(b) != "package b\n" {
		t.Errorf("base %q", b)
	}
	sh(t, e.root, "rm src/b.go; printf 'package a\\nmore\\n' > src/a.go")
	must(t, s.MarkApplied("src/b.go", "src/a.go"))
	want = "D keep/a/f\nD keep/b/g\nA keep/b/h\nM run.sh\nA sub.env\nA lib/new\n"
	if got := changes(t, s); sorted(got) != sorted(want) {
		t.Errorf("after the apply:\n%s", got)
	}
	must(t, s.Close())
	s = e.start(t, nil)
	if s.Backend() != Overlay || sorted(changes(t, s)) != sorted(want) {
		t.Errorf("continued as %s:\n%s", s.Backend(), changes(t, s))
	}
	if got := mustInside(t, s, "git log -1 --format=%s; cat node_modules/x/i.js"); got != "inside\n2\n" {
		t.Errorf("continued: %s", got)
	}
}

func TestOverlayWatchReportsConflictsAndNames(t *testing.T) {
	e := newEnv(t, project(t))
	s := e.start(t, overlay)
	mustInside(t, s, "echo agent > src/a.go")
	if got := changes(t, s); got != "M src/a.go\n" {
		t.Fatal(got)
	}
	w := watch(t, s)
	write(t, filepath.Join(e.root, "src/a.go"), "person")
	sh(t, e.root, "echo person > src/new; mv src/new src/b.go")
	write(t, filepath.Join(e.root, "x/.env"), "SECRET")
	eventually(t, "a conflict", func() bool { return w.saw(Conflict, "src/a.go") })
	eventually(t, "an edit", func() bool { return w.saw(Carried, "src/b.go") })
	mustInside(t, s, "echo agent > lib/one.txt; echo agent > run.sh") // only now has the agent a part in them
	eventually(t, "the agent's part is known", func() bool {
		sh(t, e.root, "echo person >> lib/one.txt; echo person >> run.sh")
		return w.saw(Conflict, "lib/one.txt") && w.saw(Conflict, "run.sh")
	})
	eventually(t, "a denied name", func() bool { return w.saw(Denied, "x/.env") })
	b, err := s.BaseBytes("src/a.go")
	must(t, err)
	if string(b) != "package a\n" {
		t.Errorf("base %q", b)
	}
}

func TestLargeTreesAreOverlays(t *testing.T) {
	e := newEnv(t, project(t))
	if s := e.start(t, func(o *Options) { o.MaxFiles = 3 }); s.Backend() != Overlay {
		t.Error(s.Backend())
	}
	if s := e.start(t, func(o *Options) { o.MaxBytes = 10 }); s.Backend() != Overlay {
		t.Error(s.Backend())
	}
	_, err := s0(t, e).Changes(context.Background())
	must(t, err)
}

func s0(t *testing.T, e *env) *Staging { return e.start(t, func(o *Options) { o.Fresh = true }) }

// A file that was open under its names is closed under all of them once one more
// name of it is denied.
func TestOverlayClosesTheOldNamesOfADeniedFile(t *testing.T) {
	e := newEnv(t, project(t))
	sh(t, e.root, "mkdir deep; echo SECRET > plain; ln plain deep/other; git add plain deep; git commit -qm x")
	s := e.start(t, overlay)
	w := watch(t, s)
	start := time.Now()
	sh(t, e.root, "ln plain plain.pem")
	for _, rel := range []string{"plain.pem", "plain", "deep/other"} {
		eventually(t, rel+" is closed", func() bool { return w.saw(Denied, rel) })
		t.Logf("%s after %v", rel, time.Since(start))
	}
}
