package diff

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	countersign "github.com/countersign/countersign"
)

func ranges(hs []countersign.Hunk) []string {
	var out []string
	for _, h := range hs {
		out = append(out, fmt.Sprintf("-%d,%d +%d,%d", h.OldStart, h.OldLines, h.NewStart, h.NewLines))
	}
	return out
}

func TestHunksHaveGitsNumbers(t *testing.T) {
	for _, c := range []struct {
		name, old, new string
		want           []string
	}{
		{"equal", "a\nb\n", "a\nb\n", nil},
		{"create", "", "a\nb\n", []string{"-0,0 +1,2"}},
		{"empty it", "a\nb\n", "", []string{"-1,2 +0,0"}},
		{"insert first", "b\n", "a\nb\n", []string{"-0,0 +1,1"}},
		{"insert last", "a\n", "a\nb\n", []string{"-1,0 +2,1"}},
		{"delete middle", "a\nb\nc\n", "a\nc\n", []string{"-2,1 +1,0"}},
		{"replace", "a\nb\nc\n", "a\nB\nc\n", []string{"-2,1 +2,1"}},
		{"two", "a\nb\nc\nd\ne\n", "A\nb\nc\nd\nE\n", []string{"-1,1 +1,1", "-5,1 +5,1"}},
		{"lose last newline", "a\nb\n", "a\nb", []string{"-2,1 +2,1"}},
		{"only crlf differs", "a\r\nb\n", "a\nb\n", []string{"-1,1 +1,1"}},
		{"function added", "a {\n}\n\nb {\n}\n", "a {\n}\n\nx {\n}\n\nb {\n}\n", []string{"-3,0 +4,3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, ranges(Hunks([]byte(c.old), []byte(c.new)))); d != "" {
				t.Error(d)
			}
		})
	}
}

// gitHunks asks git itself.
func gitHunks(t *testing.T, dir string, old, new []byte) []string {
	t.Helper()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for p, c := range map[string][]byte{a: old, b: new} {
		if err := os.WriteFile(p, c, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("git", "diff", "--no-index", "--no-ext-diff", "--text", "-U0", "a", "b")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+dir, "GIT_CONFIG_GLOBAL=/dev/null")
	out, _ := cmd.Output() // exit status 1 says that they differ
	var hs []string
	for _, l := range strings.Split(string(out), "\n") {
		if !strings.HasPrefix(l, "@@ ") {
			continue
		}
		f := strings.Fields(l)
		for i := 1; i <= 2; i++ {
			if !strings.Contains(f[i], ",") {
				f[i] += ",1"
			}
		}
		hs = append(hs, f[1]+" "+f[2])
	}
	return hs
}

// check holds the properties that must never fail, whatever the input.
func check(t *testing.T, old, new []byte, r *rand.Rand) []countersign.Hunk {
	t.Helper()
	hs := Hunks(old, new)
	must := func(sub []countersign.Hunk) []byte {
		b, err := Apply(old, sub)
		if err != nil {
			t.Fatalf("apply %v of %q -> %q: %v", ranges(sub), old, new, err)
		}
		return b
	}
	if !bytes.Equal(must(hs), new) {
		t.Fatalf("apply(all) is not new: %q -> %q: %v", old, new, ranges(hs))
	}
	if !bytes.Equal(must(nil), old) {
		t.Fatal("apply(none) is not old")
	}
	for i := range hs {
		precise(t, hs, i)
	}
	pieces := hs
	if len(hs) > 0 {
		k := r.IntN(len(hs))
		if s := Split(hs[k]); s != nil {
			pieces = append(append(append([]countersign.Hunk(nil), hs[:k]...), s...), hs[k+1:]...)
		}
		if !bytes.Equal(must(pieces), new) {
			t.Fatalf("apply(all pieces) is not new: %q -> %q: %v", old, new, ranges(pieces))
		}
	}
	var sub []countersign.Hunk
	for _, h := range pieces {
		if r.IntN(2) == 0 {
			sub = append(sub, h)
		}
	}
	want := must(sub)
	r.Shuffle(len(sub), func(i, j int) { sub[i], sub[j] = sub[j], sub[i] })
	if !bytes.Equal(must(sub), want) {
		t.Fatal("the order in which hunks are given changes the result")
	}
	return hs
}

// precise: a hunk starts and ends with changed lines, and an unchanged line
// stands between it and the next.
func precise(t *testing.T, hs []countersign.Hunk, i int) {
	t.Helper()
	h := hs[i]
	if h.OldLines == 0 && h.NewLines == 0 || bytes.Equal(h.Pre, h.Post) {
		t.Fatalf("hunk %v changes nothing", ranges(hs[i:i+1]))
	}
	if i == 0 {
		return
	}
	p := hs[i-1]
	if index(h.OldStart, h.OldLines) <= index(p.OldStart, p.OldLines)+p.OldLines {
		t.Fatalf("hunks touch: %v", ranges(hs[i-1:i+1]))
	}
}

func TestGeneratedEditsAgainstGit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	n, same := 400, 0
	for i := range n {
		old, new := edit(r, i)
		got, want := ranges(check(t, old, new, r)), gitHunks(t, dir, old, new)
		if cmp.Equal(got, want) {
			same++
			continue
		}
		if changedLines(got) > changedLines(want) {
			t.Errorf("more changed lines than git: %v, git %v", got, want)
		}
	}
	// What remains is git's own shortcut of not looking at frequent lines.
	if same < n*95/100 {
		t.Errorf("%d of %d edits have the hunks of git diff -U0", same, n)
	}
	t.Logf("%d of %d the same as git", same, n)
}

