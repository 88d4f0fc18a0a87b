package apply_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/diff"
	"github.com/countersign/countersign/workspace/apply"
	"github.com/countersign/countersign/workspace/store"
	"github.com/countersign/countersign/workspace/tree"
)

// attempts is how many applies a race is run for.
func attempts(t *testing.T) int {
	if os.Getenv("COUNTERSIGN_LONG") != "" {
		return 100_000
	}
	if testing.Short() {
		return 300
	}
	return 2_000
}

// hunk makes an accepted hunk of a file, with its bytes in the store.
func hunk(t *testing.T, st *store.Store, path, old, new string) countersign.Hunk {
	t.Helper()
	var h countersign.Hunk
	if old == "" {
		h = countersign.Hunk{Op: countersign.OpCreate, NewMode: 0o100644, Post: []byte(new), NewStart: 1, NewLines: strings.Count(new, "\n")}
	} else {
		h = diff.Hunks([]byte(old), []byte(new))[0]
		h.Base, h.OldMode, h.NewMode = diff.SHA256([]byte(old)), 0o100644, 0o100644
	}
	h.Path, h.State = path, countersign.Accepted
	h = diff.Sum(h)
	h.Digest = diff.Digest(h)
	h.ID = h.Digest[7:15]
	for _, b := range []string{old, new} {
		_, err := st.PutBytes([]byte(b))
		must(t, err)
	}
	return h
}

// TestApplyAgainstAWritingAgent: while changes are applied, others swap the
// files, directories and symlinks of the tree they go to. Nothing may be written
// outside the root, and nothing but reviewed bytes and the others' own may stand
// in it.
func TestApplyAgainstAWritingAgent(t *testing.T) {
	d := memory(t)
	root, outside := d+"/real", d+"/outside"
	for _, p := range []string{root + "/d/e", root + "/spare", outside + "/e"} {
		must(t, os.MkdirAll(p, 0o755))
	}
	const base = "base\n2\n3\n4\n5\n"
	paths := []string{"f", "d/f", "d/e/f"}
	for _, p := range paths {
		must(t, os.WriteFile(filepath.Join(root, p), []byte(base), 0o644))
	}
	put(t, outside, map[string]string{"f": "outside\n", "e/f": "outside\n", "n": "outside\n"})
	untouched := snapshot(t, outside)
	st, err := store.Open(d + "/store")
	must(t, err)

	var stop atomic.Bool
	var swaps atomic.Int64
	var wg sync.WaitGroup
	for i, attack := range attackers(t, root, outside, base) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for !stop.Load() {
				attack(r)
				swaps.Add(1)
			}
		})
	}
	results := map[countersign.Code]int{}
	n, applied := attempts(t), 0
	for i := range n {
		hs := []countersign.Hunk{}
		for _, p := range paths {
			hs = append(hs, hunk(t, st, p, base, strings.Replace(base, "3\n", "reviewed\n", 1)))
		}
		hs = append(hs, hunk(t, st, fmt.Sprintf("d/n%d", i%3), "", "reviewed\n"))
		res, err := apply.Apply(t.Context(), apply.Options{Root: root, StateDir: d + "/state", Hunks: hs, Store: st, Record: func(context.Context, countersign.Record) error { return nil }})
		results[countersign.CodeOf(err)]++
		applied += len(res.Applied)
		if i%20 == 0 || i == n-1 {
			if d := cmp.Diff(untouched, snapshot(t, outside)); d != "" {
				t.Fatalf("attempt %d wrote outside the root: %s", i, d)
			}
		}
	}
	stop.Store(true)
	wg.Wait()
	what, err := apply.Recover(d+"/state", root)
	t.Logf("%d attempts, %d hunks written, against %d swaps: %v; recovery: %q %v", n, applied, swaps.Load(), results, what, err)
	for name, content := range snapshot(t, root) {
		for l := range strings.Lines(content) {
			if l = strings.TrimSpace(l); !strings.Contains(" base 2 3 4 5 reviewed person ", " "+l+" ") && !strings.HasPrefix(content, "->") {
				t.Fatalf("%s holds bytes that nobody wrote: %q", name, content)
			}
		}
	}
	if applied < n/4 || swaps.Load() < int64(n)/10 {
		t.Errorf("no race took place: %v, %d swaps", results, swaps.Load())
	}
}

