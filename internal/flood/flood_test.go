package flood

import (
	"testing"
	"time"
)

// Whatever is folded, the totals are exact; a quiet kind begins anew.
func TestTotalsAreExact(t *testing.T) {
	now := time.Unix(0, 0)
	reports, total := 0, 0
	f := New[string](Bounds{First: 3, Kinds: 2, Quiet: time.Minute}, func() time.Time { return now }, func(_ string, n int) { reports++; total += n })
	for range 10 {
		f.Add("a", "", "a")
	}
	f.Flush(false)
	if reports != 4 || total != 10 {
		t.Errorf("%d reports of %d", reports, total)
	}
	now = now.Add(2 * time.Minute)
	f.Add("a", "", "a")
	if reports != 5 || total != 11 {
		t.Errorf("after a quiet time: %d reports of %d", reports, total)
	}
	for _, k := range []string{"b", "c", "d", "e", "f", "g"} { // more kinds than are told apart
		f.Add(k, "", k)
	}
	f.Flush(true)
	if total != 17 || len(f.kinds) > 3 {
		t.Errorf("%d events, %d kinds", total, len(f.kinds))
	}
}
