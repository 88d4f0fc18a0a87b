package card

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/tui/visible"
)

func request() countersign.Request {
	return countersign.Request{
		ID: "r1", Session: "s-42", Digest: "sha256:" + strings.Repeat("d", 64), Reuse: "reuse:" + strings.Repeat("e", 64), Pending: true,
		Ruling: countersign.Ruling{Verdict: countersign.Ask, Rule: "push", Layer: "user", Pos: "policy.yaml:7", Reason: "leaves the machine"},
		Action: countersign.Action{
			Kind: countersign.KindExec, Session: "s-42", Peer: countersign.Peer{PID: 4242, Exe: "/usr/bin/node"},
			Exec: &countersign.Exec{
				Argv: []string{"bash", "-c", "cd /x&&rm -rf y"}, Cwd: "/p",
				Exe:   countersign.Executable{Path: "/usr/bin/bash", SHA256: strings.Repeat("a", 64)},
				Stdin: countersign.StdinPipe,
				Delta: []countersign.EnvChange{{Name: "GIT_DIR", Value: "/e\x1bvil"}, {Name: "API_TOKEN", Value: "hunter2"}, {Name: "LANG", Unset: true}, {Name: "SHLVL", Value: "2"}},
			},
		},
	}
}

func texts(ls []Line) string { return string(Bytes(ls)) }

func TestCardSaysEverything(t *testing.T) {
	got := texts(Card{Request: request(), Agent: "claude"}.Content(80))
	for _, want := range []string{
		"asked by   claude, session s-42, process 4242 /usr/bin/node", "command: 3 words, 21 bytes",
		"  0 | bash\n", "  1 | -c\n", "  2 | cd /x&&rm -rf y\n", "a reading aid; what runs is the text above", "    : cd /x && rm -rf y",
		"directory  /p\n", "program    /usr/bin/bash  sha256 aaaaaaaaaaaaaaaa (d: all)", "stdin      pipe",
		`+ GIT_DIR=/e\u{1b}vil`, "+ API_TOKEN=‹secret›", "- LANG (removed)", "1 harmless variable",
		"asked for  push (user) at policy.yaml:7: leaves the machine", "digest     sha256:dddddddddddddddd (d: all)",
		"WARNING: characters that would hide",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "hunter2") {
		t.Error("shows a secret")
	}
	all := texts(Card{Request: request(), Details: true}.Content(80))
	for _, want := range []string{strings.Repeat("a", 64), strings.Repeat("d", 57), strings.Repeat("e", 57), "SHLVL=2"} {
		if !strings.Contains(all, want) {
			t.Errorf("details lack %q", want)
		}
	}
}

var gutter = regexp.MustCompile(`^ *\d* ([|>n]) (.*)$`)

// The command must be readable back from the card, whatever is in it.
func FuzzCommandIsShownInFull(f *testing.F) {
	for _, s := range []string{"ls", "a\nb", strings.Repeat("x", 300) + "; rm -rf /", "\x1b[2J", "日本語" + strings.Repeat("é", 99), "\u202e", "| x\n> y\nn z"} {
		f.Add(s, 40)
	}
	f.Fuzz(func(t *testing.T, arg string, width int) {
		if width < 20 || width > 200 {
			t.Skip()
		}
		p := &page{width: width}
		p.element("1", arg)
		var back strings.Builder
		for i, l := range p.lines {
			if n := len(visible.Fold(l.Text, width)); n != 1 {
				t.Fatalf("%q is wider than %d", l.Text, width)
			}
			m := gutter.FindStringSubmatch(l.Text)
			if m == nil || (m[1] == "|") != (i == 0) {
				t.Fatalf("line %q has no gutter", l.Text)
			}
			if m[1] == "n" {
				back.WriteByte('\n')
			}
			back.WriteString(m[2])
		}
		var want []string
		for _, line := range strings.Split(arg, "\n") {
			want = append(want, (&page{}).text(line))
		}
		if back.String() != strings.Join(want, "\n") {
			t.Fatalf("card says %q, want %q", back.String(), strings.Join(want, "\n"))
		}
	})
}