func changedLines(hs []string) (n int) {
	for _, h := range hs {
		var a, b, c, d int
		fmt.Sscanf(h, "-%d,%d +%d,%d", &a, &b, &c, &d)
		n += b + d
	}
	return n
}

// edit makes a file that looks like a program, and an edit of it.
func edit(r *rand.Rand, seed int) (old, new []byte) {
	words := []string{"if x {", "}", "", "return nil", "\tfoo()", "\t\tbar(1)", "func f() {", "// why", "\t}", "x := 1"}
	line := func() string {
		if r.IntN(3) == 0 {
			return fmt.Sprintf("%s %d", words[r.IntN(len(words))], r.IntN(50))
		}
		return words[r.IntN(len(words))]
	}
	var a []string
	for range 5 + r.IntN(60) {
		a = append(a, line())
	}
	b := append([]string(nil), a...)
	for range 1 + r.IntN(5) {
		at := r.IntN(len(b) + 1)
		switch r.IntN(3) {
		case 0:
			b = append(b[:at:at], append([]string{line(), line()}, b[at:]...)...)
		case 1:
			end := min(len(b), at+1+r.IntN(3))
			b = append(b[:at:at], b[end:]...)
		default:
			if at < len(b) {
				b[at] = line()
			}
		}
	}
	end := "\n"
	if seed%7 == 0 {
		end = "\r\n"
	}
	old, new = []byte(strings.Join(a, end)), []byte(strings.Join(b, end))
	if seed%5 != 0 {
		old = append(old, end...)
	}
	if seed%3 != 0 {
		new = append(new, end...)
	}
	if seed%11 == 0 {
		new = append([]byte("\xff\xfe bad \xc3\n"), new...)
	}
	return old, new
}

// TestRealEditsAgainstGit reworks source files of the standard library. Where it
// differs, the two shortest edit scripts have the same number of lines.
func TestRealEditsAgainstGit(t *testing.T) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skip("no go command")
	}
	files, _ := filepath.Glob(filepath.Join(strings.TrimSpace(string(root)), "src", "net", "http", "*.go"))
	if len(files) < 20 {
		t.Skip("no sources")
	}
	r := rand.New(rand.NewPCG(3, 4))
	dir := t.TempDir()
	n, same := 0, 0
	for _, f := range files {
		old, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			new := rework(r, old)
			got, want := ranges(check(t, old, new, r)), gitHunks(t, dir, old, new)
			n++
			if cmp.Equal(got, want) {
				same++
			} else if changedLines(got) > changedLines(want) {
				t.Errorf("%s: more changed lines than git: %d, git %d", f, changedLines(got), changedLines(want))
			}
		}
	}
	if same*100 < n*94 {
		t.Errorf("%d of %d real files have the hunks of git diff -U0", same, n)
	}
	t.Logf("%d of %d the same as git", same, n)
}

// rework moves, drops, doubles and changes blocks, as an agent does.
func rework(r *rand.Rand, old []byte) []byte {
	ls := Lines(old)
	for range 1 + r.IntN(12) {
		at := r.IntN(len(ls))
		end := min(len(ls), at+1+r.IntN(15))
		block := append([][]byte(nil), ls[at:end]...)
		switch r.IntN(4) {
		case 0:
			ls = append(ls[:at:at], ls[end:]...)
		case 1:
			ls = append(ls[:end:end], append(block, ls[end:]...)...)
		case 2:
			to := r.IntN(len(ls))
			ls = append(ls[:to:to], append(block, ls[to:]...)...)
		default:
			ls = append(ls[:at:at], append([][]byte{[]byte("\tchanged()\n")}, ls[end:]...)...)
		}
		if len(ls) == 0 {
			return nil
		}
	}
	return bytes.Join(ls, nil)
}

