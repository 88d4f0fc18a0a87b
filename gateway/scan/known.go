package scan

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"sync"
)

// minKnown is the size of the shortest value that is looked for, in bytes.
const minKnown = 8

// maxKnown bounds one value: longer ones are known by their lines.
const maxKnown = 16 << 10

// known are values found by their exact content. It keeps no value: of each the
// size, a keyed hash of its first and of its last eight bytes, and a keyed hash
// of it all.
type known struct {
	mu     sync.RWMutex
	key    []byte
	seed   maphash.Seed
	salt   uint64
	odd    uint64
	filter [1 << 12]uint64 // of 2^18 bits, by a product that loses most of its input
	fives  [1 << 12]uint64 // the same of each five bytes of a value's first eight
	values map[uint64][]value
	size   int // of the longest
	round  uint64
}

type value struct {
	size  int
	tail  uint64
	sum   [16]byte
	about about
}

// about is what may be said of a value.
type about struct {
	rule, source, via string
	id                string // of the plain value, for its placeholder
}

func newKnown(key []byte) *known {
	k := &known{key: derive(key, "known"), seed: maphash.MakeSeed(), values: map[uint64][]value{}}
	h := derive(key, "filter")
	k.salt, k.odd = binary.LittleEndian.Uint64(h), binary.LittleEndian.Uint64(h[8:])|1
	return k
}

func derive(key []byte, what string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(what))
	return h.Sum(nil)
}

func (k *known) sum(s string) (out [16]byte) {
	h := hmac.New(sha256.New, k.key)
	h.Write([]byte(s))
	copy(out[:], h.Sum(nil))
	return out
}

// load8 reads eight bytes as one number.
func load8(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// slot is where a filter has eight bytes.
func (k *known) slot(eight uint64) (at int, bit uint64) {
	h := (eight ^ k.salt) * k.odd >> 46
	return int(h >> 6), 1 << (h & 63)
}

// five is slot for the first five of eight bytes.
func (k *known) five(eight uint64) (at int, bit uint64) { return k.slot(eight << 24) }

// every is how many bytes lie between two looks at a text: whatever eight bytes begin
// a value, a look falls on five of them.
const every = 4

// add takes one form of a value; it reports whether it is new.
func (k *known) add(s string, a about) bool {
	if len(s) < minKnown || len(s) > maxKnown {
		return false
	}
	v := value{len(s), maphash.String(k.seed, s[len(s)-8:]), k.sum(s), a}
	first := maphash.String(k.seed, s[:8])
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, other := range k.values[first] {
		if other.sum == v.sum {
			return false
		}
	}
	at, bit := k.slot(load8(s))
	k.filter[at] |= bit
	for i := range every {
		at, bit := k.five(load8(s) >> (8 * i))
		k.fives[at] |= bit
	}
	k.values[first] = append(k.values[first], v)
	k.size = max(k.size, v.size)
	k.round++
	return true
}

// has reports whether a value is known already.
func (k *known) has(s string) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, v := range k.begin(s, 0) {
		if v.size == len(s) && k.is(&v, s) {
			return true
		}
	}
	return false
}

// begin returns the values that may begin at i, which the caller compares as
// soon as it has their bytes.
func (k *known) begin(text string, i int) []value {
	at, bit := k.slot(load8(text[i:]))
	if k.filter[at]&bit == 0 {
		return nil
	}
	return k.values[maphash.String(k.seed, text[i:i+8])]
}

// is compares the whole of a value, which s is as long as.
func (k *known) is(v *value, s string) bool { return k.ends(v, s) && k.sum(s) == v.sum }

// ends compares the end of it, which costs little.
func (k *known) ends(v *value, s string) bool {
	return maphash.String(k.seed, s[v.size-minKnown:v.size]) == v.tail
}

// find calls found for each value in text.
func (k *known) find(text string, b *Budget, found func(place, about)) error {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if len(k.values) == 0 {
		return nil
	}
	at := 0
	for ; at+minKnown <= len(text); at += every {
		slot, bit := k.five(load8(text[at:]))
		if k.fives[slot]&bit == 0 {
			continue
		}
		if err := k.around(text, at, b, found); err != nil {
			return err
		}
	}
	return k.around(text, at, b, found)
}

// around calls found for the values that begin at an offset or up to three bytes
// before it.
func (k *known) around(text string, at int, b *Budget, found func(place, about)) error {
	for i := max(0, at-every+1); i <= min(at, len(text)-minKnown); i++ {
		if err := k.compare(text, i, b, found); err != nil {
			return err
		}
	}
	return nil
}

// compare calls found for the values that stand at i.
func (k *known) compare(text string, i int, b *Budget, found func(place, about)) error {
	values := k.begin(text, i)
	for j := range values {
		v := &values[j]
		if err := b.spend(200); err != nil {
			return err
		}
		if i+v.size > len(text) || !k.ends(v, text[i:i+v.size]) {
			continue
		}
		if err := b.spend(1000 + 5*v.size); err != nil { // for the sum of it all
			return err
		}
		if k.sum(text[i:i+v.size]) == v.sum {
			found(place{i, i + v.size}, v.about)
		}
	}
	return nil
}

func (k *known) generation() uint64 {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.round
}

func (k *known) any() bool { return k.generation() > 0 }
