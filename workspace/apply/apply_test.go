package apply_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/diff"
	"github.com/countersign/countersign/workspace/apply"
	"github.com/countersign/countersign/workspace/review"
	"github.com/countersign/countersign/workspace/store"
	"github.com/countersign/countersign/workspace/tree"
)

// world is a real tree, the base a session started from and its staged tree.
type world struct {
	t                         *testing.T
	real, base, staged, state string
	review                    *review.Review
	records                   []countersign.Record
}

func newWorld(t *testing.T, files map[string]string) *world {
	t.Helper()
	d := memory(t)
	w := &world{t: t, real: d + "/real", base: d + "/base", staged: d + "/staged", state: d + "/state"}
	for _, r := range []string{w.real, w.base, w.staged} {
		must(t, os.MkdirAll(r, 0o755))
		put(t, r, files)
	}
	w.reopen()
	return w
}

// memory is a directory on tmpfs where there is one: kills and races are about
// order, not about the disk.
func memory(t *testing.T) string {
	t.Helper()
	d, err := os.MkdirTemp("/dev/shm", "apply-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(d) })
	return d
}

func (w *world) reopen() {
	r, err := review.Open(w.state, "s1")
	must(w.t, err)
	w.review = r
}

// put writes files: "" at the end of a name's value is plain; a value that
// begins with "->" is a symlink, "+x" an executable, "DEL" a removal.
func put(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, v := range files {
		p := filepath.Join(root, name)
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		os.Remove(p)
		switch {
		case v == "DEL":
			os.RemoveAll(p)
		case strings.HasPrefix(v, "->"):
			must(t, os.Symlink(v[2:], p))
		case strings.HasPrefix(v, "+x"):
			must(t, os.WriteFile(p, []byte(v[2:]), 0o755))
		default:
			must(t, os.WriteFile(p, []byte(v), 0o644))
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// snapshot reads a tree as put writes it. Empty directories show as "name/".
func snapshot(t testing.TB, root string) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		n, _ := filepath.Rel(root, p)
		st, err := os.Lstat(p)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			if es, _ := os.ReadDir(p); len(es) == 0 && n != "." {
				m[n+"/"] = ""
			}
		case st.Mode()&fs.ModeSymlink != 0:
			l, _ := os.Readlink(p)
			m[n] = "->" + l
		default:
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			m[n] = string(b)
			if st.Mode()&0o100 != 0 {
				m[n] = "+x" + m[n]
			}
		}
		return nil
	})
	must(t, err)
	return m
}

// changes compares the base with the staged tree.
func changes(t testing.TB, base, staged string) []tree.Change {
	t.Helper()
	a, err := tree.OpenRoot(base)
	must(t, err)
	b, err := tree.OpenRoot(staged)
	must(t, err)
	names := map[string]bool{}
	for _, r := range []string{base, staged} {
		for n := range snapshot(t, r) {
			if !strings.HasSuffix(n, "/") {
				names[n] = true
			}
		}
	}
	var out []tree.Change
	for n := range names {
		c := tree.Change{Path: n}
		c.Base, _ = a.State(n)
		c.Staged, _ = b.State(n)
		if c.Base == nil || c.Staged == nil || c.Base.SHA256 != c.Staged.SHA256 || c.Base.Mode != c.Staged.Mode {
			out = append(out, c)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Path < out[j].Path })
	return out
}

func (w *world) update() countersign.Changeset {
	w.t.Helper()
	cs, err := w.review.Update(changes(w.t, w.base, w.staged), nil, nil)
	must(w.t, err)
	return cs
}

// acceptAll accepts every hunk, of whatever risk.
func (w *world) acceptAll() countersign.Changeset {
	w.t.Helper()
	var ids []string
	for _, h := range w.update().Hunks {
		ids = append(ids, h.ID)
	}
	_, err := w.review.Accept(ids...)
	must(w.t, err)
	return w.review.Changeset()
}

func (w *world) options() apply.Options {
	return apply.Options{
		Root: w.real, StateDir: w.state, Session: "s1", Hunks: w.review.Ready(), Store: w.review.Store(), Now: time.Now,
		Record: func(_ context.Context, r countersign.Record) error { w.records = append(w.records, r); return nil },
	}
}

func (w *world) apply() (apply.Result, error) { return apply.Apply(w.t.Context(), w.options()) }

func (w *world) wantReal(want map[string]string) {
	w.t.Helper()
	if d := cmp.Diff(want, snapshot(w.t, w.real)); d != "" {
		w.t.Error(d)
	}
}

