package review

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/countersign/countersign"
)

// fake is a review in memory.
type fake struct {
	set     countersign.Changeset
	applied int
	clash   map[string]*Clash
}

func (f *fake) Changeset() (countersign.Changeset, error) {
	s := f.set
	s.Hunks = slices.Clone(s.Hunks)
	return s, nil
}
func (f *fake) Load(*countersign.Hunk) error { return nil }
func (f *fake) to(s countersign.HunkState, ids []string) error {
	for _, id := range ids {
		i := slices.IndexFunc(f.set.Hunks, func(h countersign.Hunk) bool { return h.ID == id })
		if i < 0 {
			return errors.New("no hunk " + id)
		}
		f.set.Hunks[i].State = s
	}
	return nil
}
func (f *fake) Accept(ids ...string) error { return f.to(countersign.Accepted, ids) }
func (f *fake) Reject(ids ...string) error { return f.to(countersign.Rejected, ids) }
func (f *fake) Split(id string) error      { return errors.New("hunk " + id + " has one line only") }

func (f *fake) Edit(id string, post []byte) error {
	f.set.Hunks[0].Post = post
	return f.to(countersign.Edited, []string{id})
}

func (f *fake) Apply() (string, error)          { f.applied++; return "applied 1 hunk to 1 file", nil }
func (f *fake) Clash(h countersign.Hunk) *Clash { return f.clash[h.Path] }

func (f *fake) Against(path string) error {
	f.clash[path] = &Clash{Turned: true, Was: []byte("base line\n")}
	return nil
}

func (f *fake) Context(countersign.Hunk, int) (before, after []string) {
	return []string{"before"}, []string{"after"}
}

func hunk(id, path, pre, post string) countersign.Hunk {
	return countersign.Hunk{
		ID: id, Digest: "sha256:" + id, Path: path, Op: countersign.OpModify, OldStart: 7, OldLines: 1, NewStart: 7, NewLines: 1,
		Pre: []byte(pre), Post: []byte(post), State: countersign.Undecided,
	}
}

// screen is a review that is pressed and looked at without a terminal.
type screen struct {
	t   *testing.T
	m   *model
	src *fake
	now time.Time
}

func start(t *testing.T, hs ...countersign.Hunk) *screen {
	s := &screen{t: t, src: &fake{set: countersign.Changeset{Session: "s1", Hunks: hs, Ignored: 3}}, now: time.Unix(9, 0)}
	s.m = newModel(Options{Source: s.src, Plain: true, Dir: t.TempDir(), Now: func() time.Time { return s.now }})
	if err := s.m.reload(); err != nil {
		t.Fatal(err)
	}
	return s
}

// press presses keys, each after its hunk has stood for a second.
func (s *screen) press(keys ...string) tea.Cmd {
	var cmd tea.Cmd
	for _, k := range keys {
		s.now = s.now.Add(time.Second)
		s.text()
		msg := tea.KeyPressMsg{Code: []rune(k)[0], Text: k}
		for name, code := range map[string]rune{"pgdown": tea.KeyPgDown, "end": tea.KeyEnd, "enter": tea.KeyEnter, "esc": tea.KeyEscape} {
			if k == name {
				msg = tea.KeyPressMsg{Code: code}
			}
		}
		_, cmd = s.m.Update(msg)
	}
	return cmd
}

var looks = regexp.MustCompile("\x1b\\[[0-9;]*m")

func (s *screen) text() string { return looks.ReplaceAllString(s.m.View().Content, "") }

func (s *screen) want(parts ...string) {
	s.t.Helper()
	for _, p := range parts {
		if !strings.Contains(s.text(), p) {
			s.t.Errorf("no %q on\n%s", p, s.text())
		}
	}
}

func TestScreen(t *testing.T) {
	s := start(t, hunk("aa11", "src/main.go", "old\tline\n", "new\tline\r\n"), hunk("bb22", "src/main.go", "x\n", "y"))
	s.want("Review of session s1: 2 of 2 hunks undecided", "> src/main.go", " 0/2", "[undecided] modify -7,1 +7,1  sha256:aa11",
		"    6   before", "    7 - old→   line", `    7 + new→   line\u{d}`, "    8   after", "3 files that git ignores stay", "y accept  n reject  s split", "A apply  ? help  q quit")
	s.press("]")
	s.want("sha256:bb22", `\ no line end here`)
}

