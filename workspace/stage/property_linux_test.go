package stage

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// look reads a tree: path to mode and content, as git would record it.
func look(t testing.TB, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone while it was looked at: it differs, and is looked at again
		}
		rel, _ := filepath.Rel(dir, p)
		if d.Name() == ".git" {
			return fs.SkipDir
		}
		switch {
		case d.Type() == fs.ModeSymlink:
			to, _ := os.Readlink(p)
			got[rel] = "link " + to
		case d.Type().IsRegular():
			b, err := os.ReadFile(p)
			fi, err2 := d.Info()
			if err != nil || err2 != nil {
				return nil
			}
			got[rel] = fmt.Sprintf("%t %s", fi.Mode()&0o100 != 0, b)
		}
		return nil
	}))
	return got
}

// difference is the true one, without rename detection.
func difference(before, after map[string]string) string {
	var list []string
	for p, v := range after {
		switch w, ok := before[p]; {
		case !ok:
			list = append(list, "A "+p)
		case v != w:
			list = append(list, "M "+p)
		}
	}
	for p := range before {
		if _, ok := after[p]; !ok {
			list = append(list, "D "+p)
		}
	}
	sort.Strings(list)
	return strings.Join(list, "\n")
}

// unfold takes renames apart again.
func unfold(text string) string {
	var list []string
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if rest, ok := strings.CutPrefix(line, "R "); ok {
			from, to, _ := strings.Cut(rest, " -> ")
			list = append(list, "D "+from, "A "+to)
		} else if line != "" {
			list = append(list, line)
		}
	}
	sort.Strings(list)
	return strings.Join(list, "\n")
}

// edit does one random thing to a tree.
func edit(rnd *rand.Rand, dir string) {
	name := func() string {
		parts := []string{"a", "b", "c d", "é", "x.txt"}
		p := parts[rnd.IntN(len(parts))]
		for range rnd.IntN(3) {
			p = filepath.Join(parts[rnd.IntN(len(parts))], p)
		}
		return filepath.Join(dir, p)
	}
	p, q := name(), name()
	switch rnd.IntN(10) {
	case 0, 1, 2:
		os.MkdirAll(filepath.Dir(p), 0o755)
		os.WriteFile(p, []byte(strings.Repeat("line\n", rnd.IntN(4))), 0o644)
	case 3:
		os.Remove(p)
	case 4:
		os.RemoveAll(p)
	case 5:
		os.Rename(p, q)
	case 6:
		os.Chmod(p, []os.FileMode{0o644, 0o755}[rnd.IntN(2)])
	case 7:
		os.MkdirAll(filepath.Dir(p), 0o755)
		os.Symlink("a", p)
	case 8: // same size, same time: only ctime tells
		if fi, err := os.Lstat(p); err == nil && fi.Mode().IsRegular() {
			os.WriteFile(p, []byte(strings.Repeat("L", int(fi.Size()))), 0o644)
			os.Chtimes(p, fi.ModTime(), fi.ModTime())
		}
	case 9:
		os.Link(p, q)
	}
}

func TestChangesAreTheTrueDifference(t *testing.T) {
	rounds := 60
	if os.Getenv("COUNTERSIGN_LONG") != "" {
		rounds = 2000
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	root := filepath.Join(t.TempDir(), "p")
	must(t, os.Mkdir(root, 0o755))
	for range 150 {
		edit(rnd, root)
	}
	e := newEnv(t, root)
	s := e.start(t, nil)
	before := look(t, root)
	if d := difference(before, look(t, s.tree.Path)); d != "" {
		t.Fatalf("the copy differs:\n%s", d)
	}
	for i := range rounds {
		for range 1 + rnd.IntN(12) {
			edit(rnd, s.tree.Path)
		}
		want := difference(before, look(t, s.tree.Path))
		if got := unfold(changes(t, s)); got != want {
			t.Fatalf("round %d, seed %d: got\n%s\nwant\n%s", i, seed, got, want)
		}
	}
	// The layer goes on in another session, after edits outside that meet none inside.
	must(t, s.Close())
	write(t, filepath.Join(root, "outside/new"), "x")
	s = e.start(t, nil)
	if got := unfold(changes(t, s)); got != difference(look(t, root), look(t, s.tree.Path)) {
		t.Errorf("continued: got\n%s", got)
	}
}

func TestSyncConvergesOnRandomEditsOutside(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	root := filepath.Join(t.TempDir(), "p")
	must(t, os.Mkdir(root, 0o755))
	e := newEnv(t, root)
	s := e.start(t, nil)
	w := watch(t, s)
	for range 15 {
		for range 30 {
			edit(rnd, root)
		}
		want := look(t, root)
		eventually(t, "the trees are equal", func() bool { return difference(want, look(t, s.tree.Path)) == "" })
		if t.Failed() {
			t.Fatalf("seed %d:\n%s", seed, difference(want, look(t, s.tree.Path)))
		}
	}
	w.stop()
	if got := changes(t, s); got != "" {
		t.Errorf("seed %d: changes:\n%s", seed, got)
	}
	for range 100 { // and again without a watch
		edit(rnd, root)
	}
	must(t, s.Close())
	s = e.start(t, nil)
	if d := difference(look(t, root), look(t, s.tree.Path)); d != "" || changes(t, s) != "" {
		t.Errorf("seed %d: the next start differs:\n%s", seed, d)
	}
}
