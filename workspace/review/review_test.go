package review

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/diff"
	"github.com/countersign/countersign/workspace/tree"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, dir string) *Review {
	t.Helper()
	r, err := Open(dir, "s")
	must(t, err)
	return r
}

func file(s string) *tree.State { return tree.FromBytes([]byte(s), tree.ModeFile) }

func change(path string, base, staged *tree.State) tree.Change {
	return tree.Change{Path: path, Base: base, Staged: staged}
}

func update(t testing.TB, r *Review, cs ...tree.Change) []countersign.Hunk {
	t.Helper()
	set, err := r.Update(cs, nil, nil)
	must(t, err)
	return set.Hunks
}

// brief is a hunk in one line.
func brief(hs []countersign.Hunk) []string {
	var out []string
	for _, h := range hs {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s -%d,%d +%d,%d %s %s", h.Op, h.Path, h.OldStart, h.OldLines, h.NewStart, h.NewLines, h.State, h.OldPath)))
	}
	return out
}

const five = "1\n2\n3\n4\n5\n"

func TestEachKindOfChangeIsItsHunks(t *testing.T) {
	big := strings.Repeat("0123456789\n", maxText/10)
	for _, c := range []struct {
		name string
		in   tree.Change
		want []string
	}{
		{"lines", change("f", file(five), file("1\nx\n3\n4\ny\n")), []string{"modify f -2,1 +2,1 undecided", "modify f -5,1 +5,1 undecided"}},
		{"create", change("f", nil, file(five)), []string{"create f -0,0 +1,5 undecided"}},
		{"create empty", change("f", nil, file("")), []string{"create f -0,0 +0,0 undecided"}},
		{"delete", change("f", file(five), nil), []string{"delete f -1,5 +0,0 undecided"}},
		{"binary", change("f", file("a\x00"), file("b\x00")), []string{"binary f -0,0 +0,0 undecided"}},
		{"text to binary", change("f", file("a\n"), file("b\x00")), []string{"binary f -0,0 +0,0 undecided"}},
		{"NUL after the first 8000 bytes", change("f", file(strings.Repeat("a\n", 5000)), file(strings.Repeat("a\n", 5000)+"\x00\n")), []string{"modify f -5000,0 +5001,1 undecided"}},
		{"huge", change("f", file(big), file(big+"x\n")), []string{"binary f -0,0 +0,0 undecided"}},
		{"mode", change("f", file(five), tree.FromBytes([]byte(five), tree.ModeExec)), []string{"mode f -0,0 +0,0 undecided"}},
		{"mode and lines", change("f", file(five), tree.FromBytes([]byte("x\n"+five), tree.ModeExec)), []string{"mode f -0,0 +0,0 undecided", "modify f -0,0 +1,1 undecided"}},
		{"new symlink", change("l", nil, tree.FromBytes([]byte("f"), tree.ModeSymlink)), []string{"symlink l -0,0 +0,0 undecided"}},
		{"other target", change("l", tree.FromBytes([]byte("e"), tree.ModeSymlink), tree.FromBytes([]byte("f"), tree.ModeSymlink)), []string{"symlink l -0,0 +0,0 undecided"}},
		{"file to symlink", change("l", file("e"), tree.FromBytes([]byte("f"), tree.ModeSymlink)), []string{"symlink l -0,0 +0,0 undecided"}},
		{"symlink gone", change("l", tree.FromBytes([]byte("e"), tree.ModeSymlink), nil), []string{"delete l -0,0 +0,0 undecided"}},
		{"crlf", change("f", file("a\r\nb\r\n"), file("a\r\nb\n")), []string{"modify f -2,1 +2,1 undecided"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			hs := update(t, open(t, t.TempDir()), c.in)
			if d := cmp.Diff(c.want, brief(hs)); d != "" {
				t.Error(d)
			}
			for _, h := range hs {
				if diff.Digest(h) != h.Digest || !strings.HasPrefix(h.Digest, "sha256:"+h.ID) || len(h.ID) < 8 {
					t.Errorf("digest %s, id %s", h.Digest, h.ID)
				}
			}
		})
	}
}

