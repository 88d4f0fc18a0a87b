package seatbelt

import (
	"strings"
	"testing"

	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/policy/paths"
)

// The built-in rules, as a profile has them: what a rule's examples say is denied is
// denied in the project, by reading and by writing, and what they say is not is open.
func TestTheBuiltInRules(t *testing.T) {
	p, err := policy.Compile(policy.BuiltIn())
	if err != nil {
		t.Fatal(err)
	}
	s := plain()
	s.Denied = nil
	at := paths.Anchors{Project: Root(s.Project), Home: Root(s.Person)}
	for _, d := range p.Denied() {
		x := at.Denial(d.Patterns, d.Except, d.Rule.Only == "files")
		s.Denied = append(s.Denied, Denial{
			Rule: d.Rule.ID, Files: d.Rule.Only == "files", Match: x.Match, Except: x.Except,
			Under: x.Under, Backup: x.Backup, BackupExcept: x.BackupExcept, Moves: x.Moves,
		})
	}
	out := profile(t, s)
	t.Log(len(out), "bytes")
	all := forms(t, out)
	p = p.At(s.Project, s.Person)
	denied, open := 0, 0
	for _, r := range policy.BuiltIn().Files.Deny {
		for _, e := range append(append([]string{".ßh/x", "a/.ENV", "deploy/ID_RSA"}, r.Match...), r.NotMatch...) {
			rest, home := strings.CutPrefix(e, "~/")
			if home {
				continue // closed as a whole
			}
			w := world{path: s.Project + "/" + strings.TrimSuffix(rest, "/"), dir: strings.HasSuffix(e, "/")}
			_, want := p.Path(e)
			for _, w.op = range []string{"file-read-data", "file-write-create"} {
				got, message := decide(t, all, w)
				if got == want || !got && !strings.HasPrefix(message, "countersign 7k2mx9 ") {
					t.Errorf("%s %s: open %v (%s), the policy denies it: %v", w.op, w.path, got, message, want)
				}
			}
			if want {
				denied++
			} else {
				open++
			}
		}
	}
	if denied < 80 || open < 10 {
		t.Errorf("%d denied, %d open: too few examples", denied, open)
	}
}