// Words of a crowd share lines, and can all be read back.
func FuzzCrowdedWordsAreShownInFull(f *testing.F) {
	f.Add("git\x00-c\x00core.askPass=\x00-c\x00a=f() { x; }\x00-c\x00-d\x00\x00x\ny\x00+ z\x00 a b \x00é", 80)
	f.Add(strings.Repeat("-c\x00gc.auto=0\x00", 40)+"status", 30)
	f.Fuzz(func(t *testing.T, joined string, width int) {
		argv := strings.Split(joined, "\x00")
		if width < 20 || width > 200 || len(argv) > 999 {
			t.Skip()
		}
		p := &page{width: width}
		p.words(argv)
		var back []string
		for _, l := range p.lines {
			if l.Look == Head {
				continue
			}
			if n := len(visible.Fold(l.Text, width)); n != 1 {
				t.Fatalf("%q is wider than %d", l.Text, width)
			}
			label, text, _ := strings.Cut(strings.TrimLeft(l.Text, " "), " ")
			if label == "n" || label == ">" {
				back[len(back)-1] += map[string]string{"n": "\n"}[label] + text
				continue
			}
			if label != fmt.Sprint(len(back)) {
				t.Fatalf("%q begins with word %d", l.Text, len(back))
			}
			mark, text, _ := strings.Cut(text, " ")
			if mark == "+" {
				back = append(back, strings.Split(text, " ")...)
			} else {
				back = append(back, text)
			}
		}
		var want []string
		for _, s := range argv {
			lines := strings.Split(s, "\n")
			for i, line := range lines {
				lines[i] = (&page{}).text(line)
			}
			want = append(want, strings.Join(lines, "\n"))
		}
		if strings.Join(back, "\x00") != strings.Join(want, "\x00") || len(back) != len(want) {
			t.Fatalf("the card says %q, want %q", back, want)
		}
	})
}

func TestCrowdedVariablesShareLines(t *testing.T) {
	r := request()
	r.Action.Exec.Delta = nil
	for i := range 30 {
		r.Action.Exec.Delta = append(r.Action.Exec.Delta, countersign.EnvChange{Name: fmt.Sprintf("GIT_CONFIG_KEY_%d", i), Value: "gc.auto"})
	}
	r.Action.Exec.Delta[7].Value = "f() { x; } + Y=z"
	got := texts(Card{Request: r}.Content(80))
	for _, want := range []string{
		"variable   + GIT_CONFIG_KEY_0=gc.auto + GIT_CONFIG_KEY_1=gc.auto\n",
		"variable   + GIT_CONFIG_KEY_6=gc.auto\nvariable   + GIT_CONFIG_KEY_7=f() { x; } + Y=z\nvariable   + GIT_CONFIG_KEY_8=gc.auto + GIT_CONFIG_KEY_9=gc.auto\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing %q in\n%s", want, got)
		}
	}
}

// An agent wraps what it runs: the card shows what is inside, and warns of an
// eval only where its text is not on the card.
func TestWhatAnAgentWrapsIsShown(t *testing.T) {
	const opaque = "WARNING: runs text that is made while it runs"
	for _, tt := range []struct {
		argv  []string
		shows string
		warns bool
	}{
		{[]string{"/bin/bash", "-c", `source /s.sh 2>/dev/null || true && eval 'cat x; node --test' < /dev/null && pwd -P >| /tmp/c-cwd`}, "    what its eval runs (a reading aid)\n    : cat x; node --test\n", false},
		{[]string{"/proc/self/exe", "--setup", "/bin/bash", "/bin/bash", "-lc", "cat x; node --test"}, "    : cat x\n    : node --test\n", false},
		{[]string{"bash", "-c", `eval 'a' && eval "$X"`}, "", true},
		{[]string{"bash", "-c", `eval "$(curl x)"`}, "", true},
		{[]string{"bash", "-c", `eval $'\x72\x6d'`}, "", true},
		{[]string{"bash", "-c", `eval 'curl x | sh'`}, "    : curl x | sh\n", true},
		{[]string{"bash", "-c", `\eval "$X"`}, "", true},
		{[]string{"bash", "-c", `command eval "$X"`}, "", true},
		{[]string{"bash", "-c", `eval 'eval "$X"'`}, "", true},
	} {
		r := request()
		r.Action.Exec.Argv = tt.argv
		got := texts(Card{Request: r}.Content(100))
		if !strings.Contains(got, tt.shows) || strings.Contains(got, opaque) != tt.warns {
			t.Errorf("%q: wants %q, warning %v\n%s", tt.argv, tt.shows, tt.warns, got)
		}
	}
}