func TestRenamesAreFound(t *testing.T) {
	text := strings.Repeat("a line of some length\n", 5)
	for _, c := range []struct {
		name string
		in   []tree.Change
		want []string
	}{
		{"same content", []tree.Change{change("a", file(text), nil), change("b", nil, file(text))}, []string{"rename b -0,0 +0,0 undecided a"}},
		{
			"same content, the same name first",
			[]tree.Change{change("d/x", file(text), nil), change("d/y", file(text), nil), change("e/y", nil, file(text)), change("e/z", nil, file(text))},
			[]string{"rename e/y -0,0 +0,0 undecided d/y", "rename e/z -0,0 +0,0 undecided d/x"},
		},
		{
			"directory, one file edited",
			[]tree.Change{change("d/a", file(text+"a\n"), nil), change("d/b", file(text+"b\n"), nil), change("e/a", nil, file(text+"a\n")), change("e/b", nil, file(text+"B\n"))},
			[]string{"rename e/a -0,0 +0,0 undecided d/a", "rename e/b -0,0 +0,0 undecided d/b", "modify e/b -6,1 +6,1 undecided d/b"},
		},
		{"with another mode", []tree.Change{change("a", file(text), nil), change("b", nil, tree.FromBytes([]byte(text), tree.ModeExec))}, []string{"rename b -0,0 +0,0 undecided a", "mode b -0,0 +0,0 undecided a"}},
		{"not alike", []tree.Change{change("a", file(text), nil), change("b", nil, file("other\n"))}, []string{"delete a -1,5 +0,0 undecided", "create b -0,0 +1,1 undecided"}},
		{"empty files are no rename", []tree.Change{change("a", file(""), nil), change("b", nil, file(""))}, []string{"delete a -0,0 +0,0 undecided", "create b -0,0 +0,0 undecided"}},
		{
			"told by staging",
			[]tree.Change{{Path: "b", RenamedFrom: "a", Base: file(five), Staged: file("x\n")}, change("a", file(five), nil)},
			[]string{"rename b -0,0 +0,0 undecided a", "modify b -1,5 +1,1 undecided a"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, brief(update(t, open(t, t.TempDir()), c.in...))); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestDecisionsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	c := []tree.Change{change("f", file(five), file("a\n2\nb\n4\nc\n")), change("n", nil, file("new\n")), change("s", file(five), file("x\ny\n3\n4\n5\n")), change("bad\xff\nname", nil, file("x"))}
	r := open(t, dir)
	hs := update(t, r, c...)
	_, err := r.Accept(hs[0].ID)
	must(t, err)
	at := func(path string, line int) string {
		for _, h := range r.Changeset().Hunks {
			if h.Path == path && h.OldStart == line {
				return h.ID
			}
		}
		t.Fatalf("no hunk at %s:%d", path, line)
		return ""
	}
	_, err = r.Accept(at("f", 1))
	must(t, err)
	_, err = r.Reject(at("f", 3))
	must(t, err)
	e, err := r.Edit(at("f", 5), []byte("mine"))
	must(t, err)
	if string(e.Post) != "mine\n" || diff.Digest(e) != e.Digest || e.Proposed == "" || !strings.HasPrefix(e.Proposed, "sha256:"+e.ID) {
		t.Errorf("edited: %+v", e)
	}
	pieces, err := r.Split(at("s", 1))
	must(t, err)
	_, err = r.Accept(pieces[1].ID)
	must(t, err)
	want := r.Changeset().Hunks
	r = open(t, dir)
	got := update(t, r, c...)
	for _, hs := range [][]countersign.Hunk{want, got} {
		for i := range hs {
			must(t, r.Load(&hs[i]))
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if n := len(r.Ready()); n != 4 {
		t.Errorf("%d hunks are ready", n)
	}
	// And back: an edited hunk that is rejected is the agent's again.
	back, err := r.Reject(e.ID)
	must(t, err)
	if string(back[0].Post) != "c\n" || back[0].Digest != e.Proposed {
		t.Errorf("rejected: %+v", back[0])
	}
	if hs := update(t, open(t, dir), c...); hs[3].State != countersign.Rejected || string(hs[3].Post) != "c\n" {
		t.Errorf("after a restart: %+v", hs[3])
	}
}

func TestWhatTheAgentDoesAfterADecision(t *testing.T) {
	for _, c := range []struct {
		name          string
		decide        countersign.HunkState
		then          []tree.Change
		want          []string
		acceptNewOnes []string // what is left when the undecided ones are accepted
	}{
		{
			"goes on elsewhere in the file", countersign.Accepted,
			[]tree.Change{change("f", file(five), file("0\n1\n2\nX\n4\n5\n"))},
			[]string{"modify f -0,0 +1,1 undecided", "modify f -3,1 +4,1 accepted"},
			[]string{"modify f -0,0 +1,1 accepted", "modify f -3,1 +4,1 accepted"},
		},
		{
			"writes other bytes there: the accepted ones are kept until others are", countersign.Accepted,
			[]tree.Change{change("f", file(five), file("1\n2\nY\n4\n5\n"))},
			[]string{"modify f -3,1 +3,1 accepted", "modify f -3,1 +3,1 undecided"},
			[]string{"modify f -3,1 +3,1 accepted"},
		},
		{"takes it back", countersign.Accepted, nil, nil, nil},
		{"deletes the file", countersign.Accepted, []tree.Change{change("f", file(five), nil)}, []string{"delete f -1,5 +0,0 undecided", "modify f -3,1 +3,1 accepted"}, []string{"delete f -1,5 +0,0 accepted"}},
		{"the base changed: shown again", countersign.Accepted, []tree.Change{change("f", file("0\n"+five), file("0\n1\n2\nX\n4\n5\n"))}, []string{"modify f -4,1 +4,1 stale"}, []string{"modify f -4,1 +4,1 accepted"}},
		{"the base changed: a rejection stays", countersign.Rejected, []tree.Change{change("f", file("0\n"+five), file("0\n1\n2\nX\n4\n5\n"))}, []string{"modify f -4,1 +4,1 rejected"}, []string{"modify f -4,1 +4,1 rejected"}},
		{"rejected, then other bytes", countersign.Rejected, []tree.Change{change("f", file(five), file("1\n2\nY\n4\n5\n"))}, []string{"modify f -3,1 +3,1 undecided"}, []string{"modify f -3,1 +3,1 accepted"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			r := open(t, dir)
			h := update(t, r, change("f", file(five), file("1\n2\nX\n4\n5\n")))[0]
			_, err := r.decide(c.decide, []string{h.ID})
			must(t, err)
			sorted := func(hs []countersign.Hunk) []string {
				out := brief(hs)
				if len(out) == 2 && out[0] > out[1] {
					out[0], out[1] = out[1], out[0]
				}
				return out
			}
			r = open(t, dir)
			if d := cmp.Diff(c.want, sorted(update(t, r, c.then...))); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(c.want, sorted(update(t, r, c.then...))); d != "" {
				t.Errorf("another update: %s", d)
			}
			for _, h := range r.Changeset().Hunks {
				if h.State == countersign.Undecided || h.State == countersign.Stale {
					_, err := r.Accept(h.Digest)
					must(t, err)
				}
			}
			if d := cmp.Diff(c.acceptNewOnes, sorted(update(t, open(t, dir), c.then...))); d != "" {
				t.Errorf("after accepting: %s", d)
			}
		})
	}
}

func TestHighRiskIsNeverAcceptedInBulk(t *testing.T) {
	link := func(s string) *tree.State { return tree.FromBytes([]byte(s), tree.ModeSymlink) }
	policy := func(p string) (countersign.Risk, string) {
		if strings.HasPrefix(p, ".vscode/") {
			return countersign.RiskHigh, "the editor starts it"
		}
		return countersign.RiskNormal, ""
	}
	for _, c := range []struct {
		name string
		in   []tree.Change
		high int
	}{
		{"ordinary", []tree.Change{change("a", nil, file("x"))}, 0},
		{"by policy", []tree.Change{change(".vscode/tasks.json", nil, file("x"))}, 1},
		{"renamed away from there", []tree.Change{{Path: "x", RenamedFrom: ".vscode/tasks.json", Base: file("x"), Staged: file("x")}}, 1},
		{"a repository's directory", []tree.Change{change("sub/.git/config", nil, file("x"))}, 1},
		{"its case variant", []tree.Change{change("sub/.GIT/config", nil, file("x"))}, 1},
		{"its short name", []tree.Change{change("GIT~1/config", nil, file("x"))}, 1},
		{"with an ignorable code point", []tree.Change{change(".g\u200cit/config", nil, file("x"))}, 1},
		{"with a trailing dot and stream", []tree.Change{change(".git. /x", nil, file("x")), change(".git::$INDEX_ALLOCATION/y", nil, file("y"))}, 2},
		{"a gitlink file", []tree.Change{change("sub/.git", nil, file("gitdir: /x"))}, 1},
		{"not it", []tree.Change{change(".github/x", nil, file("x")), change("a.git/x", nil, file("y")), change(".gitignore", nil, file("z"))}, 0},
		{"a bare repository", []tree.Change{change("b/HEAD", nil, file("x")), change("b/objects/info/x", nil, file("y")), change("b/config", nil, file("z")), change("c/config", nil, file("w"))}, 3},
		{"a HEAD alone", []tree.Change{change("b/HEAD", nil, file("ref: refs/heads/main\n"))}, 1},
		{"a link that leaves", []tree.Change{change("d/l", nil, link("../../x")), change("m", nil, link("/etc/passwd"))}, 2},
		{"a link that stays", []tree.Change{change("d/l", nil, link("../x"))}, 0},
		{"a link into .git", []tree.Change{change("d/l", nil, link("../.git/hooks"))}, 1},
		{"set-user-id", []tree.Change{change("s", file("x"), tree.FromBytes([]byte("x"), 0o104755)), change("t", nil, tree.FromBytes([]byte("y"), 0o102755))}, 2},
		{"executable", []tree.Change{change("s", file("x"), tree.FromBytes([]byte("x"), tree.ModeExec))}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := open(t, t.TempDir())
			set, err := r.Update(c.in, policy, nil)
			must(t, err)
			high := 0
			for _, h := range set.Hunks {
				if h.Risk == countersign.RiskHigh {
					high++
					if h.Why == "" {
						t.Errorf("%s: no reason", h.Path)
					}
				}
			}
			if high != c.high {
				t.Errorf("%d of high risk, want %d: %v", high, c.high, brief(set.Hunks))
			}
			hs, err := r.AcceptAll()
			must(t, err)
			if len(hs) != len(set.Hunks)-high {
				t.Errorf("%d of %d accepted", len(hs), len(set.Hunks))
			}
			for _, h := range set.Hunks { // named, each can be
				if h.Risk == countersign.RiskHigh {
					_, err := r.Accept(h.ID)
					must(t, err)
				}
			}
		})
	}
}

func TestIgnoredFilesAreCountedOnly(t *testing.T) {
	r := open(t, t.TempDir())
	cs := []tree.Change{change("a", nil, file("x")), {Path: "build/x.o", Staged: file("x"), Ignored: true}, {Path: ".env", Staged: file("y"), Ignored: true}}
	set, err := r.Update(cs, nil, func(p string) bool { return p == ".env" })
	must(t, err)
	if len(set.Hunks) != 2 || set.Ignored != 1 {
		t.Errorf("%v, %d ignored", brief(set.Hunks), set.Ignored)
	}
}

func TestHunksAreNamedByPrefixes(t *testing.T) {
	r := open(t, t.TempDir())
	var cs []tree.Change
	for i := range 3000 { // 8 digits stay unique; 4 do not
		cs = append(cs, change(fmt.Sprintf("f%d", i), nil, file(fmt.Sprint(i))))
	}
	hs := update(t, r, cs...)
	for _, id := range []string{hs[7].ID, hs[7].Digest, strings.TrimPrefix(hs[7].Digest, "sha256:"), hs[7].Digest[:7+20]} {
		if h, err := r.Find(id); err != nil || h.Path != hs[7].Path {
			t.Errorf("%s: %v", id, err)
		}
	}
	for id, code := range map[string]countersign.Code{"": countersign.ENotFound, "zz": countersign.ENotFound, strings.Repeat("0", 64): countersign.ENotFound} {
		if _, err := r.Find(id); countersign.CodeOf(err) != code {
			t.Errorf("%q: %v", id, err)
		}
	}
	if _, err := r.Accept(hs[0].ID, "ffffffffffffff"); err == nil {
		t.Error("an unknown id beside a known one was passed over")
	}
	if n := len(r.Ready()); n != 0 {
		t.Errorf("%d accepted although one of the ids was wrong", n)
	}
}

func TestTwoReviewersDoNotLoseEachOther(t *testing.T) {
	dir := t.TempDir()
	var cs []tree.Change
	for i := range 60 {
		cs = append(cs, change(fmt.Sprintf("f%02d", i), nil, file(fmt.Sprint(i))))
	}
	var wg sync.WaitGroup
	for p := range 3 {
		r := open(t, dir)
		hs := update(t, r, cs...)
		wg.Go(func() {
			for i := p; i < len(hs); i += 3 {
				if _, err := r.Accept(hs[i].ID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, h := range update(t, open(t, dir), cs...) {
		if h.State != countersign.Accepted {
			t.Errorf("%s is %s", h.Path, h.State)
		}
	}
}

// What is accepted is what was shown, also where it was too large for memory and
// the layer changed between the two.
func TestTheLayerChangesBetweenShowingAndAccepting(t *testing.T) {
	for name, big := range map[string]string{"small": "small", "large": strings.Repeat("x", maxInline*2), "binary": "\x00bin"} {
		t.Run(name, func(t *testing.T) {
			r := open(t, t.TempDir())
			now := big
			st := file(big)
			st.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(now)), nil }
			h := update(t, r, change("f", nil, st))[0]
			now = strings.ToUpper(big) + "unseen"
			_, err := r.Accept(h.ID)
			switch {
			case name == "small":
				must(t, err)
				if b, err := r.Store().Bytes(h.PostSum); err != nil || string(b) != big {
					t.Errorf("stored %q, %v", b, err)
				}
			case countersign.CodeOf(err) != countersign.ENotFound || !strings.Contains(err.Error(), "changed"):
				t.Errorf("accepted bytes that were not shown: %v", err)
			}
		})
	}
}

// A layer that changes while it is read: whatever is accepted is bound to the
// bytes that the same hunk showed.
func TestWritingAgentDuringReview(t *testing.T) {
	n := 2_000
	if os.Getenv("COUNTERSIGN_LONG") != "" {
		n = 100_000
	}
	dir, err := os.MkdirTemp("/dev/shm", "review-") // the disk has no part in this
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Mkdir(dir+"/layer", 0o755))
	root, err := tree.OpenRoot(dir + "/layer")
	must(t, err)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				p := dir + "/layer/f"
				if i%2 == 0 {
					p = dir + "/layer/t"
				}
				os.WriteFile(p, bytes.Repeat([]byte(fmt.Sprintf("%d\n", i)), 1+i%50), 0o644)
				os.Rename(dir+"/layer/t", dir+"/layer/f")
			}
		}
	})
	r := open(t, dir)
	accepted, looks := 0, 0
	for deadline := time.Now().Add(20 * time.Minute); accepted < n/10 && time.Now().Before(deadline); looks++ {
		st, err := root.State("f")
		if err != nil {
			continue
		}
		for _, h := range update(t, r, change("f", file("base\n"), st)) {
			if h.State != countersign.Undecided {
				continue
			}
			shown := bytes.Clone(h.Post)
			if diff.SHA256(shown) != h.PostSum || diff.Digest(h) != h.Digest {
				t.Fatalf("shown bytes are not those of the digest")
			}
			if _, err := r.Accept(h.ID); err != nil {
				t.Fatal(err)
			}
			accepted++
			if len(shown) == 0 {
				continue // nothing to store
			}
			if b, err := r.Store().Bytes(h.PostSum); err != nil || !bytes.Equal(b, shown) {
				t.Fatalf("stored %q, shown %q, %v", b, shown, err)
			}
		}
	}
	close(stop)
	wg.Wait()
	t.Logf("%d accepted in %d looks", accepted, looks)
	if accepted < n/10 {
		t.Error("no race took place")
	}
}

func TestTenThousandFilesAreFastAndLean(t *testing.T) {
	r := open(t, t.TempDir())
	content := strings.Repeat("some line of text\n", 500) // 9 KB: 90 MB in all
	var cs []tree.Change
	for i := range 10_000 {
		s := fmt.Sprintf("%d\n%s", i, content)
		st := file(s)
		st.Open = func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader(s[:len(s)-len(content)]), strings.NewReader(content))), nil
		}
		cs = append(cs, change(fmt.Sprintf("d%d/f%d", i%100, i), nil, st))
	}
	for i := range cs { // the test's own strings must not count
		sum, size, head := cs[i].Staged.SHA256, cs[i].Staged.Size, fmt.Sprintf("%d\n", i)
		cs[i].Staged = &tree.State{Mode: tree.ModeFile, Size: size, SHA256: sum, Open: func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader(head), strings.NewReader(content))), nil
		}}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := spent()
	hs := update(t, r, cs...)
	first := spent() - start
	start = spent()
	update(t, r, cs...)
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("first update %v, second %v, heap +%d MB", first, spent()-start, (after.HeapAlloc-before.HeapAlloc)>>20)
	if len(hs) != 10_000 || first > 20*time.Second {
		t.Errorf("%d hunks in %v", len(hs), first)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 80<<20 {
		t.Errorf("the heap grew by %d MB", grown>>20)
	}
	h := hs[9_999]
	must(t, r.Load(&h))
	if diff.SHA256(h.Post) != h.PostSum {
		t.Error("a hunk that was not held cannot be loaded")
	}
}

