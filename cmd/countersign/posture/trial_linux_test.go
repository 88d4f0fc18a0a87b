package posture

import (
	"context"
	"strings"
	"testing"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/trial"
)

func TestTrial(t *testing.T) {
	for _, c := range []struct {
		name  string
		nodes bool
		alter func(answers []int, notes map[string]int) []int
		want  string // in the error; empty: it holds
	}{
		{"all refused and noted", true, nil, ""},
		{"no nodes", false, nil, ""},
		{"a call that is let go", true, func(a []int, _ map[string]int) []int { a[2] = 0; return a }, "make a user namespace: answered success, not EPERM"},
		{"another answer", true, func(a []int, _ map[string]int) []int { a[3] = 38; return a }, "answered ENOSYS, not EPERM"},
		{"refused by a filter above", true, func(a []int, _ map[string]int) []int { a[1] = 1; return a }, ""},
		{"a call that was not made", true, func(a []int, _ map[string]int) []int { return a[:4] }, "not tried"},
		{"noted twice", true, func(a []int, n map[string]int) []int { n["mount"] = 2; return a }, "noted 2 times"},
		{"not noted", true, func(a []int, n map[string]int) []int { delete(n, trial.Open); return a }, "open a denied file: noted 0 times"},
	} {
		t.Run(c.name, func(t *testing.T) {
			calls := trial.Calls(c.nodes)
			answers, notes := []int{}, map[string]int{}
			for _, x := range calls {
				answers = append(answers, int(x.Errno))
				if x.Note != "" {
					notes[x.Note] = 1
				}
			}
			if c.alter != nil {
				answers = c.alter(answers, notes)
			}
			tr, ctx := NewTrial(), context.Background()
			for call, n := range notes {
				for range n {
					if !tr.Took(call) {
						t.Fatal("not taken")
					}
				}
			}
			if _, ok := notes[trial.Open]; c.nodes && !ok {
				ended, cancel := context.WithCancel(ctx) // nothing more will come
				cancel()
				ctx = ended
			}
			p, err := tr.End(ctx, answers, c.nodes)
			switch {
			case c.want == "" && (err != nil || len(p.Failed) != 0 || len(p.Tried) != len(calls)):
				t.Errorf("%v %+v", err, p)
			case c.want != "" && (countersign.CodeOf(err) != countersign.EPosture || !strings.Contains(err.Error(), c.want) || countersign.RemedyOf(err) == "" || len(p.Failed) != 1 && c.name != "a call that was not made"):
				t.Errorf("%v %+v", err, p)
			}
			if tr.Took("mount") {
				t.Error("what an agent tries is taken for the trial")
			}
		})
	}
}