func FuzzHunks(f *testing.F) {
	f.Add([]byte("a\nb\nc"), []byte("a\nc\n"), uint64(1))
	f.Add([]byte(""), []byte("\r\n\r\n"), uint64(2))
	f.Add([]byte("\xff\n\x00"), []byte("\x00\n\xff\n\n"), uint64(3))
	f.Add([]byte("a\na\na\n"), []byte("a\na\na\na\n"), uint64(4))
	f.Fuzz(func(t *testing.T, old, new []byte, seed uint64) {
		check(t, old, new, rand.New(rand.NewPCG(seed, 1)))
	})
}

func TestManyRandomSmallFiles(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 20_000 {
		mk := func() []byte {
			var b []byte
			for range r.IntN(9) {
				b = append(b, "abc\n\n"[r.IntN(5)])
			}
			return b
		}
		check(t, mk(), mk(), r)
	}
}

// A file of many lines with nothing in its place must not take quadratic time.
func TestHugeInputsEnd(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	var a, b bytes.Buffer
	for range 150_000 {
		fmt.Fprintln(&a, r.IntN(5000))
		fmt.Fprintln(&b, r.IntN(5000))
	}
	hs := Hunks(a.Bytes(), b.Bytes())
	got, err := Apply(a.Bytes(), hs)
	if err != nil || !bytes.Equal(got, b.Bytes()) {
		t.Fatal("apply(all) is not new", err)
	}
	for i := range hs {
		precise(t, hs, i)
	}
}

func TestApplyRefusesWhatDoesNotFit(t *testing.T) {
	old := []byte("a\nb\nc\n")
	h := Hunks(old, []byte("a\nB\nc\n"))[0]
	wrong := h
	wrong.Pre = []byte("x\n")
	far := h
	far.OldStart = 9
	whole := h
	whole.Op = countersign.OpCreate
	for name, hs := range map[string][]countersign.Hunk{
		"other old bytes": {wrong}, "behind the end": {far}, "twice": {h, h}, "not lines": {whole},
	} {
		if _, err := Apply(old, hs); err == nil {
			t.Errorf("%s: applied", name)
		}
	}
}

func TestMerge3(t *testing.T) {
	for _, c := range []struct {
		name, base, ours, theirs, want string
		conflicts                      int
	}{
		{"apart", "a\nb\nc\nd\ne\n", "A\nb\nc\nd\ne\n", "a\nb\nc\nd\nE\n", "A\nb\nc\nd\nE\n", 0},
		{"same change", "a\nb\nc\n", "a\nX\nc\n", "a\nX\nc\n", "a\nX\nc\n", 0},
		{"same change and another", "a\nb\nc\nd\ne\n", "a\nX\nc\nd\ne\n", "a\nX\nc\nd\nE\n", "a\nX\nc\nd\nE\n", 0},
		{"same line", "a\nb\nc\n", "a\nX\nc\n", "a\nY\nc\n", "a\nX\nc\n", 1},
		{"touching", "a\nb\nc\nd\n", "a\nX\nc\nd\n", "a\nb\nY\nd\n", "a\nX\nc\nd\n", 1},
		{"both insert at one place", "a\nb\n", "a\nx\nb\n", "a\ny\nb\n", "a\nx\nb\n", 1},
		{"ours moved it down", "a\nb\nc\nd\n", "0\n1\na\nb\nc\nd\n", "a\nb\nc\nD\n", "0\n1\na\nb\nc\nD\n", 0},
		{"no last newline", "a\nb\nc", "A\nb\nc", "a\nb\nc\nd", "A\nb\nc\nd", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, cs := Merge3([]byte(c.base), []byte(c.ours), []byte(c.theirs))
			if string(got) != c.want || len(cs) != c.conflicts {
				t.Errorf("got %q with %d conflicts, want %q with %d", got, len(cs), c.want, c.conflicts)
			}
		})
	}
}

// Property: where the two sides' changes are far apart, merging is the same
// from both sides and contains both.
func TestMerge3IsSymmetric(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for i := range 2000 {
		base, ours := edit(r, i)
		theirs := rework(r, base)
		m1, c1 := Merge3(base, ours, theirs)
		m2, c2 := Merge3(base, theirs, ours)
		if len(c1) != len(c2) {
			t.Fatalf("conflicts %d and %d", len(c1), len(c2))
		}
		if len(c1) == 0 && !bytes.Equal(m1, m2) {
			t.Fatalf("merge depends on the side: %q %q", m1, m2)
		}
	}
}

