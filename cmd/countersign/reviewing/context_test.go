package reviewing

import (
	"testing"

	"github.com/countersign/countersign"
	"github.com/google/go-cmp/cmp"
)

type fixed struct {
	noLayer
	base string
}

func (f fixed) BaseBytes(string) ([]byte, error) { return []byte(f.base), nil }

func TestContextIsLinesWithoutEnds(t *testing.T) {
	r := &Reviewing{staging: fixed{base: "1\n2\n3\n4\n5\n"}}
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
			before, after := r.Context(countersign.Hunk{Op: countersign.OpModify, OldStart: c.start, OldLines: c.lines}, 2)
			if d := cmp.Diff([2][]string{c.before, c.after}, [2][]string{before, after}); d != "" {
				t.Error(d)
			}
		})
	}
}