func TestABadStateFileIsNamed(t *testing.T) {
	for name, content := range map[string]string{"torn": `{"version":1,"deci`, "newer": `{"version":9}`} {
		dir := t.TempDir()
		open(t, dir)
		must(t, os.WriteFile(filepath.Join(dir, "review", "state.json"), []byte(content), 0o600))
		if _, err := Open(dir, "s"); countersign.CodeOf(err) != countersign.EInvalid || countersign.RemedyOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSplitGoesDownToLines(t *testing.T) {
	r := open(t, t.TempDir())
	c := change("f", file("a\nb\n"), file("\n\n\nB\n"))
	hs := update(t, r, c)
	pieces, err := r.Split(hs[0].ID)
	must(t, err)
	seen := map[string]bool{}
	for _, p := range pieces {
		if seen[p.Digest] {
			t.Errorf("two pieces have the digest %s", p.Digest)
		}
		seen[p.Digest] = true
		if _, err := r.Split(p.ID); countersign.CodeOf(err) != countersign.EUsage {
			t.Errorf("a line was split: %v", err)
		}
	}
	if len(pieces) != 4 {
		t.Errorf("%d pieces", len(pieces))
	}
}

func TestCommitsAreWholeOrNot(t *testing.T) {
	mk := func(c string, s countersign.HunkState) countersign.Hunk { return countersign.Hunk{Commit: c, State: s} }
	got := map[string]bool{}
	r := &Review{hunks: []countersign.Hunk{mk("c1", countersign.Applied), mk("", countersign.Rejected), mk("c2", countersign.Applied), mk("c2", countersign.Rejected), mk("c1", countersign.Applied), mk("c3", countersign.Edited), mk("c4", countersign.Accepted)}}
	for _, c := range r.Commits() {
		got[fmt.Sprint(c.ID, len(c.Hunks))] = c.Whole
	}
	if d := cmp.Diff(map[string]bool{"c12": true, "c22": false, "c31": false, "c41": false}, got); d != "" {
		t.Error(d)
	}
}

// What was read while the layer changed is not taken for what was listed.
func TestARacedReadIsNotRemembered(t *testing.T) {
	r := open(t, t.TempDir())
	now := "listed\n"
	st := file(now)
	st.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(now)), nil }
	now = "raced\n"
	if h := update(t, r, change("f", nil, st))[0]; string(h.Post) != "raced\n" {
		t.Errorf("%q", h.Post)
	}
	now = "listed\n"
	if h := update(t, r, change("f", nil, st))[0]; string(h.Post) != "listed\n" {
		t.Errorf("%q", h.Post)
	}
}

