// Package strangers keeps whoever has no token from filling the record: the first
// refusals of one kind from one place are records of their own, of those that
// follow each second's is one record with their count.
//
// It promises: no refusal is lost from the counts but those of the last second
// before a kill; what is kept is bounded, however many places they come from.
//
// It writes through the function that it is given and touches nothing else.
package strangers

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	countersign "github.com/countersign/countersign"
)

// The flood rule, as for refused files: of a kind that was quiet for a while the
// first are singles. Beyond maxPlaces all places are one.
const (
	singles   = 64
	every     = time.Second
	quiet     = time.Minute
	maxPlaces = 1024
)

// Counter counts refusals. It is safe for concurrent use.
type Counter struct {
	now func() time.Time
	put func(countersign.Record)

	mu    sync.Mutex
	kinds map[kind]*state
	timer *time.Timer // running while anything is counted that is not written
	swept time.Time   // when quiet kinds were dropped last

	writing sync.Mutex // so that whoever flushed last has all of it written
}

type kind struct{ rule, place string }

type state struct {
	seen  int
	last  time.Time
	count int // folded since the last record
	order int64
	rec   countersign.Record // of the first that was folded
}

// New returns a Counter that hands records of folded refusals to put.
func New(now func() time.Time, put func(countersign.Record)) *Counter {
	return &Counter{now: now, put: put, kinds: map[kind]*state{}}
}

// Place is the part of an address by which strangers are told apart: of IPv6 the
// network, as every host has a whole one.
func Place(remote string) string {
	a, err := netip.ParseAddrPort(remote)
	if err != nil {
		return ""
	}
	ip := a.Addr().Unmap().WithZone("")
	if ip.Is6() && !ip.IsLoopback() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}

// Refused takes a refusal under a rule from a place. It reports whether it is a
// record of its own, which is the caller's to write; else it counts it, and make
// is called for the first that is counted.
func (c *Counter) Refused(rule, place string, make func() countersign.Record) (single bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	k := kind{rule, place}
	st := c.kinds[k]
	if st == nil && len(c.kinds) >= maxPlaces {
		c.forget(now)
		if len(c.kinds) >= maxPlaces {
			k.place = ""
			st = c.kinds[k]
		}
	}
	if st == nil {
		st = &state{}
		c.kinds[k] = st
	}
	if st.count == 0 && now.Sub(st.last) > quiet {
		st.seen = 0
	}
	st.last = now
	if st.seen++; st.seen <= singles {
		return true
	}
	if st.count++; st.count == 1 {
		st.rec, st.order = make(), now.UnixNano()
	}
	if c.timer == nil {
		c.timer = time.AfterFunc(every, c.Flush)
	}
	return false
}

// forget drops quiet kinds, at most once a second: a flood from many places must
// not cost a look at all of them each time.
func (c *Counter) forget(now time.Time) {
	if now.Sub(c.swept) < every {
		return
	}
	c.swept = now
	for k, st := range c.kinds {
		if st.count == 0 && now.Sub(st.last) > quiet {
			delete(c.kinds, k)
		}
	}
}

// Flush writes what is counted, in the order of the first of each kind.
func (c *Counter) Flush() {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	var due []state
	for _, st := range c.kinds {
		if st.count > 0 {
			due = append(due, *st)
			st.count, st.rec = 0, countersign.Record{}
		}
	}
	c.timer = nil
	c.mu.Unlock()
	slices.SortFunc(due, func(a, b state) int { return cmp.Compare(a.order, b.order) })
	for _, st := range due {
		if st.count > 1 {
			st.rec.Detail["count"] = st.count
			st.rec.Detail["last"] = st.last.UTC().Format(time.RFC3339Nano)
		}
		c.put(st.rec)
	}
}
