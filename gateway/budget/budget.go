package budget

import (
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	countersign "github.com/countersign/countersign"
)

// Who makes a call, as limits count it.
type Who struct{ Session, Project, User string }

func (w Who) of(per string) string {
	switch per {
	case "session":
		return w.Session
	case "project":
		return w.Project
	}
	return w.User
}

// Need is what a call may use at most, as far as that can be known before.
type Need struct {
	Provider, Model string
	NanoUSD         int64
	Priced          bool // a price is known
	Tokens          int64
}

// Book keeps the limits of one policy. It is safe for concurrent use, and other
// processes may keep the same file.
type Book struct {
	limits []countersign.Limit
	prefix string

	mu      sync.Mutex
	journal journal
	n       int64
}

// Open opens the journal at path, which need not be there. random gives this
// process's reservations a name of their own.
func Open(path string, limits []countersign.Limit, now func() time.Time, random io.Reader) (*Book, error) {
	var id [8]byte
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	b := &Book{limits: limits, prefix: hex.EncodeToString(id[:]) + "-", journal: journal{path: path, now: now}}
	return b, b.journal.with(func() error { return nil })
}

// Close gives the file back.
func (b *Book) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.journal.f != nil {
		_ = b.journal.f.Sync()
		b.journal.f.Close()
		b.journal.f = nil
	}
}

// Hold is what a call has reserved. The zero Hold is none.
type Hold struct {
	book *Book
	id   string
}

// Reserve asks every limit that covers a call. It returns a hold, or the limit
// that refuses; an error means that nothing can be kept, so that nothing may go.
func (b *Book) Reserve(who Who, need Need) (h Hold, no *Refusal, err error) {
	var covered []countersign.Limit
	for _, l := range b.limits {
		if l.Covers(need.Provider, need.Model) {
			covered = append(covered, l)
		}
	}
	if len(covered) == 0 {
		return Hold{}, nil, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	err = b.journal.with(func() error {
		now := b.journal.now()
		var counters []counter
		for _, l := range covered {
			name, ends := window(l.Window, now)
			c := counter{l.Ruling.Rule, who.of(l.Per), name}
			counters = append(counters, c)
			if r := b.ask(l, c, need); r != nil {
				if !ends.IsZero() {
					r.Wait = ends.Sub(now)
				}
				if no == nil || r.harder(no) {
					no = r
				}
			}
		}
		if no != nil {
			return nil
		}
		b.n++
		h = Hold{b, b.prefix + strconv.FormatInt(b.n, 36)}
		return b.journal.add(line{Op: "hold", ID: h.id, At: now.Unix(), C: counters, N: max(need.NanoUSD, 0), T: max(need.Tokens, 0)})
	})
	if err != nil {
		h = Hold{}
	}
	return h, no, err
}

// ask asks one limit.
func (b *Book) ask(l countersign.Limit, c counter, need Need) *Refusal {
	if l.NanoUSD > 0 && !need.Priced && !l.Unpriced {
		return &Refusal{Limit: l, What: Price}
	}
	spent, held := b.journal.book.spent[c], b.journal.book.held[c]
	for _, x := range []struct {
		what            What
		spent, held, of int64
	}{
		{Requests, spent.requests, held.requests, l.Requests},
		{Tokens, spent.tokens, held.tokens, l.Tokens},
		{USD, spent.nano, held.nano, l.NanoUSD},
	} {
		if x.of > 0 && plus(x.spent, x.held) >= x.of {
			if x.what == Requests || !b.inFlight(c) {
				x.spent, x.held = plus(x.spent, x.held), 0
			}
			return &Refusal{Limit: l, What: x.what, Spent: x.spent, Held: x.held, Of: x.of}
		}
	}
	return nil
}

// longest is how long a call may be in flight: a reservation that is older was
// cut off by a kill, and is spent.
const longest = time.Hour

func (b *Book) inFlight(c counter) bool {
	since := b.journal.now().Add(-longest).Unix()
	for _, h := range b.journal.book.holds {
		if h.at >= since && slices.Contains(h.counters, c) {
			return true
		}
	}
	return false
}

// Settle puts what was used in the place of what was reserved. Where it cannot,
// the reservation counts.
func (h Hold) Settle(nanoUSD, tokens int64) error {
	if h.book == nil {
		return nil
	}
	b := h.book
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.journal.with(func() error {
		return b.journal.add(line{Op: "end", ID: h.id, At: b.journal.now().Unix(), N: nanoUSD, T: tokens})
	})
	b.journal.flush()
	return err
}

// Keep counts what was reserved as spent: nobody knows better.
func (h Hold) Keep() error {
	if h.book == nil {
		return nil
	}
	h.book.mu.Lock()
	held := h.book.journal.book.holds[h.id]
	h.book.mu.Unlock()
	return h.Settle(held.nano, held.tokens)
}
