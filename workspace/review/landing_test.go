package review

import (
	"strings"
	"testing"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/diff"
	"github.com/countersign/countersign/workspace/tree"
)

// What the session is left with after an apply: the real file, and of the
// agent's what was not applied; nothing where the two do not go together.
func TestLanding(t *testing.T) {
	const base = "1\n2\n3\n4\n5\n6\n7\n8\n9\n"
	with := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(base) }
	agent := with("2", "two", "6", "six")
	for _, c := range []struct {
		name           string
		edit           string // the person's words for the first hunk
		applied        int    // hunks
		real, want     string
		clash, wantNil bool
	}{
		{name: "all", applied: 2, real: with("2", "two", "6", "six", "9", "nine"), wantNil: true},
		{name: "the first", applied: 1, real: with("2", "two", "9", "nine"), want: with("2", "two", "6", "six", "9", "nine")},
		{name: "none, and the same lines", real: with("6", "mine"), clash: true},
		{name: "the first, edited", edit: "zwei\n", applied: 1, real: with("2", "zwei"), want: with("2", "zwei", "6", "six")},
		{name: "all, one edited", edit: "zwei\n", applied: 2, real: with("2", "zwei", "6", "six"), wantNil: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Open(t.TempDir(), "s")
			if err != nil {
				t.Fatal(err)
			}
			cs, err := r.Update([]tree.Change{{Path: "f", Base: tree.FromBytes([]byte(base), tree.ModeFile), Staged: tree.FromBytes([]byte(agent), tree.ModeFile)}}, nil, nil)
			if err != nil || len(cs.Hunks) != 2 {
				t.Fatal(cs, err)
			}
			if c.edit != "" {
				if _, err := r.Edit(cs.Hunks[0].Digest, []byte(c.edit)); err != nil {
					t.Fatal(err)
				}
			}
			for _, h := range r.Changeset().Hunks[:c.applied] {
				if h.State == countersign.Undecided {
					if _, err := r.Accept(h.Digest); err != nil {
						t.Fatal(err)
					}
				}
				if err := r.Applied(h.Digest); err != nil {
					t.Fatal(err)
				}
			}
			l, ok := r.Landing("f", tree.FromBytes([]byte(c.real), tree.ModeFile))
			switch {
			case ok == c.clash:
				t.Errorf("ok is %t", ok)
			case c.clash:
			case c.wantNil != (l.Post == nil) || !c.wantNil && string(l.Post) != c.want:
				t.Errorf("got %q, want %q", l.Post, c.want)
			case l.Was != diff.SHA256([]byte(agent)) || l.Real != diff.SHA256([]byte(c.real)):
				t.Errorf("of other versions: %+v", l)
			}
		})
	}
}
