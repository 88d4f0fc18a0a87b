package strangers

import (
	"fmt"
	"sync"
	"testing"
	"time"

	countersign "github.com/countersign/countersign"
)

// clock stands still until it is told.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

// written is what was put on record; the Counter's own timer may write too.
type written struct {
	mu  sync.Mutex
	all []countersign.Record
}

func (w *written) put(r countersign.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, r)
}

// sum is how many refusals the records stand for.
func (w *written) sum() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.all {
		if c, ok := r.Detail["count"].(int); ok {
			n += c
		} else {
			n++
		}
	}
	return n
}

func counting() (*Counter, *clock, *written) {
	at, out := &clock{time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)}, &written{}
	return New(at.now, out.put), at, out
}

func record() countersign.Record { return countersign.Record{Detail: map[string]any{}} }

func TestAFloodIsCountedExactly(t *testing.T) {
	c, at, out := counting()
	defer c.Flush()
	own := 0
	for range 10_000 {
		if c.Refused("gateway-token", "10.0.0.1", record()) {
			own++
		}
	}
	if !c.Refused("gateway-token", "10.0.0.2", record()) {
		t.Error("another place is folded with the first")
	}
	c.Flush()
	if n := out.sum(); own != singles || n != 10_000-singles || len(out.all) > 100 {
		t.Errorf("%d singles, %d in %d records", own, n, len(out.all))
	}
	c.Flush()
	if n := out.sum(); n != 10_000-singles {
		t.Errorf("nothing is counted twice: %d", n)
	}
	if c.Refused("gateway-token", "10.0.0.1", record()) {
		t.Error("the flood goes on")
	}
	c.Flush()
	if last := out.all[len(out.all)-1]; last.Detail["count"] != nil {
		t.Errorf("one is one: %+v", last)
	}
	at.t = at.t.Add(2 * quiet)
	if !c.Refused("gateway-token", "10.0.0.1", record()) {
		t.Error("after a quiet while the first is a record of its own")
	}
}

func TestPlacesAreBounded(t *testing.T) {
	c, at, out := counting()
	defer c.Flush()
	own := 0
	for i := range 50 * maxPlaces {
		if c.Refused("gateway-token", fmt.Sprint(i), record()) {
			own++
		}
	}
	if own > maxPlaces+singles {
		t.Errorf("%d records", own)
	}
	if c.Flush(); out.sum() != 50*maxPlaces-own || len(out.all) > 1000 {
		t.Errorf("%d in %d records, %d singles", out.sum(), len(out.all), own)
	}
	at.t = at.t.Add(2 * quiet)
	c.Flush()
	for i := range singles + 1 {
		if c.Refused("gateway-token", "new", record()) != (i < singles) {
			t.Errorf("refusal %d of a place that is new after a quiet while", i)
		}
	}
}

func TestPlace(t *testing.T) {
	for remote, want := range map[string]string{
		"127.0.0.1:99": "127.0.0.1", "[::1]:99": "::1", "[::ffff:10.0.0.1]:9": "10.0.0.1", "[2001:db8:1:2:3::4]:9": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:9": "fe80::/64", "": "", "@": "",
	} {
		if got := Place(remote); got != want {
			t.Errorf("%s: %s", remote, got)
		}
	}
}