var project = map[string]string{
	"a.txt": "one\ntwo\nthree\nfour\nfive\nsix\nseven\n", "dir/b.txt": "b\n", "dir/deep/c.txt": "c1\nc2\nc3\n", "run.sh": "+xecho hi\n",
	"link": "->a.txt", "bin": "\x00\x01", "crlf.txt": "x\r\ny\r\n", "bad\xffname": "bad\xff bytes\nno newline", "new\nline": "n\n",
}

// The kinds of change that must arrive exactly.
var edits = []struct {
	name string
	edit map[string]string
}{
	{"modify", map[string]string{"a.txt": "one\nTWO\nthree\nfour\nfive\nsix\nSEVEN\neight\n"}},
	{"create", map[string]string{"x/y/z.txt": "new\n", "empty": ""}},
	{"delete", map[string]string{"dir/deep/c.txt": "DEL"}},
	{"binary", map[string]string{"bin": "\x00\x02\x03"}},
	{"mode", map[string]string{"a.txt": "+xone\ntwo\nthree\nfour\nfive\nsix\nseven\n", "run.sh": "echo hi\n"}},
	{"mode and content", map[string]string{"run.sh": "echo ho\n"}},
	{"symlink", map[string]string{"link": "->dir/b.txt", "link2": "->nowhere"}},
	{"file to symlink", map[string]string{"a.txt": "->dir/b.txt"}},
	{"symlink to file", map[string]string{"link": "a file\n"}},
	{"rename", map[string]string{"a.txt": "DEL", "moved/a.txt": "one\ntwo\nthree\nfour\nfive\nsix\nseven\n"}},
	{"rename and edit", map[string]string{"a.txt": "DEL", "moved/a.txt": "one\ntwo\nTHREE\nfour\nfive\nsix\nseven\n"}},
	{"rename directory", map[string]string{"dir/b.txt": "DEL", "dir/deep/c.txt": "DEL", "d2/b.txt": "b\n", "d2/deep/c.txt": "c1\nc2\nc3\n"}},
	{"swap names", map[string]string{"dir/b.txt": "c1\nc2\nc3\n", "dir/deep/c.txt": "b\n"}},
	{"rename and new in its place", map[string]string{"bin": "DEL", "bin2": "\x00\x01", "a.txt": "->bin2"}},
	{"directory to file", map[string]string{"dir/b.txt": "DEL", "dir/deep/c.txt": "DEL", "dir": "now a file\n"}},
	{"file to directory", map[string]string{"a.txt": "DEL", "a.txt/inner": "deep\n"}},
	{"odd bytes", map[string]string{"crlf.txt": "x\r\nz\r\n", "bad\xffname": "bad\xfe bytes\nno newline", "new\nline": "n\nm\n"}},
	{"last newline", map[string]string{"crlf.txt": "x\r\ny\r", "bad\xffname": "bad\xff bytes\nno newline\n"}},
}

func stage(t *testing.T, w *world, edit map[string]string) {
	t.Helper()
	for n, v := range edit {
		if v == "DEL" {
			os.RemoveAll(filepath.Join(w.staged, n))
		}
	}
	for d := range edit { // a directory that lost all its files
		for p := filepath.Dir(filepath.Join(w.staged, d)); p != w.staged; p = filepath.Dir(p) {
			os.Remove(p)
		}
	}
	rest := map[string]string{}
	for n, v := range edit {
		if v != "DEL" {
			rest[n] = v
		}
	}
	put(t, w.staged, rest)
}

func TestEveryKindArrivesAndCanBeUndone(t *testing.T) {
	for _, c := range edits {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, project)
			before := snapshot(t, w.real)
			stage(t, w, c.edit)
			cs := w.acceptAll()
			res, err := w.apply()
			must(t, err)
			w.wantReal(snapshot(t, w.staged))
			if len(res.Applied) != len(cs.Hunks) || len(res.Files) == 0 {
				t.Errorf("applied %d of %d hunks, %d files", len(res.Applied), len(cs.Hunks), len(res.Files))
			}
			if len(w.records) != 1 || w.records[0].Type != "changeset.applying" {
				t.Errorf("records %v", w.records)
			}
			_, err = apply.Undo(t.Context(), w.options())
			must(t, err)
			w.wantReal(before)
			if _, err = apply.Undo(t.Context(), w.options()); countersign.CodeOf(err) != countersign.ENotFound {
				t.Errorf("a second undo: %v", err)
			}
		})
	}
}

