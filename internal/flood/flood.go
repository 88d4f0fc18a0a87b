// Package flood keeps a flood of equal events from becoming a flood of records:
// the first of one kind are reported singly, later ones are counted and reported
// together, so that the totals stay exact.
//
// It starts nothing and has no clock of its own: whoever uses it calls Flush,
// usually once a second, and at the end.
package flood

import (
	"sync"
	"time"
)

// Bounds say how much is kept.
type Bounds struct {
	First int           // of one kind are reported singly
	Kinds int           // are told apart; what comes beyond counts as Rest
	Quiet time.Duration // after which a kind is forgotten
}

// Usual are the bounds that the doors use.
func Usual() Bounds { return Bounds{First: 64, Kinds: 4096, Quiet: time.Minute} }

// Flood counts events of kind K. Its methods may be called concurrently.
type Flood[K comparable, E any] struct {
	bounds Bounds
	now    func() time.Time
	report func(e E, count int)
	mu     sync.Mutex
	kinds  map[K]*state[E]
}

type state[E any] struct {
	seen, folded int
	last         time.Time
	event        E
}

// New returns a Flood that hands events to report: one by one, or the last of
// several with their count.
func New[K comparable, E any](b Bounds, now func() time.Time, report func(e E, count int)) *Flood[K, E] {
	return &Flood[K, E]{bounds: b, now: now, report: report, kinds: map[K]*state[E]{}}
}

// Add counts an event, and reports it if it is single; rest is its kind where
// there are too many kinds.
func (f *Flood[K, E]) Add(kind, rest K, e E) {
	if f.Count(kind, rest, e) {
		f.report(e, 1)
	}
}

// Count is Add, but it leaves the report of a single event to its caller.
func (f *Flood[K, E]) Count(kind, rest K, e E) (single bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	st := f.kinds[kind]
	if st == nil && len(f.kinds) >= f.bounds.Kinds {
		kind = rest
		st = f.kinds[kind]
	}
	if st == nil {
		st = &state[E]{}
		f.kinds[kind] = st
	}
	now := f.now()
	if st.folded == 0 && now.Sub(st.last) > f.bounds.Quiet {
		st.seen = 0
	}
	st.seen++
	st.last, st.event = now, e
	if st.seen <= f.bounds.First {
		return true
	}
	st.folded++
	return false
}

// Flush reports what was counted, and forgets what is quiet; at the end, all.
func (f *Flood[K, E]) Flush(end bool) {
	type counted struct {
		event E
		n     int
	}
	var out []counted
	f.mu.Lock()
	for k, st := range f.kinds {
		if st.folded > 0 {
			out = append(out, counted{st.event, st.folded})
			st.folded = 0
		} else if end || f.now().Sub(st.last) > f.bounds.Quiet {
			delete(f.kinds, k)
		}
	}
	f.mu.Unlock()
	for _, c := range out {
		f.report(c.event, c.n)
	}
}
