package countersign

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

func TestCanonicalFollowsRFC8785(t *testing.T) {
	tests := []struct {
		name string
		in   any
		want string
	}{
		{"keys sorted by UTF-16", map[string]any{"\U0001f600": "a", "\ufb33": "b", "1": "c", "\r": "d"}, "{\"\\r\":\"d\",\"1\":\"c\",\"\U0001f600\":\"a\",\"\ufb33\":\"b\"}"},
		{"control characters", "\x00\b\t\n\f\r\x1f\x7f\"\\/", "\"\\u0000\\b\\t\\n\\f\\r\\u001f\x7f\\\"\\\\/\""},
		{"line separators stand", "\u2028", "\"\u2028\""},
		{"bytes that are no UTF-8", "a\xff", `{"hex":"61ff"}`},
		{"numbers", []any{int64(-1), uint64(1 << 60)}, `[-1,"1152921504606846976"]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(canonical(tt.in)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func testExec() Action {
	return Action{Kind: KindExec, Session: "s", Exec: &Exec{
		Argv: []string{"git", "status"}, Cwd: "/p", Exe: Executable{Path: "/usr/bin/git", Dev: 1, Ino: 2, SHA256: "aa"},
		Env: []string{"A=1", "B=2"}, Scripts: []Script{{Path: "/p/x.sh", SHA256: "bb"}}, Stdin: StdinNull,
	}}
}

// The order is that of the code units, as RFC 8785 puts it.
func TestKeysAreInTheOrderOfCodeUnits(t *testing.T) {
	some := []string{"", "a", "ab", "b", "é", "\ufffd", "\uffff", "\ue000", "\ud7ff", "😀", "😀a", "😂", "\U0010ffff", "\x80", "\xff"}
	for _, a := range some {
		for _, b := range some {
			for _, head := range []string{"", "x", "😀"} {
				want := slices.Compare(utf16.Encode([]rune(head+a)), utf16.Encode([]rune(head+b)))
				if got := compareUTF16(head+a, head+b); cmp.Compare(got, 0) != want {
					t.Errorf("%q, %q: %d, want %d", head+a, head+b, got, want)
				}
			}
		}
	}
}

// Every bound field must move the digest: a field that does not is one an agent
// may change after the approval.
func TestEveryBoundFieldMovesTheDigest(t *testing.T) {
	key := NewKeyer([]byte("k"))
	base := testExec().Digest(key, nil)
	changes := map[string]func(*Action){
		"session":        func(a *Action) { a.Session = "t" },
		"argv":           func(a *Action) { a.Exec.Argv = []string{"git", "status", ""} },
		"argv split":     func(a *Action) { a.Exec.Argv = []string{"git status"} },
		"cwd":            func(a *Action) { a.Exec.Cwd = "/q" },
		"exe path":       func(a *Action) { a.Exec.Exe.Path = "/usr/bin/got" },
		"exe inode":      func(a *Action) { a.Exec.Exe.Ino++ },
		"exe device":     func(a *Action) { a.Exec.Exe.Dev++ },
		"exe content":    func(a *Action) { a.Exec.Exe.SHA256 = "ab" },
		"interpreter":    func(a *Action) { a.Exec.Interp = []Executable{{Path: "/bin/sh"}} },
		"env value":      func(a *Action) { a.Exec.Env = []string{"A=1", "B=3"} },
		"env name":       func(a *Action) { a.Exec.Env = []string{"A=1"} },
		"env duplicate":  func(a *Action) { a.Exec.Env = []string{"A=1", "B=2", "B=1"} },
		"script content": func(a *Action) { a.Exec.Scripts[0].SHA256 = "bc" },
		"script path":    func(a *Action) { a.Exec.Scripts[0].Path = "/p/y.sh" },
		"stdin":          func(a *Action) { a.Exec.Stdin = StdinPipe },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			a := testExec()
			change(&a)
			if a.Digest(key, nil) == base {
				t.Error("the digest did not move")
			}
		})
	}
	a := testExec()
	a.Exec.Env = []string{"B=2", "A=1"}
	if a.Digest(key, nil) != base {
		t.Error("the order of the environment moved the digest")
	}
}

func TestReuseKeyIgnoresHarmlessEnvironmentOnly(t *testing.T) {
	key := NewKeyer([]byte("k"))
	a, b := testExec(), testExec()
	b.Exec.Delta = []EnvChange{{Name: "SHLVL", Value: "3"}}
	if a.ReuseKey(key, nil) != b.ReuseKey(key, nil) {
		t.Error("SHLVL made it another command")
	}
	b.Exec.Delta = append(b.Exec.Delta, EnvChange{Name: "GIT_EXTERNAL_DIFF", Value: "x"})
	if a.ReuseKey(key, nil) == b.ReuseKey(key, nil) {
		t.Error("GIT_EXTERNAL_DIFF did not make it another command")
	}
	c, d := testExec(), testExec()
	c.Exec.Delta, d.Exec.Delta = []EnvChange{{Name: "PATH"}}, []EnvChange{{Name: "PATH", Unset: true}}
	if c.ReuseKey(key, nil) == d.ReuseKey(key, nil) {
		t.Error("a variable that is empty and one that is not there are the same")
	}
}

func TestSecretArgumentsEnterByKeyedHash(t *testing.T) {
	a := testExec()
	a.Exec.Argv = []string{"login", "--password=hunter2"}
	secret := func(s string) bool { return strings.HasPrefix(s, "--password=") }
	if a.Digest(NewKeyer([]byte("k1")), secret) == a.Digest(NewKeyer([]byte("k2")), secret) {
		t.Error("the digest does not depend on the key: a guess could be tried")
	}
}

// The bytes written out by hand must be those of the canonical encoder.
func TestExecIsCanonical(t *testing.T) {
	a := testExec()
	a.Exec.Argv = append(a.Exec.Argv, "\xff", "<&>\u2028\"")
	a.Exec.Interp = []Executable{{Path: "/bin/sh", Dev: 1 << 60, Ino: 7, SHA256: "cc"}}
	k := NewKeyer([]byte("k"))
	want := canonical(map[string]any{
		"v": int64(1), "kind": string(a.Kind), "session": a.Session, "argv": k.args(a.Exec.Argv, nil), "cwd": a.Exec.Cwd,
		"exe": executable(a.Exec.Exe), "interp": executables(a.Exec.Interp), "env": k.environment(a.Exec.Env),
		"scripts": scripts(a.Exec.Scripts), "stdin": string(a.Exec.Stdin),
	})
	if got := a.appendExec(nil, k, nil); string(got) != string(want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