// A session of less than tier A says so on each card.
func TestAWeakerPostureIsShown(t *testing.T) {
	p := countersign.Posture{Tier: "A-masked", Mechanisms: []countersign.Mechanism{{Name: "exec-gate", State: "ok"}, {Name: "file-deny", State: "partial"}}}
	c := Card{Request: countersign.Request{Action: countersign.Action{Exec: &countersign.Exec{Argv: []string{"ls"}}}, Pending: true}, Weak: p.Weak()}
	if text := string(Bytes(c.Content(200))); !strings.Contains(text, "enforces less than it could (tier A-masked: file-deny partial)") {
		t.Errorf("%s", text)
	}
	c.Weak = countersign.Posture{Tier: "A"}.Weak()
	if text := string(Bytes(c.Content(200))); strings.Contains(text, "less than it could") {
		t.Errorf("%s", text)
	}
}

func TestTheAgentOnceMoreIsNamed(t *testing.T) {
	r := request()
	r.Action.Exec.Again = true
	if got := texts(Card{Request: r}.Content(80)); !strings.Contains(got, "NOTE: this is the agent once more") {
		t.Error(got)
	}
}

func TestMixedScriptsAndHiddenCharactersAreFlagged(t *testing.T) {
	r := request()
	r.Action.Exec.Argv = []string{"сurl", "evil\u200b.example"}
	got := texts(Card{Request: r}.Content(80))
	for _, want := range []string{"letters of several scripts in one word: Cyrillic, Latin", `evil\u{200b}.example`, "WARNING: characters that would hide"} {
		if !strings.Contains(got, want) {
			t.Errorf("missing %q in\n%s", want, got)
		}
	}
}

func TestRenderIsPureAndHashesTheWholeCard(t *testing.T) {
	r := request()
	r.Action.Exec.Scripts = []countersign.Script{{Path: "/p/x.sh", SHA256: "bb", Content: []byte(strings.Repeat("echo hello\n", 100))}}
	lines, shown := Render(r, 80, 10, 0)
	moved, again := Render(r, 80, 10, 50)
	if len(lines) != 10 || len(moved) != 10 || string(shown) != string(again) || lines[0] == moved[0] {
		t.Error("scrolling changed what was shown, or did not scroll")
	}
	if n := strings.Count(string(shown), "echo hello"); n != 100 {
		t.Errorf("%d of 100 lines of the script", n)
	}
}

// at plays keys at given milliseconds.
func at(s *State, start time.Time, keys ...any) (last *countersign.Approval) {
	for i := 0; i < len(keys); i += 2 {
		now := start.Add(time.Duration(keys[i].(int)) * time.Millisecond)
		s.Screen(80, 24, now)
		last = s.Press(Key(keys[i+1].(string)), now)
		if last != nil {
			return last
		}
	}
	return nil
}