// A directory of ten thousand equal files that is renamed stays together, and
// pairing them takes no time.
func TestALargeDirectoryRename(t *testing.T) {
	var cs []tree.Change
	for i := range 10_000 {
		content := "the same licence in each\n"
		if i%2 == 0 {
			content = fmt.Sprintf("file %d\n", i)
		}
		name := fmt.Sprintf("%d/p%04d/LICENCE", i%10, i)
		cs = append(cs, change("old/"+name, file(content), nil), change("new/"+name, nil, file(content)))
	}
	slices.SortFunc(cs, func(a, b tree.Change) int { return strings.Compare(a.Path, b.Path) })
	start := spent()
	hs := update(t, open(t, t.TempDir()), cs...)
	took := spent() - start
	for _, h := range hs {
		if h.Op != countersign.OpRename || strings.TrimPrefix(h.Path, "new/") != strings.TrimPrefix(h.OldPath, "old/") {
			t.Fatalf("%s from %s: %s", h.Path, h.OldPath, h.Op)
		}
	}
	if len(hs) != 10_000 || took > 10*time.Second {
		t.Errorf("%d hunks in %v", len(hs), took)
	}
	t.Logf("%v", took)
}

// After an edited hunk is applied the layer still holds what the person turned
// down: it is not proposed again as if it were new.
func TestAnEditIsNotProposedBack(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	h := update(t, r, change("f", file(five), file("1\n2\nagent\n4\n5\n")))[0]
	e, err := r.Edit(h.ID, []byte("person\n"))
	must(t, err)
	must(t, r.Applied(e.Digest))
	after := change("f", file("1\n2\nperson\n4\n5\n"), file("1\n2\nagent\n4\n5\n"))
	for range 2 {
		if d := cmp.Diff([]string{"modify f -3,1 +3,1 rejected"}, brief(update(t, open(t, dir), after))); d != "" {
			t.Error(d)
		}
	}
}

