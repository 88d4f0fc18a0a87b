package hostwatch

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func match(rel string, dir bool) (string, bool) {
	switch b := path.Base(rel); {
	case b == ".env" || strings.HasSuffix(b, ".pem"):
		return "secret", !dir
	case b == ".ssh":
		return "ssh", true
	}
	return "", false
}

func skip(rel string) bool { return path.Base(rel) == ".git" || path.Base(rel) == "node_modules" }

func sh(t testing.TB, dir, script string) {
	t.Helper()
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

func short(fs []Found) (out []string) {
	for _, f := range fs {
		s := f.Rel + " " + f.Rule
		if f.Of != "" {
			s += " of " + f.Of
		}
		out = append(out, s)
	}
	sort.Strings(out)
	return out
}

func TestScan(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		want         []string
	}{
		{"nothing", `mkdir a; echo > a/x`, nil},
		{"names at any depth", `mkdir -p a/b; echo > .env; echo > a/b/.env; echo > a/k.pem`, []string{".env secret", "a/b/.env secret", "a/k.pem secret"}},
		{"odd names", `mkdir 'a
b'; echo > 'a
b/.env'; echo > "$(printf '\377').pem"`, []string{"a\nb/.env secret", "\xff.pem secret"}},
		{"a denied directory is not entered", `mkdir .ssh; echo > .ssh/.env`, []string{".ssh ssh"}},
		{"skipped directories are not entered", `mkdir .git node_modules; echo > .git/.env; echo > node_modules/.env`, nil},
		{"hard link", `mkdir a; echo > .env; ln .env a/x`, []string{".env secret", "a/x secret of .env"}},
		{"hard link in a skipped directory", `mkdir .git; echo > .env; ln .env .git/x`, []string{".env secret", ".git/x secret of .env"}},
		{"hard link of a file in a denied directory", `mkdir .ssh; echo > .ssh/id; ln .ssh/id x`, []string{".ssh ssh", "x ssh of .ssh/id"}},
		{"hard links among harmless files", `echo > a; ln a b; echo > .env`, []string{".env secret"}},
		{"symlink to it", `mkdir a; echo > .env; ln -s ../.env a/l`, []string{".env secret", "a/l secret of .env"}},
		{"symlink to a symlink", `echo > .env; ln -s .env l; ln -s l m`, []string{".env secret", "l secret of .env", "m secret of .env"}},
		{"symlink into a denied directory", `mkdir .ssh; echo > .ssh/id; ln -s .ssh/id l; ln -s .ssh d`, []string{".ssh ssh", "d ssh of .ssh", "l ssh of .ssh"}},
		{
			"denied name that is a symlink denies its end", `echo > real; ln -s real .env; ln real hard; ln -s real l`,
			[]string{".env secret", "hard secret of .env", "l secret of .env", "real secret of .env"},
		},
		{"dangling and looping symlinks", `ln -s nowhere l; ln -s m m; ln -s loop .env; ln -s .env loop`, []string{".env secret"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			sh(t, dir, tt.script)
			got, err := Scan(t.Context(), dir, match, skip)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, short(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestScanKnowsFilesDeniedElsewhere(t *testing.T) {
	dir := t.TempDir()
	sh(t, dir, `mkdir home tree; echo > home/credentials; ln home/credentials tree/x; ln -s ../home/credentials tree/l`)
	cred := dir + "/home/credentials"
	got, err := Scan(t.Context(), dir+"/tree", match, skip, cred)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"l  of " + cred, "x  of " + cred}, short(got)); diff != "" {
		t.Error(diff)
	}
}

func TestScanOfNoDirectoryFails(t *testing.T) {
	if _, err := Scan(t.Context(), t.TempDir()+"/none", match, skip); err == nil {
		t.Error("no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Scan(ctx, t.TempDir(), match, skip); err == nil {
		t.Error("no error after the context's end")
	}
}

// teller gathers what a watcher tells.
type teller struct {
	mu  sync.Mutex
	got []Event
	at  []time.Time
}

func (l *teller) tell(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got, l.at = append(l.got, e), append(l.at, time.Now())
}

func (l *teller) list() (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.got {
		s := string(e.Kind) + " " + e.Rel
		if e.Of != "" {
			s += " of " + e.Of
		}
		// How many changes a write makes, and whether any comes after the name,
		// depends on who is faster.
		if i := len(out) - 1; i >= 0 && (out[i] == s || e.Kind == Changed && out[i] == string(Appeared)+" "+e.Rel) {
			continue
		}
		out = append(out, s)
	}
	return out
}

func until(t testing.TB, cond func() bool) bool {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if cond() {
			return true
		}
	}
	return false
}

func TestWatch(t *testing.T) {
	for _, tt := range []struct {
		name, before, after string
		want                []string // in order, without "appeared last.pem", the end
		there               []string
	}{
		{"a new name", ``, `echo x > .env`, []string{"appeared .env"}, []string{".env secret"}},
		{"a new name in a new deep directory", ``, `mkdir -p a/b/c; echo > a/b/c/.env`, []string{"appeared a/b/c/.env"}, []string{"a/b/c/.env secret"}},
		{"save by rename", `echo > .env`, `echo y > tmp; mv tmp .env`, []string{"changed .env"}, []string{".env secret"}},
		{"save in place", `echo > .env`, `echo y >> .env`, []string{"changed .env"}, []string{".env secret"}},
		{"chmod", `echo > .env`, `chmod 600 .env`, []string{"changed .env"}, []string{".env secret"}},
		{"removed", `echo > .env`, `rm .env`, []string{"gone .env"}, nil},
		{"renamed to a harmless name", `echo > .env`, `mv .env plain`, []string{"gone .env", "appeared plain of .env"}, []string{"plain secret of .env"}},
		{
			"an editor's backup", `echo > .env`, `mv .env .env~; echo y > new; mv new .env`,
			[]string{"gone .env", "appeared .env~ of .env", "appeared .env"},
			[]string{".env secret", ".env~ secret of .env"},
		},
		{"hard link", `echo > .env`, `ln .env x`, []string{"appeared x of .env", "changed .env"}, []string{".env secret", "x secret of .env"}},
		{"hard link outlives the name", `echo > .env; ln .env x`, `rm .env`, []string{"gone .env", "changed x of .env"}, []string{"x secret of .env"}},
		{"symlink", `echo > .env`, `mkdir a; ln -s ../.env a/l`, []string{"appeared a/l of .env"}, []string{".env secret", "a/l secret of .env"}},
		{"alias replaced by something harmless", `echo > .env; ln -s .env l`, `ln -sf other l`, []string{"gone l of .env"}, []string{".env secret"}},
		{
			"directory renamed", `mkdir -p a/b; echo > a/b/.env`, `mv a c; echo y >> c/b/.env`,
			[]string{"gone a/b/.env", "appeared c/b/.env"},
			[]string{"c/b/.env secret"},
		},
		{"directory removed", `mkdir -p a/b; echo > a/b/.env`, `rm -r a`, []string{"gone a/b/.env"}, nil},
		{"directory moved in from outside", `mkdir -p ../out/b; echo > ../out/b/.env`, `mv ../out in`, []string{"appeared in/b/.env"}, []string{"in/b/.env secret"}},
		{"denied directory", ``, `mkdir .ssh; echo > .ssh/id`, []string{"appeared .ssh"}, []string{".ssh ssh"}},
		{"denied directory renamed", `mkdir .ssh; echo > .ssh/id`, `mv .ssh keys`, []string{"gone .ssh", "appeared keys of .ssh"}, []string{"keys ssh of .ssh"}},
		{"harmless names and skipped directories", `mkdir node_modules`, `echo > x; echo > node_modules/.env; mkdir y`, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir() + "/tree"
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			sh(t, dir, tt.before+"\n")
			var l teller
			w, err := Watch(t.Context(), dir, match, skip, l.tell)
			if err != nil {
				t.Fatal(err)
			}
			sh(t, dir, tt.after)
			sh(t, dir, "echo > last.pem")
			end := func() bool { return slices.Contains(l.list(), "appeared last.pem") }
			if !until(t, end) {
				t.Fatalf("the end was not told: %q", l.list())
			}
			got := l.list()
			if diff := cmp.Diff(tt.want, got[:slices.Index(got, "appeared last.pem")], cmp.Transformer("", func(s []string) []string { return append([]string{}, s...) })); diff != "" {
				t.Error(diff)
			}
			there := slices.DeleteFunc(short(w.Found()), func(s string) bool { return s == "last.pem secret" })
			if diff := cmp.Diff(append([]string{}, tt.there...), append([]string{}, there...)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWatchFindsWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	sh(t, dir, `mkdir -p a .ssh; echo > a/.env; ln a/.env x; echo > .ssh/id; ln -s .ssh/id l`)
	w, err := Watch(t.Context(), dir, match, skip, func(Event) {})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{".ssh ssh", "a/.env secret", "l ssh of .ssh", "x secret of a/.env"}, short(w.Found())); diff != "" {
		t.Error(diff)
	}
}

// When the kernel's queue overruns, nothing stays unknown.
func TestOverrunQueueLosesNothing(t *testing.T) {
	dir := t.TempDir()
	var l teller
	gate := make(chan struct{})
	w, err := Watch(t.Context(), dir, match, skip, func(e Event) { <-gate; l.tell(e) })
	if err != nil {
		t.Fatal(err)
	}
	const files = 12000 // three events each; the queue holds 16,384
	for i := range files {
		if err := os.WriteFile(fmt.Sprintf("%s/%d.pem", dir, i), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range files / 2 {
		if err := os.Remove(fmt.Sprintf("%s/%d.pem", dir, i)); err != nil {
			t.Fatal(err)
		}
	}
	close(gate)
	if !until(t, func() bool { return len(w.Found()) == files/2 && !slices.Contains(short(w.Found()), "0.pem secret") }) {
		t.Errorf("%d names known, want %d", len(w.Found()), files/2)
	}
}

func TestWatchEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w, err := Watch(ctx, t.TempDir(), match, skip, func(Event) {})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-w.Done()
	if w.Err() != nil {
		t.Error(w.Err())
	}
	dir := t.TempDir() + "/x"
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if w, err = Watch(t.Context(), dir, match, skip, func(Event) {}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	<-w.Done()
	if w.Err() == nil {
		t.Error("the end of the tree is no error")
	}
}

// The window of the overlay back end: from the rename that brings a denied name
// to the moment that it is told.
func TestLatency(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir, 2000)
	var l teller
	if _, err := Watch(t.Context(), dir, match, skip, l.tell); err != nil {
		t.Fatal(err)
	}
	var all []time.Duration
	for i := range 200 {
		name := fmt.Sprintf("%s/d%d/%d.pem", dir, i%20, i)
		if err := os.WriteFile(name+".tmp", []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		if err := os.Rename(name+".tmp", name); err != nil {
			t.Fatal(err)
		}
		if !until(t, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return len(l.at) > i }) {
			t.Fatal("not told")
		}
		all = append(all, l.at[i].Sub(before))
	}
	slices.Sort(all)
	t.Logf("told after p50 %v, p95 %v, at most %v", all[len(all)/2], all[len(all)*95/100], all[len(all)-1])
}

func tree(t testing.TB, dir string, files int) {
	t.Helper()
	for i := range files {
		d := fmt.Sprintf("%s/d%d/e%d", dir, i%20, i%200)
		if i < 200 {
			if err := os.MkdirAll(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(fmt.Sprintf("%s/f%d", d, i), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkScan20000(b *testing.B) {
	for _, linked := range []bool{false, true} {
		b.Run(map[bool]string{false: "names", true: "names and hard links"}[linked], func(b *testing.B) {
			dir := b.TempDir()
			tree(b, dir, 20000)
			sh(b, dir, `echo > d1/.env`)
			if linked {
				sh(b, dir, `ln d1/.env d2/x`)
			}
			for b.Loop() {
				if _, err := Scan(b.Context(), dir, match, skip); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWatch20000(b *testing.B) {
	dir := b.TempDir()
	tree(b, dir, 20000)
	for b.Loop() {
		ctx, cancel := context.WithCancel(b.Context())
		w, err := Watch(ctx, dir, match, skip, func(Event) {})
		if err != nil {
			b.Fatal(err)
		}
		cancel()
		<-w.Done()
	}
}

func FuzzDirent(f *testing.F) {
	f.Add([]byte("12345678abcdefgh\x18\x00\x04a\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for {
			d, rest, ok := parseDirent(b)
			if !ok {
				return
			}
			if len(rest) >= len(b) || strings.ContainsRune(d.name, 0) {
				t.Fatal("no progress, or a NUL in a name")
			}
			b = rest
		}
	})
}