func TestOnlyAcceptedHunksArrive(t *testing.T) {
	w := newWorld(t, project)
	stage(t, w, map[string]string{"a.txt": "ONE\ntwo\nthree\nFOUR\nfive\nsix\nSEVEN\n", "evil": "evil\n"})
	for _, h := range w.update().Hunks {
		if h.OldStart == 4 {
			_, err := w.review.Accept(h.ID)
			must(t, err)
		} else if h.OldStart == 7 {
			_, err := w.review.Reject(h.ID)
			must(t, err)
		}
	}
	_, err := w.apply()
	must(t, err)
	want := snapshot(t, w.base)
	want["a.txt"] = "one\ntwo\nthree\nFOUR\nfive\nsix\nseven\n"
	w.wantReal(want)
}

// What the agent writes after the review does not reach the tree; what was
// reviewed does.
func TestTheLayerChangesAfterTheReview(t *testing.T) {
	w := newWorld(t, project)
	stage(t, w, map[string]string{"a.txt": "reviewed\ntwo\nthree\nfour\nfive\nsix\nseven\n", "new.bin": "\x00 reviewed"})
	w.acceptAll()
	stage(t, w, map[string]string{"a.txt": "unseen\ntwo\nthree\nfour\nfive\nsix\nseven\n", "new.bin": "\x00 unseen"})
	w.reopen() // a new process looks at the layer again
	cs := w.update()
	states := map[countersign.HunkState]int{}
	for _, h := range cs.Hunks {
		states[h.State]++
	}
	if states[countersign.Accepted] != 2 || states[countersign.Undecided] != 2 {
		t.Errorf("states %v", states)
	}
	_, err := w.apply()
	must(t, err)
	want := snapshot(t, w.base)
	want["a.txt"], want["new.bin"] = "reviewed\ntwo\nthree\nfour\nfive\nsix\nseven\n", "\x00 reviewed"
	w.wantReal(want)
}

func TestAPersonsEditsAreNeverLost(t *testing.T) {
	for _, c := range []struct {
		name               string
		agent, person, end map[string]string
		applied, stale     int
		merged             bool
	}{
		{
			"elsewhere in the file: merged",
			map[string]string{"a.txt": "ONE\ntwo\nthree\nfour\nfive\nsix\nseven\n"},
			map[string]string{"a.txt": "one\ntwo\nthree\nfour\nfive\nsix\nSEVEN\n8\n"},
			map[string]string{"a.txt": "ONE\ntwo\nthree\nfour\nfive\nsix\nSEVEN\n8\n"},
			1, 0, true,
		},
		{
			"same line: stale",
			map[string]string{"a.txt": "ONE\ntwo\nthree\nfour\nfive\nsix\nseven\n"},
			map[string]string{"a.txt": "1\ntwo\nthree\nfour\nfive\nsix\nseven\n"},
			map[string]string{"a.txt": "1\ntwo\nthree\nfour\nfive\nsix\nseven\n"},
			0, 1, false,
		},
		{
			"one hunk merges, one is stale",
			map[string]string{"a.txt": "ONE\ntwo\nthree\nfour\nfive\nsix\nSEVEN\n"},
			map[string]string{"a.txt": "1\ntwo\nthree\nfour\nfive\nsix\nseven\n"},
			map[string]string{"a.txt": "1\ntwo\nthree\nfour\nfive\nsix\nSEVEN\n"},
			1, 1, true,
		},
		{"created too", map[string]string{"n": "agent\n"}, map[string]string{"n": "person\n"}, map[string]string{"n": "person\n"}, 0, 1, false},
		{"created the same", map[string]string{"n": "same\n"}, map[string]string{"n": "same\n"}, map[string]string{"n": "same\n"}, 1, 0, false},
		{"deleted what was edited", map[string]string{"dir/b.txt": "DEL"}, map[string]string{"dir/b.txt": "mine\n"}, map[string]string{"dir/b.txt": "mine\n"}, 0, 1, false},
		{"edited what was deleted", map[string]string{"dir/b.txt": "agent\n"}, map[string]string{"dir/b.txt": "DEL"}, map[string]string{"dir/b.txt": "DEL"}, 0, 1, false},
		{"binary", map[string]string{"bin": "\x00agent"}, map[string]string{"bin": "\x00person"}, map[string]string{"bin": "\x00person"}, 0, 1, false},
		{
			"renamed what was edited",
			map[string]string{"a.txt": "DEL", "r.txt": project["a.txt"]},
			map[string]string{"a.txt": "one\ntwo\nthree\nfour\nfive\nsix\nmine\n"},
			map[string]string{"a.txt": "DEL", "r.txt": "one\ntwo\nthree\nfour\nfive\nsix\nmine\n"},
			1, 0, true,
		},
		{"a stale file does not hold back another", map[string]string{"bin": "\x00agent", "n": "new\n"}, map[string]string{"bin": "\x00person"}, map[string]string{"bin": "\x00person", "n": "new\n"}, 1, 1, false},
		{"file became a directory", map[string]string{"bin": "\x00agent"}, map[string]string{"bin": "DEL", "bin/x": "mine\n"}, map[string]string{"bin": "DEL", "bin/x": "mine\n"}, 0, 1, false},
		{"directory became a link", map[string]string{"dir/b.txt": "agent\n"}, map[string]string{"dir": "DEL", "other/b.txt": "b\n"}, nil, 0, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, project)
			stage(t, w, c.agent)
			w.acceptAll()
			for _, del := range []bool{true, false} {
				for n, v := range c.person {
					if del && v == "DEL" {
						must(t, os.RemoveAll(filepath.Join(w.real, n)))
					} else if !del && v != "DEL" {
						put(t, w.real, map[string]string{n: v})
					}
				}
			}
			if c.end == nil {
				must(t, os.Symlink("other", filepath.Join(w.real, "dir")))
			}
			want := snapshot(t, w.real)
			for n, v := range c.end {
				want[n] = v
				if v == "DEL" {
					delete(want, n)
				}
			}
			res, err := w.apply()
			if wantCode := map[bool]countersign.Code{true: countersign.EPartly, false: ""}[c.stale > 0]; countersign.CodeOf(err) != wantCode {
				t.Errorf("error %v", err)
			}
			if len(res.Applied) != c.applied || len(res.Stale) != c.stale || (len(res.Merged) > 0) != c.merged {
				t.Errorf("applied %d stale %d merged %v", len(res.Applied), len(res.Stale), res.Merged)
			}
			w.wantReal(want)
		})
	}
}