func TestKeysDecide(t *testing.T) {
	high := hunk("cc", "ci.yml", "", "run: x\n")
	high.Risk, high.Why = countersign.RiskHigh, "runs in CI"
	stale := hunk("dd", "main.go", "1\n", "2\n")
	stale.State = countersign.Stale
	long := hunk("aa", "long.go", "", strings.Repeat("line\n", 100))
	a, b := hunk("aa", "main.go", "1\n", "2\n"), hunk("bb", "main.go", "3\n", "4\n")
	in := high
	in.ID, in.Path = "ee", "main.go"
	tests := []struct {
		name  string
		hunks []countersign.Hunk
		keys  []string
		want  string
	}{
		{"accept goes on", []countersign.Hunk{a, b}, []string{"y", "n"}, "ar"},
		{"other keys", []countersign.Hunk{a, b}, []string{"enter", "esc", "Y", "1", "x"}, "uu"},
		{"a long hunk must be seen", []countersign.Hunk{long}, []string{"y"}, "u"},
		{"and was", []countersign.Hunk{long}, []string{"end", "y"}, "a"},
		{"reject unseen", []countersign.Hunk{long}, []string{"n"}, "r"},
		{"file asks", []countersign.Hunk{a, b}, []string{"a", "n"}, "uu"},
		{"file", []countersign.Hunk{a, b}, []string{"a", "y"}, "aa"},
		{"file without its risky and stale", []countersign.Hunk{a, in, stale}, []string{"a", "y"}, "aus"},
		{"risky alone", []countersign.Hunk{high}, []string{"a", "y"}, "a"},
		{"risky by file only", []countersign.Hunk{high}, []string{"a"}, "u"},
		{"previous", []countersign.Hunk{a, b}, []string{"[", "y"}, "ua"},
		{"change of mind", []countersign.Hunk{a}, []string{"y", "n"}, "r"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, tt.hunks...)
			s.press(tt.keys...)
			if got := s.src.states(); got != tt.want {
				t.Errorf("states %q, want %q\n%s", got, tt.want, s.text())
			}
		})
	}
}

func TestAHunkThatJustCameUpIsNotDecided(t *testing.T) {
	s := start(t, hunk("aa", "a", "1\n", "2\n"), hunk("bb", "b", "1\n", "2\n"))
	s.press("y")
	s.m.View()
	s.m.Update(tea.KeyPressMsg{Code: 'y', Text: "y"}) // the same moment: the next hunk has not been seen
	if got := s.src.states(); got != "au" {
		t.Errorf("states %q", got)
	}
	s.want("only just come up")
}

func TestApplyAsksAndSays(t *testing.T) {
	s := start(t, hunk("aa", "a", "1\n", "2\n"), hunk("bb", "b", "1\n", "2\n"))
	s.press("A")
	s.want("nothing accepted yet")
	s.press("y", "A")
	s.want("Apply 1 accepted hunk to 1 file?")
	s.press("x")
	if s.src.applied != 0 {
		t.Fatal("applied without a yes")
	}
	s.press("A", "y")
	if s.src.applied != 1 {
		t.Fatal("not applied")
	}
	s.want("applied 1 hunk to 1 file")
}

// What stays in the session whatever is accepted is named on the screen, and said in
// full in the help.
func TestWhatStaysIsSaid(t *testing.T) {
	s := start(t, hunk("aa", "a", "1\n", "2\n"))
	s.want("3 files that git ignores")
	s.m.Staying = func() []string { return []string{"commit 0123456789ab stays: it needs conf/.env, commit it outside"} }
	s.press("y", "A", "y")
	s.want("1 commit cannot be taken over: ? says which")
	s.press("?")
	s.want("commit 0123456789ab stays: it needs", "conf/.env", "accept (once its end")
}

func TestErrorsAreShown(t *testing.T) {
	s := start(t, hunk("aa", "a", "1\n", "2\n"))
	s.press("s")
	s.want("hunk aa has one line only")
	s.press("e")
	s.want("no editor")
}

func TestEdit(t *testing.T) {
	s := start(t, hunk("aa", "x/a.go", "1\n", "2\n"))
	s.m.Editor = []string{"ed", "-s"}
	if cmd := s.press("e"); cmd == nil {
		t.Fatal("no editor started")
	}
	names, _ := filepath.Glob(s.m.Dir + "/hunk-*.go")
	if len(names) != 1 {
		t.Fatal(names)
	}
	if b, _ := os.ReadFile(names[0]); string(b) != "2\n" {
		t.Errorf("the editor gets %q", b)
	}
	os.WriteFile(names[0], []byte("mine\n"), 0o600)
	s.m.Update(edited{"aa", names[0], []byte("2\n"), nil})
	if !bytes.Equal(s.src.set.Hunks[0].Post, []byte("mine\n")) || s.src.states() != "e" {
		t.Errorf("%+v", s.src.set.Hunks[0])
	}
	s.want("accepted with your own bytes", "+ mine")
	if _, err := os.Stat(names[0]); err == nil {
		t.Error("the file was left behind")
	}
}

