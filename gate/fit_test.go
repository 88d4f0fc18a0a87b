package gate

import (
	"slices"
	"strings"
	"testing"

	countersign "github.com/countersign/countersign"
)

// Whatever a program calls itself and its arguments, its records fit a leaf: one
// that did not would end the session.
func TestEveryRecordFitsALeaf(t *testing.T) {
	const leaf = 15872
	for name, unit := range map[string]string{"plain": "a", "control": "\x01", "html": "<", "wide": "語", "invalid": "\xff", "quotes": `"`, "separators": "\u2028"} {
		long := strings.Repeat(unit, 3000)
		path := "/" + strings.Repeat(unit, 4095)
		var argv []string
		for range 80 {
			argv = append(argv, long)
		}
		many := strings.Split(strings.Repeat(unit+" ", 500), " ")
		peer := countersign.Peer{PID: 1, Exe: path, Argv: argv}
		for _, args := range [][]string{argv, many} {
			a := countersign.Action{Kind: countersign.KindExec, Peer: peer, Exec: &countersign.Exec{Argv: args, Cwd: path, Exe: countersign.Executable{Path: path, SHA256: strings.Repeat("a", 64)}}}
			for range 100 {
				a.Exec.Delta = append(a.Exec.Delta, countersign.EnvChange{Name: long})
			}
			a.Exec.Invoked = "/" + long[:300]
			for range 9 {
				a.Exec.Interp = append(a.Exec.Interp, countersign.Executable{Path: long[:60]})
				a.Exec.Scripts = append(a.Exec.Scripts, countersign.Script{Path: long[:60]})
			}
			short := a
			short.Exec = &countersign.Exec{Argv: args, Cwd: "/p", Exe: countersign.Executable{Path: "/bin/x"}, Invoked: a.Exec.Invoked, Interp: a.Exec.Interp, Scripts: a.Exec.Scripts, Delta: a.Exec.Delta}
			short.Peer.Exe = "/bin/x"
			file := countersign.Action{Kind: countersign.KindFileRead, Peer: peer, File: &countersign.File{Path: path, Op: "read"}}
			for _, a := range []countersign.Action{a, short, file} {
				g, b := newGate(t, rules{}, nil)
				if err := g.Refused(a, countersign.Ruling{Rule: "r", Reason: long}, "EACCES", 2); err != nil {
					t.Fatal(err)
				}
				line, err := b.all()[0].JSON()
				if err != nil || len(line) > leaf {
					t.Errorf("%s: %d bytes, %v", name, len(line), err)
				}
			}
		}
	}
}

// What is cut keeps its end: that is where git's command stands.
func TestLongCommandsKeepBothEnds(t *testing.T) {
	argv := []string{"git"}
	for range 40 {
		argv = append(argv, "-c", "gc.auto=0")
	}
	argv = append(argv, "push", "--force", "origin")
	got := Argv(argv)
	if len(got) > maxArgs+1 || got[0] != "git" || !slices.Contains(got, "…") || strings.Join(got[len(got)-3:], " ") != "push --force origin" {
		t.Errorf("%q", got)
	}
	line := Line(strings.Join(argv, " "))
	if !strings.HasPrefix(line, "git -c gc.auto=0 ") || !strings.HasSuffix(line, " push --force origin") || len(line) > 204 {
		t.Errorf("%q", line)
	}
	if got := Argv([]string{"x", strings.Repeat("y", 9000)}); len(got) != 2 || !strings.HasSuffix(got[1], "y…") {
		t.Errorf("%.80q", got)
	}
}

// What fits is not cut.
func TestOrdinaryCommandsAreWhole(t *testing.T) {
	argv := []string{"git", "commit", "-m", strings.Repeat("words ", 200)}
	if got := Argv(argv); len(got) != 4 || got[3] != argv[3] {
		t.Errorf("%q", got)
	}
}
