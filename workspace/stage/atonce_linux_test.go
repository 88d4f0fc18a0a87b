package stage

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDeniedNameIsToldAtOnce keeps everything but the reader of events busy, for
// ever: a denied name has to be told of all the same where it shows inside.
func TestDeniedNameIsToldAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name, script, want, alias string
		attached                  bool // too in an attached directory of a snapshot
	}{
		{"made", `echo SECRET > DIR/.env`, ".env", "", true},
		{"moved there", `echo SECRET > DIR/.t; mv DIR/.t DIR/.env`, ".env", "", true},
		{"moved in from outside", `echo SECRET > ../out; mv ../out DIR/.env`, ".env", "", true},
		{"a hard link", `ln top.pem DIR/plain`, "plain", "top.pem", true},
		{"moved to a harmless name", `mv top.pem DIR/plain`, "plain", "top.pem", true},
		{"in a new directory", `mkdir -p DIR/a/b; echo SECRET > DIR/a/b/.env`, "a/b/.env", "", true},
		{"in a directory moved in", `mkdir -p ../o/b; echo SECRET > ../o/b/.env; mv ../o DIR/a`, "a/b/.env", "", true},
		{"in a new directory that git ignores", `mkdir -p sub/node_modules/x; echo SECRET > sub/node_modules/x/.env`, "sub/node_modules/x/.env", "", false},
		{"a denied directory", `mkdir DIR/.aws; echo SECRET > DIR/.aws/key`, ".aws", "", true},
		{"out of a denied directory", `mv vault/.aws/key DIR/plain`, "plain", "vault/.aws/key", true},
		{"a directory out of a denied one", `mv vault/.aws/more DIR/plain`, "plain", "vault/.aws/more", true},
		{"made in a denied directory, and out of it", `echo SECRET > vault/.aws/new; mv vault/.aws/new DIR/plain`, "plain", "vault/.aws/new", true},
		{"a link into a denied directory", `ln vault/.aws/key DIR/plain`, "plain", "vault/.aws/key", true},
		{"out of a denied directory that was moved", `mv vault/.aws vault/docs; mv vault/docs/key DIR/plain`, "plain", "vault/.aws/key", true},
		{"out of a new denied directory", `mv src/.aws/k DIR/plain`, "plain", "src/.aws/k", true},
		{"denied name passed through", `echo SECRET > t; mv t .env2.pem; mv .env2.pem DIR/plain`, "plain", ".env2.pem", true},
	} {
		for _, dir := range []string{"sub", "node_modules/deep"} {
			if dir == "node_modules/deep" && !tt.attached {
				continue
			}
			backend := Overlay
			if dir == "node_modules/deep" {
				backend = Snapshot
			}
			t.Run(fmt.Sprintf("%s/%s/%s", tt.name, backend, dir), func(t *testing.T) {
				e := newEnv(t, project(t))
				sh(t, e.root, `mkdir -p sub node_modules/deep vault/.aws/more; echo SECRET > top.pem; echo SECRET > vault/.aws/key; echo SECRET > vault/.aws/more/k; for i in $(seq 60); do echo $i > node_modules/deep/$i; done`)
				s := e.start(t, func(o *Options) { o.Backend, o.BulkFiles = backend, 50 })
				w := watch(t, s)
				write(t, filepath.Join(e.root, "ready.pem"), "SECRET")
				eventually(t, "the watch stands", func() bool { return w.saw(Denied, "ready.pem") })
				sh(t, e.root, "mkdir src/.aws; echo SECRET > src/.aws/k; echo SECRET > ready2.pem")
				eventually(t, "the new denied directory is known", func() bool { return w.saw(Denied, "ready2.pem") })
				s.op.Lock()
				defer w.stop()
				defer s.op.Unlock()
				sh(t, e.root, strings.ReplaceAll(tt.script, "DIR", "./"+dir))
				want := tt.want
				if tt.attached {
					want = filepath.Join(dir, tt.want)
				}
				eventually(t, want+" is told", func() bool { return w.saw(Denied, want) })
				w.mu.Lock()
				defer w.mu.Unlock()
				for _, ev := range w.events {
					if ev.Kind == Denied && ev.Path == want && (ev.Trip.Alias != tt.alias || !ev.Trip.Shown || ev.Trip.Rule != "test-env") {
						t.Errorf("trip %+v", ev.Trip)
					}
				}
			})
		}
	}
}

// TestContentOfADeniedDirectoryIsNeverCarried moves files out of one in every
// way, beside a snapshot and between two sessions.
func TestContentOfADeniedDirectoryIsNeverCarried(t *testing.T) {
	e := newEnv(t, project(t))
	sh(t, e.root, `mkdir -p .aws/deep/er; for i in $(seq 40); do echo SECRET$i > .aws/k$i; echo SECRET > .aws/deep/er/k$i; done; ln .aws/k1 linked`)
	s := e.start(t, nil)
	if _, err := os.Lstat(filepath.Join(s.tree.Path, "linked")); err != nil || read(t, filepath.Join(s.tree.Path, "linked")) != "" {
		t.Errorf("a hard link of a file in a denied directory has no placeholder: %v", err)
	}
	w := watch(t, s)
	for i := range 40 {
		sh(t, e.root, fmt.Sprintf(`mv .aws/k%d plain%d; mv .aws/deep/er/k%d src/p%d; echo SECRET > .aws/new; mv .aws/new new%d`, i+1, i, i+1, i, i))
	}
	sh(t, e.root, `mv .aws/deep deep; mkdir -p x; echo end > x/end`)
	eventually(t, "the end", has(filepath.Join(s.tree.Path, "x/end"), "end\n"))
	for _, rel := range []string{"plain39", "src/p39", "new39", "deep"} {
		eventually(t, rel+" is denied", func() bool { return w.saw(Denied, rel) })
	}
	w.stop()
	sh(t, s.layer, `! grep -r SECRET tree tmp saved`)
	if got := changes(t, s); got != "" {
		t.Errorf("changes:\n%s", got)
	}
	must(t, s.Close())

	sh(t, e.root, `echo SECRET > .aws/last; mkdir .aws/dir; echo SECRET > .aws/dir/k`)
	must(t, e.start(t, nil).Close())
	sh(t, e.root, `mv .aws/last between; mv .aws/dir docs; mv .env readme; ln readme again; printf 'x' > .env; mv plain1 plain-again; rm plain2; echo new > plain2`)
	for _, backend := range []string{"", Overlay} {
		s = e.start(t, func(o *Options) { o.Backend, o.Fresh = backend, backend != "" })
		alias := map[string]string{}
		for _, trip := range s.Tripwires() {
			alias[trip.Path] = trip.Alias
		}
		for rel, of := range map[string]string{"between": ".aws/last", "docs": ".aws/dir", "readme": ".env", "again": ".env", ".env": "", "plain-again": ".aws/k2"} {
			if got, closed := alias[rel]; !closed || got != of {
				t.Errorf("%q: %s: closed %t, as %q, want %q", backend, rel, closed, got, of)
			}
		}
		if _, closed := alias["plain2"]; closed {
			t.Error("another file of a moved secret's name is closed")
		}
		sh(t, s.layer, `! grep -r SECRET tree tmp saved`)
		must(t, s.Close())
	}
	sh(t, e.root, `rm -f again; cp -p readme copy; mv copy readme`) // as docs/differences.md says
	s = e.start(t, func(o *Options) { o.Backend = Snapshot })
	if got := read(t, filepath.Join(s.tree.Path, "readme")); !strings.HasPrefix(got, "SECRET") {
		t.Errorf("a copy stays closed: %q", got)
	}
}