func TestHostileTextIsEscaped(t *testing.T) {
	h := hunk("aa", "evil\x1b[2J\u202e.go", "", "x\x1b]52;c;eA==\a\u200b\n")
	h.Why, h.Risk = "because\x1b[1m", countersign.RiskHigh
	s := start(t, h)
	s.m.set.Session = "s\x1b"
	s.want(`evil\u{1b}[2J\u{202e}.go`, `x\u{1b}]52;c;eA==\u{7}\u{200b}`, "HIGH RISK: because", "WARNING: characters")
	for _, r := range s.text() {
		if r < ' ' && r != '\n' || r == '\u202e' || r == '\u200b' {
			t.Fatalf("%q is on the screen", r)
		}
	}
}

func TestScreenFitsEverySize(t *testing.T) {
	var hs []countersign.Hunk
	for i := range 40 {
		hs = append(hs, hunk(fmt.Sprint(i), fmt.Sprintf("a/very/long/path/that/does/not/fit/日本語/%d.go", i), strings.Repeat("x", 300)+"\n", strings.Repeat("é", 99)+"\n"))
	}
	for w := 40; w < 200; w += 13 {
		for h := 8; h < 60; h += 7 {
			s := start(t, hs...)
			s.m.Update(tea.WindowSizeMsg{Width: w, Height: h})
			s.press("]", "]", "]")
			rows := strings.Split(s.text(), "\n")
			if len(rows) != h {
				t.Fatalf("%dx%d: %d rows", w, h, len(rows))
			}
			for _, row := range rows {
				if cells(row) > w {
					t.Fatalf("%dx%d: %q is too wide", w, h, row)
				}
			}
		}
	}
}

func TestConflictsShowBothSides(t *testing.T) {
	s := start(t, hunk("1", "a", "base\n", "agent\n"), hunk("2", "b", "base\n", "agent\n"), hunk("3", "c", "x\n", "y\n"))
	s.src.clash = map[string]*Clash{"a": {Merges: true}, "b": {Was: []byte("base line\n"), Yours: []byte("person line\n")}}
	if err := s.m.reload(); err != nil {
		t.Fatal(err)
	}
	s.want("both go in")
	s.press("t")
	s.want("no conflict here")
	s.press("c")
	s.want("CONFLICT", "an apply keeps yours", "what both started from:", "base line", "yours, in your file now:", "! person line", "the agent's:", "+ agent")
	s.press("t")
	s.want("CONFLICT", "y takes the agent's, n keeps yours", "base line")
	s.press("n")
	if s.src.set.Hunks[1].State != countersign.Rejected {
		t.Errorf("state %s", s.src.set.Hunks[1].State)
	}
	delete(s.src.clash, "b")
	s.press("c")
	s.want("nothing you changed stands in the way")
}

func TestFilesStandUnderTheirCommit(t *testing.T) {
	one, two, top := hunk("1", "f", "a\n", "b\n"), hunk("2", "f", "b\n", "c\n"), hunk("3", "a", "x\n", "y\n")
	one.Commit, two.Commit = strings.Repeat("1", 40), strings.Repeat("2", 40)
	two.Step, top.Step = 1, 2
	s := start(t, top, two, one)
	at := -1
	for _, want := range []string{"commit 1111111111", "> f", "commit 2222222222", "  f", "not committed", "  a"} {
		i := strings.Index(s.text(), want)
		if i <= at {
			t.Errorf("%q is not in its place:\n%s", want, s.text())
		}
		at = i
	}
	s.want("part of commit 1111")
}

// Two spaces stand between two keys, and help and quit are named, at every width.
func TestKeysFit(t *testing.T) {
	for width := 40; width <= 140; width++ {
		m := model{width: width}
		s := m.keys()
		if len(s) > width || !strings.Contains(s, "y accept  ") || !strings.HasSuffix(s, "  q quit") || !strings.Contains(s, "  ? help") {
			t.Errorf("%d: %q", width, s)
		}
		if whole := strings.Contains(s, "a file"); whole != (width >= 77) {
			t.Errorf("%d: %q", width, s)
		}
	}
}
