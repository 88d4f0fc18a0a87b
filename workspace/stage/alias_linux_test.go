package stage

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDeniedFileMovedAwayStaysDenied makes a backup by rename, as editors do: the
// secret's inode has a harmless name then.
func TestDeniedFileMovedAwayStaysDenied(t *testing.T) {
	for _, backend := range []string{Snapshot, Overlay} {
		t.Run(backend, func(t *testing.T) {
			e := newEnv(t, project(t))
			sh(t, e.root, `echo SECRET=old > server.pem; mkdir -p .aws node_modules; echo SECRET=aws > .aws/key; echo SECRET=big > node_modules/a.pem; for i in $(seq 60); do echo $i > node_modules/$i; done`)
			s := e.start(t, func(o *Options) { o.Backend = backend })
			w := watch(t, s)
			sh(t, e.root, `mv server.pem notes.txt; echo SECRET=new > server.pem; mv .aws docs; mv node_modules/a.pem src/b.txt`)
			for _, rel := range []string{"notes.txt", "docs", "src/b.txt"} {
				eventually(t, rel+" is denied", func() bool { return w.saw(Denied, rel) })
			}
			sh(t, e.root, `echo SECRET=more >> notes.txt; echo SECRET=more > docs/key2; mv notes.txt again.txt; echo free > notes.txt`)
			eventually(t, "the next name is denied", func() bool { return w.saw(Denied, "again.txt") })
			eventually(t, "another file of the old name is none", func() bool { return w.saw(Carried, "notes.txt") })
			w.stop()
			sh(t, s.layer, `! grep -r SECRET tree tmp saved`)
			alias := map[string]string{}
			for _, trip := range s.Tripwires() {
				alias[trip.Path] = trip.Alias
			}
			if got := fmt.Sprint(alias["again.txt"], " ", alias["docs"], " ", alias["src/b.txt"]); got != "server.pem .aws node_modules/a.pem" {
				t.Errorf("tripwires: %v", alias)
			}
			if _, still := alias["notes.txt"]; still {
				t.Error("the new notes.txt is denied")
			}
		})
	}
}

func TestTemporariesOfAnApplyAreNoPartOfTheTree(t *testing.T) {
	e := newEnv(t, project(t))
	sh(t, e.root, `mkdir -p .countersign-apply-1 node_modules; echo x > .countersign-apply-1/f; echo x > src/.countersign-2; echo x > node_modules/.countersign-3; for i in $(seq 60); do echo $i > node_modules/$i; done`)
	s := e.start(t, nil)
	w := watch(t, s)
	sh(t, e.root, `echo y > src/.countersign-4; mkdir .countersign-apply-5; echo y > .countersign-apply-5/f; mkdir new; echo y > new/.countersign-6; echo y > new/end`)
	eventually(t, "what came last", has(filepath.Join(s.tree.Path, "new/end"), "y\n"))
	sh(t, e.root, `mv src/.countersign-4 src/placed`)
	eventually(t, "what was put in place", has(filepath.Join(s.tree.Path, "src/placed"), "y\n"))
	w.stop()
	if got := sh(t, s.tree.Path, "find . -name '.countersign-*'"); got != "" {
		t.Errorf("in the session's tree:\n%s", got)
	}
	if got := changes(t, s); got != "" {
		t.Errorf("changes:\n%s", got)
	}
	// One that the agent makes itself hides nothing from the person.
	write(t, filepath.Join(s.tree.Path, ".countersign-7"), "z")
	if got := changes(t, s); got != "A .countersign-7\n" {
		t.Errorf("changes:\n%s", got)
	}
}

// TestDirectoriesAreNamedWithASlash has a policy that denies a file called
// secrets, and a source directory of that name.
func TestDirectoriesAreNamedWithASlash(t *testing.T) {
	deny := func(rel string) (string, bool) {
		return "r", !strings.HasSuffix(rel, "/") && filepath.Base(rel) == "secrets"
	}
	for _, backend := range []string{Snapshot, Overlay} {
		e := newEnv(t, project(t))
		sh(t, e.root, `mkdir -p src/secrets node_modules/secrets; echo code > src/secrets/a.go; echo SECRET > secrets; echo code > node_modules/secrets/a.js; for i in $(seq 60); do echo $i > node_modules/$i; done`)
		s := e.start(t, func(o *Options) { o.Backend, o.Denied = backend, deny })
		w := watch(t, s)
		if got := mustInside(t, s, "cat src/secrets/a.go node_modules/secrets/a.js; echo more >> src/secrets/a.go; echo 1 > node_modules/secrets/b.js"); got != "code\ncode\n" {
			t.Errorf("%s: inside: %q", backend, got)
		}
		sh(t, e.root, "mkdir -p lib/secrets; echo person > lib/secrets/b.go; echo SECRET > lib/secrets/secrets")
		eventually(t, "the file", func() bool { return w.saw(Denied, "lib/secrets/secrets") })
		w.stop()
		if w.saw(Denied, "lib/secrets") {
			t.Errorf("%s: the directory is denied whole", backend)
		}
		if got := changes(t, s); got != "M src/secrets/a.go\n" {
			t.Errorf("%s: changes:\n%s", backend, got)
		}
		if n := len(s.Tripwires()); n != 2 {
			t.Errorf("%s: %d tripwires: %+v", backend, n, s.Tripwires())
		}
		if backend == Snapshot && read(t, filepath.Join(s.tree.Path, "lib/secrets/b.go")) != "person\n" {
			t.Error("an edit was not carried in")
		}
		_, err := os.Lstat(filepath.Join(s.saved.Path, sumHex("SECRET\n")))
		if err == nil {
			t.Error("the secret is saved")
		}
	}
}