func TestDecisionsGoOnWithTheLayer(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	c := []tree.Change{change("a", file(five), file("x\n2\n3\n4\ny\n")), change("n", nil, file("new\n"))}
	r := open(t, from)
	hs := update(t, r, c...)
	_, err := r.Accept(hs[0].ID)
	must(t, err)
	_, err = r.Reject(hs[1].ID)
	must(t, err)
	must(t, Inherit(from, to))
	next, err := Open(to, "next")
	must(t, err)
	want := []string{"modify a -1,1 +1,1 accepted", "modify a -5,1 +5,1 rejected", "create n -0,0 +1,1 undecided"}
	if d := cmp.Diff(want, brief(update(t, next, c...))); d != "" {
		t.Error(d)
	}
	if h := next.Ready()[0]; !next.Store().Has(h.PostSum) || next.Changeset().Session != "next" {
		t.Errorf("its bytes did not come along: %+v", h)
	}
	must(t, Inherit(from, t.TempDir())) // nothing is left there: no error
}

// A decision that cannot be put on record is not taken, by nobody's later look.
func TestNothingIsDecidedWithoutItsRecord(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	c := []tree.Change{change("f", file(five), file("1\nx\n3\n4\ny\n"))}
	hs := update(t, r, c...)
	no := errors.New("the ledger cannot write")
	r.Record(func([]countersign.Hunk, func(*countersign.Hunk) error) error { return no })
	_, accept := r.Accept(hs[0].ID)
	_, reject := r.Reject(hs[0].ID)
	_, all := r.AcceptAll()
	_, edit := r.Edit(hs[0].ID, []byte("z\n"))
	for _, err := range []error{accept, reject, all, edit} {
		if !errors.Is(err, no) {
			t.Errorf("%v", err)
		}
	}
	for _, r := range []*Review{r, open(t, dir)} {
		for _, h := range update(t, r, c...) {
			if h.State != countersign.Undecided {
				t.Errorf("%s is %s", h.ID, h.State)
			}
		}
		if len(r.Ready()) != 0 {
			t.Error("something is ready to be applied")
		}
	}
	var got []countersign.Hunk
	r.Record(func(hs []countersign.Hunk, load func(*countersign.Hunk) error) error {
		for _, h := range update(t, open(t, dir), c...) {
			if h.State != countersign.Undecided {
				t.Errorf("%s is %s before its record", h.ID, h.State)
			}
		}
		for _, h := range hs {
			h.Post = nil
			must(t, load(&h))
			got = append(got, h)
		}
		return nil
	})
	_, err := r.Accept(hs[0].ID)
	must(t, err)
	if len(got) != 1 || got[0].State != countersign.Accepted || string(got[0].Post) != "x\n" {
		t.Errorf("recorded %+v", got)
	}
}