// attackers change the real tree as hostile neighbours do.
// What they mean for the tree itself must not follow each other's links.
func attackers(t *testing.T, root, outside, base string) []func(*rand.Rand) {
	safe, err := tree.OpenRoot(root)
	must(t, err)
	person := strings.Replace(base, "5\n", "person\n", 1)
	return []func(*rand.Rand){
		func(r *rand.Rand) { // files, by rename and in place
			p := []string{"f", "d/f", "d/e/f"}[r.IntN(3)]
			switch r.IntN(4) {
			case 0:
				os.WriteFile(root+"/spare/t", []byte(base), 0o644)
				safe.Rename("spare/t", p)
			case 1:
				os.WriteFile(root+"/spare/t", []byte(person), 0o644)
				safe.Rename("spare/t", p)
			case 2:
				os.Symlink(outside+"/f", root+"/spare/l")
				safe.Rename("spare/l", p)
			default:
				safe.Remove(p)
				safe.Remove("d/n" + fmt.Sprint(r.IntN(3)))
			}
		},
		func(r *rand.Rand) { // directories for links that lead out
			d := root + "/" + []string{"d", "d/e"}[r.IntN(2)]
			if os.Rename(d, root+"/spare/dir") == nil {
				os.Symlink(outside, d)
				os.Remove(d)
				os.RemoveAll(d) // what an apply may have made there meanwhile, below the root
				os.Rename(root+"/spare/dir", d)
			}
		},
	}
}

// A person appends lines to files of the tree while changes of other lines are
// applied to them: no line of either is lost.
func TestNoAppendedLineIsLost(t *testing.T) {
	d := memory(t)
	root := d + "/real"
	must(t, os.MkdirAll(root, 0o755))
	text := func(i int) string { return fmt.Sprintf("version %d\n2\n3\n4\n5\n6\n7\n8\n", i) }
	must(t, os.WriteFile(root+"/f", []byte(text(0)), 0o644))
	st, err := store.Open(d + "/store")
	must(t, err)
	n := attempts(t) / 4
	var stop atomic.Bool
	written := 0
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stop.Load() && written < 20_000 {
			f, err := os.OpenFile(root+"/f", os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				continue
			}
			if _, err := fmt.Fprintf(f, "person %d\n", written); err == nil {
				written++
			}
			f.Close()
		}
	})
	version, merged, stale := 0, 0, 0
	for range n {
		h := hunk(t, st, "f", text(version), text(version+1))
		res, err := apply.Apply(t.Context(), apply.Options{Root: root, StateDir: d + "/state", Hunks: []countersign.Hunk{h}, Store: st})
		switch countersign.CodeOf(err) {
		case "":
			version++
			merged += len(res.Merged)
		case countersign.EPartly:
			stale++
		default:
			t.Fatal(err)
		}
	}
	stop.Store(true)
	wg.Wait()
	found, saved := map[string]int{}, 0
	for name, content := range snapshot(t, root) {
		if name != "f" {
			saved++
		}
		in := map[string]int{}
		for l := range strings.Lines(content) {
			if in[l]++; in[l] > 1 {
				t.Errorf("%s has %q twice", name, l)
			}
			found[l]++
		}
		if name == "f" && in[fmt.Sprintf("version %d\n", version)] != 1 {
			t.Errorf("the last applied change is lost: %.40q", content)
		}
	}
	for i := range written {
		if found[fmt.Sprintf("person %d\n", i)] == 0 {
			t.Errorf("line %d is lost", i)
		}
	}
	t.Logf("%d times both sides wrote within one apply, and one was saved beside", saved)
	t.Logf("%d applies, %d merged, %d set aside, %d lines appended", version, merged, stale, written)
	if version == 0 || written == 0 {
		t.Error("no race took place")
	}
}
