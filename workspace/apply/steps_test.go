package apply_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/workspace/apply"
	"github.com/countersign/countersign/workspace/tree"
)

// steps are the changes that lead through trees, as commits made inside do.
func steps(t testing.TB, trees ...string) []tree.Change {
	t.Helper()
	by := map[string]*tree.Change{}
	for n := 1; n < len(trees); n++ {
		for _, c := range changes(t, trees[n-1], trees[n]) {
			if by[c.Path] == nil {
				by[c.Path] = &tree.Change{Path: c.Path, Base: c.Base}
			}
			by[c.Path].Staged = c.Staged
			by[c.Path].Steps = append(by[c.Path].Steps, tree.Step{Commit: fmt.Sprint("c", n), N: n - 1, Base: c.Base, Staged: c.Staged})
		}
	}
	var out []tree.Change
	for _, c := range by {
		out = append(out, *c)
	}
	return out
}

// fits reports whether an edit can be made to a tree.
func fits(root string, edit map[string]string) bool {
	for n, v := range edit {
		for d := filepath.Dir(n); d != "."; d = filepath.Dir(d) {
			if fi, err := os.Lstat(filepath.Join(root, d)); err == nil && !fi.IsDir() && edit[d] != "DEL" {
				return false
			}
		}
		if fi, err := os.Lstat(filepath.Join(root, n)); v != "DEL" && err == nil && fi.IsDir() && edit[n+"/b.txt"] != "DEL" {
			return false
		}
	}
	return true
}

// Whatever one commit does and the next one on top of it: all of it accepted, the
// tree ends as the agent's, in one apply, and one undo takes it back.
func TestEveryPairOfStepsArrivesAndCanBeUndone(t *testing.T) {
	done := 0
	for _, first := range edits {
		for _, second := range edits {
			w := newWorld(t, project)
			stage(t, w, first.edit)
			mid := filepath.Join(filepath.Dir(w.real), "mid")
			put(t, mid, snapshotFiles(t, w.staged))
			if !fits(w.staged, second.edit) {
				continue
			}
			done++
			stage(t, w, second.edit)
			name := first.name + ", then " + second.name
			cs, err := w.review.Update(steps(t, w.base, mid, w.staged), nil, nil)
			must(t, err)
			var ids []string
			for _, h := range cs.Hunks {
				ids = append(ids, h.Digest)
			}
			_, err = w.review.Accept(ids...)
			must(t, err)
			if _, err := w.apply(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if d := cmp.Diff(snapshot(t, w.staged), snapshot(t, w.real)); d != "" {
				t.Errorf("%s: %s", name, d)
			}
			if _, err := apply.Undo(t.Context(), w.options()); err != nil && len(changes(t, w.base, w.staged)) > 0 {
				t.Errorf("%s: undo: %v", name, err)
			}
			if d := cmp.Diff(snapshot(t, w.base), snapshot(t, w.real)); d != "" {
				t.Errorf("%s: after the undo: %s", name, d)
			}
			if t.Failed() {
				return
			}
		}
	}
	if done < 200 {
		t.Errorf("only %d pairs fit", done)
	}
}

func snapshotFiles(t testing.TB, root string) map[string]string {
	m := snapshot(t, root)
	for n := range m {
		if strings.HasSuffix(n, "/") {
			delete(m, n)
		}
	}
	return m
}

// Hunks of a later step stand on what those of the steps before leave.
func TestStepsStandOnEachOther(t *testing.T) {
	const v0, v1, v2, v3 = "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\ntwo\n3\n4\n5\n6\n7\n8\n9\n", "1\nTWO\n3\n4\n5\n6\nseven\n8\n9\n", "1\nTWO\n3\nfour\n5\n6\nseven\n8\n9\n"
	person := func(s string) string { return strings.Replace(s, "9", "mine", 1) }
	for _, c := range []struct {
		name, real, reject, want, stale string
	}{
		{"all", v0, "", v3, ""},
		{"a line on which another stands", v0, "0 2", "1\n2\n3\nfour\n5\n6\nseven\n8\n9\n", "1 2"},
		{"the later of two on a line", v0, "1 2", "1\ntwo\n3\nfour\n5\n6\nseven\n8\n9\n", ""},
		{"what was in between", v0, "1 7", "1\nTWO\n3\nfour\n5\n6\n7\n8\n9\n", ""},
		{"a person's line is kept", person(v0), "", person(v3), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, map[string]string{"f": v0})
			trees := []string{w.base}
			for i, v := range []string{v1, v2, v3} {
				d := filepath.Join(filepath.Dir(w.real), fmt.Sprint("v", i))
				put(t, d, map[string]string{"f": v})
				trees = append(trees, d)
			}
			put(t, w.real, map[string]string{"f": c.real})
			cs, err := w.review.Update(steps(t, trees...), nil, nil)
			must(t, err)
			for _, h := range cs.Hunks {
				if fmt.Sprint(h.Step, h.OldStart) == c.reject {
					_, err = w.review.Reject(h.Digest)
				} else {
					_, err = w.review.Accept(h.Digest)
				}
				must(t, err)
			}
			res, err := w.apply()
			stale := ""
			for _, h := range res.Stale {
				stale += fmt.Sprint(h.Step, h.OldStart)
			}
			if stale != c.stale || (stale == "") != (err == nil) || err != nil && countersign.CodeOf(err) != countersign.EPartly {
				t.Errorf("stale %q, %v", stale, err)
			}
			w.wantReal(map[string]string{"f": c.want})
			if len(res.Files) != 1 || res.Files[0].Path != "f" || len(res.Files[0].Hunks) != len(res.Applied) {
				t.Errorf("files %+v", res.Files)
			}
		})
	}
}