func TestDigestCoversEverything(t *testing.T) {
	h := countersign.Hunk{Path: "p", Op: countersign.OpModify, OldMode: 0o100644, NewMode: 0o100644, Base: "00", OldStart: 3, OldLines: 1, NewStart: 3, NewLines: 1, Pre: []byte("a\n"), Post: []byte("b\n")}
	base := Digest(h)
	for name, f := range map[string]func(*countersign.Hunk){
		"path": func(h *countersign.Hunk) { h.Path = "q" }, "old path": func(h *countersign.Hunk) { h.OldPath = "q" },
		"op": func(h *countersign.Hunk) { h.Op = countersign.OpCreate }, "old mode": func(h *countersign.Hunk) { h.OldMode++ },
		"new mode": func(h *countersign.Hunk) { h.NewMode = 0o100755 }, "base": func(h *countersign.Hunk) { h.Base = "01" },
		"old start": func(h *countersign.Hunk) { h.OldStart++ }, "old lines": func(h *countersign.Hunk) { h.OldLines++ },
		"new lines": func(h *countersign.Hunk) { h.NewLines++ }, "part": func(h *countersign.Hunk) { h.Part++ },
		"pre": func(h *countersign.Hunk) { h.Pre = []byte("a") }, "post": func(h *countersign.Hunk) { h.Post = []byte("c\n") },
		"field border": func(h *countersign.Hunk) { h.Path, h.OldPath = "", "p" },
	} {
		c := h
		f(&c)
		if Digest(c) == base {
			t.Errorf("%s is not covered", name)
		}
	}
	moved := h
	moved.NewStart = 99
	if Digest(moved) != base {
		t.Error("the place in the new file depends on other hunks and must not be covered")
	}
	lazy := Sum(h)
	lazy.Pre, lazy.Post = nil, nil
	if Digest(lazy) != base {
		t.Error("the digest of a hunk whose bytes are in the store differs")
	}
	const want = "sha256:e7681bcb3b78eb19"
	if !strings.HasPrefix(base, want) {
		t.Errorf("the format of version 1 changed: %s", base)
	}
}

func TestIDsAreShortestUniquePrefixes(t *testing.T) {
	mk := func(d string) countersign.Hunk {
		return countersign.Hunk{Digest: "sha256:" + d + strings.Repeat("0", 64-len(d))}
	}
	hs := []countersign.Hunk{mk("aaaaaaaa1"), mk("bbbbbbbb")}
	SetIDs(hs)
	if hs[0].ID != "aaaaaaaa" || hs[1].ID != "bbbbbbbb" {
		t.Errorf("ids %s %s", hs[0].ID, hs[1].ID)
	}
	hs = append(hs, mk("aaaaaaaa2"))
	SetIDs(hs)
	if hs[0].ID != "aaaaaaaa1" || hs[2].ID != "aaaaaaaa2" {
		t.Errorf("ids %s %s", hs[0].ID, hs[2].ID)
	}
}

func BenchmarkHunks(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	var buf bytes.Buffer
	for range 20_000 {
		fmt.Fprintf(&buf, "line %d\n", r.IntN(4000))
	}
	old := buf.Bytes()
	new := old
	for range 30 {
		new = rework(r, new)
	}
	b.SetBytes(int64(len(old)))
	for b.Loop() {
		Hunks(old, new)
	}
}

func TestTextIsGits(t *testing.T) {
	h := Hunks([]byte("a\nb\nc"), []byte("a\nX\nY\nc\n"))
	if got := string(Text(h[0])); got != "@@ -2,2 +2,3 @@\n-b\n-c\n\\ No newline at end of file\n+X\n+Y\n+c\n" {
		t.Errorf("%q", got)
	}
}

func TestWordsMarkWhatDiffers(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"return foo(bar, 1)\n", "return foo(baz, 1)\n", "return foo([bar], 1)\n|return foo([baz], 1)\n"},
		{"a b c\n", "a c\n", "a [b ]c\n|a c\n"},
		{"x := f(größe)\n", "x := f(größer)\n", "x := f([größe])\n|x := f([größer])\n"},
		{"nothing shared", "utterly other", "nothing shared|utterly other"},
		{"same\n", "same\n", "same\n|same\n"},
	} {
		a, b := Words([]byte(c.old), []byte(c.new))
		if got := mark(c.old, a) + "|" + mark(c.new, b); got != c.want {
			t.Errorf("%q", got)
		}
	}
}

func mark(s string, spans []Span) string {
	for i := len(spans) - 1; i >= 0; i-- {
		p := spans[i]
		s = s[:p.From] + "[" + s[p.From:p.To] + "]" + s[p.To:]
	}
	return s
}

func FuzzMerge3(f *testing.F) {
	f.Add([]byte("a\nb\nc"), []byte("a\nc\n"), []byte("A\nb\nc"))
	f.Fuzz(func(t *testing.T, base, ours, theirs []byte) {
		m1, c1 := Merge3(base, ours, theirs)
		m2, c2 := Merge3(base, theirs, ours)
		if len(c1) != len(c2) || len(c1) == 0 && !bytes.Equal(m1, m2) {
			t.Fatal("merge depends on the side")
		}
		if m, c := Merge3(base, ours, base); len(c) > 0 || !bytes.Equal(m, ours) {
			t.Fatal("merging nothing changes ours")
		}
	})
}
