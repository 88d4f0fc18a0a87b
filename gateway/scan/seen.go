package scan

import (
	"sync"

	"github.com/countersign/countersign/internal/fingerprint"
)

// maxSeen bounds how many blocks are remembered in each of two halves: enough
// for the longest conversation several times over.
const maxSeen = 1 << 15

// minSeen is the smallest block that is remembered: less is scanned faster.
const minSeen = 256

// seen remembers what was found in a block, by its fingerprint, as agents send
// the whole conversation again with each turn. The older half is forgotten when
// the newer is full.
type seen struct {
	key        fingerprint.Key
	mu         sync.Mutex
	newer, old half
}

// half is apart for what holds nothing, as nearly all of it does: the collector need
// not look into that.
type half struct {
	clean map[[16]byte]struct{}
	found map[[16]byte][]Finding
}

func (h *half) get(name [16]byte) (f []Finding, ok bool) {
	if _, ok := h.clean[name]; ok {
		return nil, true
	}
	f, ok = h.found[name]
	return f, ok
}

func (s *seen) get(name [16]byte) ([]Finding, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, ok := s.newer.get(name); ok {
		return f, true
	}
	f, ok := s.old.get(name)
	if ok {
		s.put(name, f)
	}
	return f, ok
}

// put is called with mu held.
func (s *seen) put(name [16]byte, f []Finding) {
	if s.newer.clean == nil || len(s.newer.clean)+len(s.newer.found) >= maxSeen {
		s.old, s.newer = s.newer, half{map[[16]byte]struct{}{}, map[[16]byte][]Finding{}}
	}
	if len(f) == 0 {
		s.newer.clean[name] = struct{}{}
		return
	}
	s.newer.found[name] = f
}

// Block is Text for a block whose undecoded bytes are raw; decode is called only
// if the block, as it is written, was not scanned before.
func (s *Scanner) Block(raw []byte, decode func() string, b *Budget) ([]Finding, error) {
	if len(raw) < minSeen {
		return s.Text(decode(), b)
	}
	if err := b.spend(2 * len(raw)); err != nil {
		return nil, err
	}
	name := s.seen.key.Of(s.known.generation(), raw)
	if f, ok := s.seen.get(name); ok {
		return f, nil
	}
	f, err := s.Text(decode(), b)
	if err != nil {
		return nil, err
	}
	s.seen.mu.Lock()
	s.seen.put(name, f)
	s.seen.mu.Unlock()
	return f, nil
}
