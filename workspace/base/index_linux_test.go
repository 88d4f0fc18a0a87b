package base

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/workspace/layer"
)

func entries() map[string]*Entry {
	return map[string]*Entry{
		"":           {Kind: Dir},
		"a\nb \xff":  {Kind: File, Flags: Ignored | Conflict, Mode: 0o100755, Real: layer.Stamp{Size: 1 << 40, MTime: -1, CTime: 1 << 62, Ino: 1<<64 - 1}, Snap: layer.Stamp{Ino: 7}, Sum: [32]byte{1, 31: 2}},
		"d/.env":     {Kind: Denied, Rule: "r", Alias: "other"},
		"d/vault":    {Kind: Vault, Rule: "r"},
		"link":       {Kind: Link, Mode: 0o120777},
		"locked":     {Kind: Closed},
		"modules":    {Kind: Bulk, Rule: "signature"},
		"modules/so": {Kind: Attach},
	}
}

func TestIndexIsReadAsItWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "base.idx")
	x := NewIndex()
	for rel, e := range entries() {
		x.Set(rel, e)
	}
	if !x.Dirty() {
		t.Error("a changed index is not dirty")
	}
	if err := x.Save(path); err != nil || x.Dirty() {
		t.Fatal(err, x.Dirty())
	}
	got, err := LoadIndex(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(entries(), maps.Collect(got.All())); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"a\nb \xff"}, got.Conflicts()); d != "" {
		t.Error(d)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole { // a torn one is refused, wherever it ends
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadIndex(path); err == nil {
			t.Fatalf("the first %d of %d bytes are taken for an index", n, len(whole))
		}
	}
}

// An index that is saved again is written where an entry was changed in place, or
// the file is not the one that was saved, and only there.
func TestIndexIsWrittenOnceForOneContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "base.idx")
	saved := func(x *Index) os.FileInfo {
		t.Helper()
		if err := x.Save(path); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	x := NewIndex()
	for rel, e := range entries() {
		x.Set(rel, e)
	}
	first := saved(x)
	x, err := LoadIndex(path)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(first, saved(x)) {
		t.Error("what the file holds was written again")
	}
	x.Get("link").Mode = 0o120700
	second := saved(x)
	if os.SameFile(first, second) {
		t.Error("a changed entry was not written")
	}
	if err := os.WriteFile(path, []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	saved(x)
	if y, err := LoadIndex(path); err != nil || y.Get("link").Mode != 0o120700 {
		t.Error("another's file was left in place:", err)
	}
}

func FuzzReadEntry(f *testing.F) {
	x := &Index{m: entries()}
	var b bytes.Buffer
	x.write(&b)
	f.Add(b.Bytes()[len(indexMagic):])
	f.Add([]byte{'f', 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		y := &Index{m: map[string]*Entry{}}
		for {
			p, e, err := readEntry(r)
			if err != nil {
				break
			}
			y.m[p] = e
		}
		var out bytes.Buffer
		y.write(&out)
		r = bytes.NewReader(out.Bytes()[len(indexMagic):])
		for {
			p, e, err := readEntry(r)
			if err != nil {
				break
			}
			if d := cmp.Diff(y.m[p], e); d != "" {
				t.Fatal(d)
			}
			delete(y.m, p)
		}
		if len(y.m) > 0 {
			t.Fatalf("lost: %v", y.m)
		}
	})
}