func TestNothingIsWrittenWithoutItsRecord(t *testing.T) {
	w := newWorld(t, project)
	stage(t, w, map[string]string{"a.txt": "x\n", "n": "n\n"})
	w.acceptAll()
	before := snapshot(t, w.real)
	o := w.options()
	o.Record = func(context.Context, countersign.Record) error {
		if d := cmp.Diff(before, snapshot(t, w.real)); d != "" {
			t.Error("written before the record", d)
		}
		return &countersign.Error{Code: countersign.EClosed, Op: "write the ledger"}
	}
	if _, err := apply.Apply(t.Context(), o); countersign.CodeOf(err) != countersign.EClosed {
		t.Errorf("got %v", err)
	}
	w.wantReal(before)
}

func TestTamperedHunkOrStoreIsRefused(t *testing.T) {
	w := newWorld(t, project)
	stage(t, w, map[string]string{"a.txt": "x\n", "n.bin": "\x00reviewed"})
	w.acceptAll()
	before := snapshot(t, w.real)
	o := w.options()
	for i := range o.Hunks {
		if o.Hunks[i].Path == "a.txt" {
			o.Hunks[i].Post = []byte("evil\n")
		}
	}
	if _, err := apply.Apply(t.Context(), o); countersign.CodeOf(err) != countersign.EVerify {
		t.Errorf("a hunk with other bytes: %v", err)
	}
	sum := diff.SHA256([]byte("\x00reviewed"))
	must(t, os.WriteFile(filepath.Join(w.state, "review", "store", sum[:2], sum[2:]), []byte("\x00evil"), 0o600))
	if _, err := w.apply(); !errors.Is(err, store.ErrBytes) {
		t.Errorf("a store with other bytes: %v", err)
	}
	for _, p := range []string{"../out", "/etc/x", "a/../../out", "dir/.."} {
		h := countersign.Hunk{Path: p, Op: countersign.OpCreate, NewMode: 0o100644, Post: []byte("x"), State: countersign.Accepted}
		h = diff.Sum(h)
		h.Digest = diff.Digest(h)
		o.Hunks = []countersign.Hunk{h}
		if _, err := apply.Apply(t.Context(), o); countersign.CodeOf(err) != countersign.EDenied {
			t.Errorf("path %q: %v", p, err)
		}
	}
	w.wantReal(before)
}

func TestUndoLeavesAPersonsEditAlone(t *testing.T) {
	w := newWorld(t, project)
	stage(t, w, map[string]string{"a.txt": "x\n", "dir/b.txt": "y\n"})
	w.acceptAll()
	_, err := w.apply()
	must(t, err)
	put(t, w.real, map[string]string{"a.txt": "edited since\n"})
	before := snapshot(t, w.real)
	_, err = apply.Undo(t.Context(), w.options())
	if countersign.CodeOf(err) != countersign.EInvalid || !strings.Contains(err.Error(), "a.txt") {
		t.Errorf("got %v", err)
	}
	w.wantReal(before)
}

