package tripwire

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/countersign/countersign"
)

func event(at time.Time, exe, op string) Event {
	return Event{Node: 1, Op: op, Peer: countersign.Peer{Exe: exe}, Time: at, Last: at, Count: 1}
}

func TestFold(t *testing.T) {
	t0 := time.Unix(1000, 0)
	ms := func(n int) time.Time { return t0.Add(time.Duration(n) * time.Millisecond) }
	tests := []struct {
		name string
		do   func(f *folder)
		want []int // counts, in order; the first foldAfter singles left out
	}{
		{"few stay single", func(f *folder) { flood(f, ms, foldAfter, "a") }, nil},
		{"the rest is one count", func(f *folder) { flood(f, ms, foldAfter+10, "a"); f.flush(time.Time{}) }, []int{10}},
		{"not before its second is over", func(f *folder) { flood(f, ms, foldAfter+10, "a"); f.flush(ms(foldAfter + 999)) }, nil},
		{"one count a second", func(f *folder) {
			flood(f, ms, foldAfter+10, "a")
			f.flush(ms(foldAfter + 1000))
			f.add(event(ms(2000), "a", OpRead))
			f.flush(ms(3000))
		}, []int{10, 1}},
		{"after a quiet minute single again", func(f *folder) {
			flood(f, ms, foldAfter+10, "a")
			f.flush(ms(5000))
			f.add(event(ms(70000), "a", OpRead))
		}, []int{10, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []Event
			tt.do(newFolder(func(e Event) { got = append(got, e) }))
			if len(got) < foldAfter {
				t.Fatalf("only %d events", len(got))
			}
			var counts []int
			for _, e := range got[foldAfter:] {
				counts = append(counts, e.Count)
			}
			if fmt.Sprint(counts) != fmt.Sprint(tt.want) {
				t.Errorf("counts %v, want %v", counts, tt.want)
			}
		})
	}
}

func flood(f *folder, ms func(int) time.Time, n int, exe string) {
	for i := range n {
		f.add(event(ms(i), exe, OpRead))
	}
}

// Whatever comes in, the counts that go out add up to it, times stay in order,
// and the folder's memory is bounded.
func TestFoldKeepsTotals(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	now := time.Unix(1000, 0)
	in, out := map[string]int{}, map[string]int{}
	f := newFolder(func(e Event) {
		out[e.Op] += e.Count
		if e.Last.Before(e.Time) {
			t.Errorf("last %v before first %v", e.Last, e.Time)
		}
	})
	for range 200000 {
		now = now.Add(time.Duration(r.IntN(3)) * time.Millisecond)
		op := []string{OpRead, OpWrite, OpChmod}[r.IntN(3)]
		f.add(event(now, fmt.Sprint("exe", r.IntN(3*maxKeys)), op))
		in[op]++
		if r.IntN(500) == 0 {
			f.flush(now)
		}
		if len(f.keys) > maxKeys+3 {
			t.Fatalf("%d keys", len(f.keys))
		}
	}
	f.flush(time.Time{})
	if fmt.Sprint(in) != fmt.Sprint(out) {
		t.Errorf("in %v, out %v", in, out)
	}
}
