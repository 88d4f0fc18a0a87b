package gateway

import (
	"crypto/sha256"
	"sync"
	"time"
)

// attempts knows the requests that have not had a good answer, so that the same
// one again is on record as another attempt at it, whoever tries: agents do, by
// themselves, up to thirty times.
type attempts struct {
	mu   sync.Mutex
	open map[[32]byte]attempt
}

type attempt struct {
	n     int
	first string // record of the first one
	at    time.Time
}

// A request counts as tried again within forgotten; of more than maxOpen all are
// forgotten.
const (
	forgotten = 10 * time.Minute
	maxOpen   = 4096
)

func (c *call) fingerprint(body []byte) [32]byte {
	h := sha256.New()
	for _, s := range []string{c.holder.Name, c.r.Method, c.r.URL.Path} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	h.Write(body)
	var out [32]byte
	h.Sum(out[:0])
	return out
}

// begin returns which attempt this is, and the record of the first.
func (a *attempts) begin(key [32]byte, now time.Time) (n int, first string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old, ok := a.open[key]
	if !ok || now.Sub(old.at) > forgotten {
		return 1, ""
	}
	return old.n + 1, old.first
}

// sent notes that the attempt leaves.
func (a *attempts) sent(key [32]byte, n int, record, first string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open == nil || len(a.open) >= maxOpen {
		a.open = map[[32]byte]attempt{}
	}
	if first == "" {
		first = record
	}
	a.open[key] = attempt{n, first, now}
}

// answered forgets a request that had a good answer.
func (a *attempts) answered(key [32]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, key)
}