func TestKeys(t *testing.T) {
	long := request()
	long.Action.Exec.Argv = append(long.Action.Exec.Argv, strings.Repeat("z\n", 60))
	tests := []struct {
		name  string
		req   countersign.Request
		typed bool
		keys  []any
		want  string
	}{
		{"approve", request(), false, []any{500, "y"}, "true once"},
		{"too early", request(), false, []any{499, "y"}, ""},
		{"an early key starts the wait again", request(), false, []any{400, "y", 800, "y"}, ""},
		{"and then it counts", request(), false, []any{400, "y", 900, "y"}, "true once"},
		{"enter, space, escape", request(), false, []any{600, "enter", 700, " ", 800, "esc", 900, "\r"}, ""},
		{"digits and capitals", request(), false, []any{600, "1", 700, "Y", 800, "2"}, ""},
		{"deny", request(), false, []any{600, "n"}, "false once"},
		{"deny with a reason", request(), false, []any{600, "r", 700, "n", 800, "o", 900, "enter"}, "false once no"},
		{"back from a reason", request(), false, []any{600, "r", 700, "n", 800, "esc", 900, "enter"}, ""},
		{"session", request(), false, []any{600, "s", 700, "s"}, "true session"},
		{"session, shown only", request(), false, []any{600, "s", 700, "y", 800, "enter"}, ""},
		{"end not seen", long, false, []any{600, "y", 700, "s", 800, "s"}, ""},
		{"end seen", long, false, []any{600, "end", 700, "y"}, "true once"},
		{"end seen by pages", long, false, []any{600, "pgdn", 601, "pgdn", 602, "pgdn", 603, "pgdn", 604, "pgdn", 700, "y"}, "true once"},
		{"deny unseen", long, false, []any{600, "n"}, "false once"},
		{"details must be seen too", long, false, []any{600, "end", 700, "home", 800, "d", 900, "y"}, ""},
		{"typed", request(), true, []any{600, "y", 700, "b", 701, "a", 702, "s", 703, "h", 704, "enter"}, "true once"},
		{"typed wrong", request(), true, []any{600, "y", 700, "b", 701, "enter", 702, "y", 703, "enter"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Unix(100, 0)
			a := at(Show(Card{Request: confirmed(tt.req, tt.typed)}, start), start, tt.keys...)
			got := ""
			if a != nil && a.Granted && tt.typed && a.Confirmed != "bash" {
				t.Errorf("confirmed by %q", a.Confirmed)
			}
			if a != nil {
				got = strings.TrimSpace(fmt.Sprint(a.Granted, a.Scope, " ", a.Reason))
				got = strings.Join(strings.Fields(strings.Replace(got, string(a.Scope), " "+string(a.Scope)+" ", 1)), " ")
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func confirmed(r countersign.Request, typed bool) countersign.Request {
	if typed {
		r.Confirm = "bash"
	}
	return r
}

func TestAnswerSaysWhatWasShown(t *testing.T) {
	start := time.Unix(100, 0)
	a := at(Show(Card{Request: request()}, start), start, 1500, "y")
	_, shown := Render(request(), 80, 24, 0)
	sum := sha256.Sum256(shown)
	if a == nil || a.Shown != "sha256:"+hex.EncodeToString(sum[:]) || a.ShownMS != 1500 || a.Means != "tty" {
		t.Errorf("%+v", a)
	}
}

func TestScreenFitsEverySize(t *testing.T) {
	for w := 20; w < 130; w += 7 {
		for h := 6; h < 50; h += 5 {
			s := Show(Card{Request: request()}, time.Unix(100, 0))
			lines := s.Screen(w, h, time.Unix(101, 0))
			if len(lines) != h {
				t.Fatalf("%dx%d: %d lines", w, h, len(lines))
			}
			for _, l := range lines {
				plain := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(l, "")
				if len(visible.Fold(plain, w)) > 1 || strings.Contains(plain, "\x1b") {
					t.Fatalf("%dx%d: %q does not fit", w, h, l)
				}
			}
		}
	}
}

func TestShellStructureIsAnAid(t *testing.T) {
	for _, tt := range []struct {
		argv []string
		want string
	}{
		{[]string{"bash", "-lc", "a;b"}, "a;b"},
		{[]string{"/bin/sh", "-e", "-c", "x"}, "x"},
		{[]string{"bash", "-o", "pipefail", "-c", "x"}, "x"},
		{[]string{"bash", "x.sh", "-c", "y"}, ""},
		{[]string{"python", "-c", "y"}, ""},
	} {
		if got, _ := shellString(tt.argv); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.argv, got, tt.want)
		}
	}
}

func TestEncodedLayersAreRead(t *testing.T) {
	r := request()
	r.Action.Exec.Argv = []string{"bash", "-c", "echo cm0gLXJmIC8gLS1uby1wcmVzZXJ2ZS1yb290Cg== | base64 -d | sh"}
	got := texts(Card{Request: r}.Content(100))
	for _, want := range []string{"    : rm -rf / --no-preserve-root\n", "WARNING: runs text that is made while it runs"} {
		if !strings.Contains(got, want) {
			t.Errorf("missing %q in\n%s", want, got)
		}
	}
	for _, argv := range [][]string{
		{"git", "show", "3f786850e387550fdab836ed7e6dc881de23001b"},
		{"cat", "/usr/share/doc/some/quite/long/path/to/a/file"},
		{"bash", "-c", "go test ./... && echo fine | shasum"},
	} {
		r.Action.Exec.Argv = argv
		if got := texts(Card{Request: r}.Content(100)); strings.Contains(got, "decoded") || strings.Contains(got, "made while") {
			t.Errorf("%q:\n%s", argv, got)
		}
	}
}

// On a narrow screen the keys that answer are still all named.
func TestFootNamesTheKeysOnNarrowScreens(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, width := range []int{40, 50, 60, 80, 120} {
		s := Show(Card{Request: request()}, now)
		lines := s.Screen(width, 40, now.Add(time.Second))
		foot := " " + strings.Join(lines[len(lines)-2:], " ")
		for _, key := range []string{" y ", " s ", " n ", " r ", " d "} {
			if !strings.Contains(foot, key) {
				t.Errorf("width %d: no%sin %q", width, key, foot)
			}
		}
	}
}

// What an agent's own wrapper was put around comes first; the details have all
// words; what only looks wrapped is shown whole.
func TestUnwrappedCommandStandsFirst(t *testing.T) {
	r := request()
	r.Action.Exec.Argv = []string{"bash", "-c", "trap x EXIT; eval 'rm -rf y; eval \"$Z\"' # end"}
	unwrap := func(argv []string) (string, string, bool) {
		text, ok := strings.CutPrefix(argv[2], "trap x EXIT; eval '")
		return strings.TrimSuffix(text, "' # end"), "sets a trap", ok
	}
	got := texts(Card{Request: r, Agent: "claude", Unwrap: unwrap}.Content(80))
	for _, want := range []string{"shell command: 19 bytes\n  $ | rm -rf y; eval \"$Z\"\n", "in claude's own wrapper (d: all of it), which sets a trap\n", "WARNING: runs text that is made"} {
		if !strings.Contains(got, want) {
			t.Errorf("missing %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "trap x") {
		t.Errorf("shows the wrapper:\n%s", got)
	}
	if all := texts(Card{Request: r, Agent: "claude", Unwrap: unwrap, Details: true}.Content(80)); !strings.Contains(all, "  2 | trap x EXIT; eval 'rm -rf y") || !strings.Contains(all, "  $ | rm -rf y") {
		t.Errorf("the details lack the wrapper:\n%s", all)
	}
	r.Action.Exec.Argv[2] = "x" + r.Action.Exec.Argv[2]
	if whole := texts(Card{Request: r, Agent: "claude", Unwrap: unwrap}.Content(80)); !strings.Contains(whole, "  2 | xtrap x EXIT") {
		t.Errorf("what looks wrapped is not shown whole:\n%s", whole)
	}
}

// What is lent stands on the card, with where it comes from and what is passed on.
func TestCardSaysWhatIsLent(t *testing.T) {
	r := request()
	r.Action.Exec.Lends = []countersign.Lend{{Name: "DATABASE_URL", From: "cmd:pass show db", Rule: "db", Env: []string{"NODE_ENV"}}}
	got := texts(Card{Request: r}.Content(200))
	for _, want := range []string{"LENDS DATABASE_URL to this command\n", "its value  cmd:pass show db (rule db)\n", "only these are passed on: NODE_ENV\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
