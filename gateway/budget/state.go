package budget

import (
	"maps"
	"math"
	"slices"
	"time"
)

// tally is what was used, or is reserved.
type tally struct {
	nano, tokens, requests int64
	at                     int64 // last change, Unix seconds
}

type hold struct {
	counters     []counter
	nano, tokens int64
	at           int64
}

// state is what the lines of a journal come to.
type state struct {
	spent map[counter]tally
	held  map[counter]tally // the sum of holds
	holds map[string]hold
}

func newState() state {
	return state{spent: map[counter]tally{}, held: map[counter]tally{}, holds: map[string]hold{}}
}

// apply takes a line; false if it means nothing.
func (s *state) apply(l line) bool {
	switch l.Op {
	case "book":
		return l.V > 0
	case "sum":
		if len(l.C) != 1 {
			return false
		}
		s.spent[l.C[0]] = tally{l.N, l.T, l.R, l.At}
	case "hold":
		if _, twice := s.holds[l.ID]; twice || l.ID == "" || l.N < 0 || l.T < 0 {
			return false
		}
		s.holds[l.ID] = hold{l.C, l.N, l.T, l.At}
		for _, c := range l.C {
			s.held[c] = s.held[c].plus(l.N, l.T, 1, l.At)
		}
	case "end":
		h, ok := s.holds[l.ID]
		if !ok {
			return l.ID != "" // of one that was too old to be kept
		}
		delete(s.holds, l.ID)
		for _, c := range h.counters {
			s.spent[c] = s.spent[c].plus(max(l.N, 0), max(l.T, 0), 1, l.At)
			s.unhold(c)
		}
	default:
		return false
	}
	return true
}

// unhold counts anew what is reserved: a difference would keep what an overflow
// has lost.
func (s *state) unhold(c counter) {
	var t tally
	for _, h := range s.holds {
		if slices.Contains(h.counters, c) {
			t = t.plus(h.nano, h.tokens, 1, h.at)
		}
	}
	if t.requests == 0 {
		delete(s.held, c)
	} else {
		s.held[c] = t
	}
}

func (t tally) plus(nano, tokens, requests, at int64) tally {
	return tally{plus(t.nano, nano), plus(t.tokens, tokens), plus(t.requests, requests), max(t.at, at)}
}

// plus adds and stays at the largest number rather than beginning anew.
func plus(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// What is kept: a window's count while it may hold, a session's while anybody
// may go on with it.
const (
	keepWindow  = 40 * 24 * time.Hour
	keepSession = 400 * 24 * time.Hour
)

func over(c counter, at int64, now time.Time) bool {
	keep := keepWindow
	if c[2] == "" {
		keep = keepSession
	}
	return now.Sub(time.Unix(at, 0)) > keep
}

func (s *state) prune(now time.Time) {
	maps.DeleteFunc(s.spent, func(c counter, t tally) bool { return over(c, t.at, now) })
	maps.DeleteFunc(s.holds, func(_ string, h hold) bool {
		return len(h.counters) == 0 || !slices.ContainsFunc(h.counters, func(c counter) bool { return !over(c, h.at, now) })
	})
}

// lines are those that come to this state.
func (s *state) lines() []line {
	var out []line
	for c, t := range s.spent {
		out = append(out, line{Op: "sum", At: t.at, C: []counter{c}, N: t.nano, T: t.tokens, R: t.requests})
	}
	for id, h := range s.holds {
		out = append(out, line{Op: "hold", ID: id, At: h.at, C: h.counters, N: h.nano, T: h.tokens})
	}
	return out
}
