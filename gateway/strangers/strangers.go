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
	"net/netip"
	"sync"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/flood"
)

const (
	singles   = 64
	every     = time.Second
	quiet     = time.Minute
	maxPlaces = 1024 // beyond these all places are one
)

// Counter counts refusals. It is safe for concurrent use.
type Counter struct {
	now   func() time.Time
	put   func(countersign.Record)
	flood *flood.Flood[kind, refusal]

	mu    sync.Mutex
	timer *time.Timer // running while anything may be counted that is not written

	writing sync.Mutex // so that whoever flushed last has all of it written
}

type kind struct{ rule, place string }

type refusal struct {
	at  time.Time
	rec countersign.Record
}

// New returns a Counter that hands records of folded refusals to put.
func New(now func() time.Time, put func(countersign.Record)) *Counter {
	c := &Counter{now: now, put: put}
	c.flood = flood.New[kind](flood.Bounds{First: singles, Kinds: maxPlaces, Quiet: quiet}, now, c.write)
	return c
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
// record of its own, which is the caller's to write; else it counts it, and rec
// stands for those that are counted together if it is the last of them.
func (c *Counter) Refused(rule, place string, rec countersign.Record) (single bool) {
	if c.flood.Count(kind{rule, place}, kind{rule, ""}, refusal{c.now(), rec}) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer == nil {
		c.timer = time.AfterFunc(every, c.Flush)
	}
	return false
}

// Flush writes what is counted.
func (c *Counter) Flush() {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	c.timer = nil // before the look: what comes after it starts another
	c.mu.Unlock()
	c.flood.Flush(false)
}

func (c *Counter) write(r refusal, count int) {
	if count > 1 {
		r.rec.Detail["count"] = count
		r.rec.Detail["last"] = r.at.UTC().Format(time.RFC3339Nano)
	}
	c.put(r.rec)
}
