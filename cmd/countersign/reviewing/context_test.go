package reviewing

import (
	"testing"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/workspace/review"
	"github.com/countersign/countersign/workspace/tree"
	"github.com/google/go-cmp/cmp"
)

func TestContextIsLinesWithoutEnds(t *testing.T) {
	rv, err := review.Open(t.TempDir(), "s")
	if err != nil {
		t.Fatal(err)
	}
	base := tree.FromBytes([]byte("1\n2\n3\n4\n5\n"), tree.ModeFile)
	if _, err := rv.Update([]tree.Change{{Path: "f", Base: base, Staged: tree.FromBytes([]byte("x"), tree.ModeFile)}}, nil, nil); err != nil {
		t.Fatal(err)
	}
	r := &Reviewing{review: rv}
	for _, c := range []struct {
		name          string
		start, lines  int
		before, after []string
	}{
		{"a change", 3, 1, []string{"1", "2"}, []string{"4", "5"}},
		{"lines added at the end", 5, 0, []string{"4", "5"}, nil},
		{"the first line", 1, 1, nil, []string{"2", "3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, after := r.Context(countersign.Hunk{Op: countersign.OpModify, Base: base.SHA256, OldStart: c.start, OldLines: c.lines}, 2)
			if d := cmp.Diff([2][]string{c.before, c.after}, [2][]string{before, after}); d != "" {
				t.Error(d)
			}
		})
	}
}