func TestPermissionBitsStay(t *testing.T) {
	w := newWorld(t, project)
	must(t, os.Chmod(w.real+"/a.txt", 0o640))
	must(t, os.Chmod(w.real+"/run.sh", 0o750))
	stage(t, w, map[string]string{"a.txt": "+xone\n", "run.sh": "+xecho other\n"})
	w.acceptAll()
	_, err := w.apply()
	must(t, err)
	for n, want := range map[string]fs.FileMode{"a.txt": 0o750, "run.sh": 0o750} {
		if st, _ := os.Stat(filepath.Join(w.real, n)); st.Mode().Perm() != want {
			t.Errorf("%s has %v, want %v", n, st.Mode().Perm(), want)
		}
	}
	_, err = apply.Undo(t.Context(), w.options())
	must(t, err)
	if st, _ := os.Stat(w.real + "/a.txt"); st.Mode().Perm() != 0o640 {
		t.Errorf("after undo a.txt has %v", st.Mode().Perm())
	}
}

func TestTwoAppliesExcludeEachOther(t *testing.T) {
	w := newWorld(t, project)
	stage(t, w, map[string]string{"a.txt": "x\n"})
	w.acceptAll()
	o := w.options()
	o.Step = func(s apply.Step) error {
		if s != apply.StepCommit {
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := apply.Apply(ctx, w.options()); err == nil || !strings.Contains(err.Error(), "held") {
			t.Errorf("a second apply beside the first: %v", err)
		}
		return nil
	}
	_, err := apply.Apply(t.Context(), o)
	must(t, err)
}

func TestManyFiles(t *testing.T) {
	w := newWorld(t, map[string]string{"keep": "k\n"})
	many := map[string]string{}
	n := 3000
	if os.Getenv("COUNTERSIGN_LONG") != "" {
		n = 10_000
	}
	for i := range n {
		many[fmt.Sprintf("d%d/e%d/f%d.txt", i%50, i%7, i)] = strings.Repeat(fmt.Sprintf("line %d\n", i), 20)
	}
	put(t, w.staged, many)
	start := time.Now()
	cs := w.update()
	t.Logf("update %v", time.Since(start))
	start = time.Now()
	_, err := w.review.AcceptAll()
	must(t, err)
	t.Logf("accept %v", time.Since(start))
	start = time.Now()
	res, err := w.apply()
	must(t, err)
	t.Logf("apply %v", time.Since(start))
	if len(res.Applied) != n || len(cs.Hunks) != n {
		t.Errorf("applied %d of %d", len(res.Applied), len(cs.Hunks))
	}
	if b, _ := w.records[0].JSON(); len(b) > 16<<10 {
		t.Errorf("the decision record has %d bytes", len(b))
	}
	w.wantReal(snapshot(t, w.staged))
}

func TestStoreFindsChangedBytes(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(dir)
	must(t, err)
	sum, n, err := s.Put(bytes.NewReader([]byte("hello")))
	must(t, err)
	must(t, s.Flush())
	if n != 5 || !s.Has(sum) {
		t.Error("not stored")
	}
	must(t, os.WriteFile(filepath.Join(dir, sum[:2], sum[2:]), []byte("hellO"), 0o600))
	if _, err := s.Bytes(sum); !errors.Is(err, store.ErrBytes) {
		t.Errorf("got %v", err)
	}
	again, err := store.Open(dir)
	must(t, err)
	if again.Has(sum) {
		t.Error("a damaged object counts as there")
	}
	if _, err := s.Open("../../etc/passwd"); countersign.CodeOf(err) != countersign.ENotFound {
		t.Errorf("got %v", err)
	}
}

func TestARepositorysOwnDirectoryIsNeverWritten(t *testing.T) {
	w := newWorld(t, project)
	for _, r := range []string{w.real} {
		put(t, r, map[string]string{".git/HEAD": "ref: refs/heads/main\n", "sub/.git": "gitdir: x\n"})
	}
	stage(t, w, map[string]string{".git/hooks/pre-commit": "+xevil\n", "sub/.git": "gitdir: y\n", "made/.git/config": "[core]\n", "a.txt": "x\n"})
	w.acceptAll()
	want := snapshot(t, w.real)
	want["made/.git/config"], want["a.txt"] = "[core]\n", "x\n" // a repository made inside, accepted by name
	res, err := w.apply()
	if countersign.CodeOf(err) != countersign.EPartly || len(res.Stale) != 2 {
		t.Errorf("%v", err)
	}
	w.wantReal(want)
}
