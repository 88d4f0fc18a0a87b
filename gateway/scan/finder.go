package scan

import "iter"

// finder finds the words of an automaton in a whole text in half the time: a byte
// costs it one look into a table that fits into the processor's first cache, and
// words are compared where the three bytes that one begins with stand.
type finder struct {
	thirds [1 << 10]uint32 // by two bytes, five bits of each: a bit for each third one
	lists  [1 << 10][]named
	// fourths, by the third byte, has a bit for each fourth one, all for a word of
	// three; pairs are words of two.
	fourths [1 << 5]uint32
	pairs   [1 << 10]bool
}

type named struct {
	word
	text string
}

// newFinder takes words in lower case, of two bytes at least.
func newFinder(words []string) *finder {
	f := &finder{}
	for id, w := range words {
		two, third := pair(w[0], w[1]), uint32(1<<32-1) // whatever follows
		if len(w) > 2 {
			third = 1 << (w[2] & 31)
		}
		f.thirds[two] |= third
		switch len(w) {
		case 2:
			f.pairs[two] = true
		case 3:
			f.fourths[w[2]&31] = 1<<32 - 1
		default:
			f.fourths[w[2]&31] |= 1 << (w[3] & 31)
		}
		f.lists[two] = append(f.lists[two], named{word{id, len(w)}, w})
	}
	return f
}

// pair is the same for letters of either case.
func pair(a, b byte) uint { return uint(a&31)<<5 | uint(b&31) }

// standing is a word that ends at an offset of a text.
type standing struct{ end, id, size int32 }

// piece is how much of a text is searched before its words are handed out, in bytes.
const piece = 1 << 10

// all yields the words of a text in the order in which the automaton tells them:
// by their ends, of those with one end the longest first. It holds no more of them
// than begin in one piece, as a text can have one in every three bytes.
func (f *finder) all(text string) iter.Seq[standing] {
	return func(yield func(standing) bool) {
		var some [32]standing // enough for ordinary text, and not on the heap
		out := some[:0]
		for at := 0; at+2 <= len(text); at += piece {
			to := min(at+piece, len(text)-1)
			out = f.beginning(out, text, at, to)
			sure := 0
			for ; sure < len(out) && int(out[sure].end) < to+2; sure++ { // what begins later ends later
				if !yield(out[sure]) {
					return
				}
			}
			out = out[:copy(out, out[sure:])]
		}
		for _, w := range out {
			if !yield(w) {
				return
			}
		}
	}
}

// beginning adds the words that begin in [from, to), before the last byte.
func (f *finder) beginning(out []standing, text string, from, to int) []standing {
	a, b := uint(text[from]&31), uint(text[from+1]&31)
	rest := text[from+2 : min(to+2, len(text))]
	for i := range len(rest) {
		c := uint(rest[i] & 31)
		if f.thirds[(a<<5|b)&(1<<10-1)]>>c&1 != 0 {
			out = f.compare(out, a<<5|b, text, from+i)
		}
		a, b = b, c
	}
	if to+2 > len(text) {
		out = f.compare(out, a<<5|b, text, len(text)-2)
	}
	return out
}

func (f *finder) compare(out []standing, two uint, text string, at int) []standing {
	two &= 1<<10 - 1
	text = text[at:]
	if len(text) > 3 && !f.pairs[two] && f.fourths[text[2]&31]>>(text[3]&31)&1 == 0 {
		return out
	}
	all := f.lists[two]
	for i := range all {
		w := &all[i]
		if w.size > len(text) || lower(text[w.size-1]) != w.text[w.size-1] || !foldedIs(text[:w.size], w.text) {
			continue
		}
		out = append(out, standing{int32(at + w.size), int32(w.id), int32(w.size)})
		for j := len(out) - 1; j > 0 && out[j].before(out[j-1]); j-- {
			out[j], out[j-1] = out[j-1], out[j]
		}
	}
	return out
}

func (s standing) before(t standing) bool {
	return s.end < t.end || s.end == t.end && s.size > t.size
}

// foldedIs compares a text with one in lower case, without regard to case.
func foldedIs(text, word string) bool {
	for i := range len(word) {
		if lower(text[i]) != word[i] {
			return false
		}
	}
	return true
}
