package scan

// automaton finds many words at once, in one pass and without regard to the case
// of ASCII (Aho and Corasick, 1975), by a table of classes of bytes.
type automaton struct {
	class  [256]uint8
	width  int
	next   []uint16 // state*width + class
	steps  []uint32 // the same for run: a state is its place in the table, hit where a word ends
	depth  []uint16 // of each state: how much of a word has been seen
	ends   [][]word // of each state
	nWords int
}

// hit marks a step on which a word ends.
const hit = 1 << 31

// word is one that ends here.
type word struct {
	id   int
	size int
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// newAutomaton takes words in lower case; together they may have some ten
// thousand bytes.
func newAutomaton(words []string) *automaton {
	a := &automaton{width: 1, nWords: len(words)}
	for _, w := range words {
		for i := range len(w) {
			if c := w[i]; a.class[c] == 0 {
				a.class[c] = uint8(a.width)
				a.width++
			}
		}
	}
	for c := byte('A'); c <= 'Z'; c++ {
		a.class[c] = a.class[lower(c)]
	}
	a.state(0)
	for id, w := range words {
		s := 0
		for i := range len(w) {
			at := s*a.width + int(a.class[w[i]])
			if a.next[at] == 0 {
				a.next[at] = uint16(a.state(i + 1))
			}
			s = int(a.next[at])
		}
		a.ends[s] = append(a.ends[s], word{id, len(w)})
	}
	a.link()
	return a
}

func (a *automaton) state(depth int) int {
	a.next = append(a.next, make([]uint16, a.width)...)
	a.depth = append(a.depth, uint16(depth))
	a.ends = append(a.ends, nil)
	return len(a.depth) - 1
}

// link completes the table, so that no step ever goes back in the text.
func (a *automaton) link() {
	fail := make([]int, len(a.depth))
	queue := []int{0}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		for c := range a.width {
			at := s*a.width + c
			t := int(a.next[at])
			over := 0
			if s != 0 {
				over = int(a.next[fail[s]*a.width+c])
			}
			if t == 0 {
				a.next[at] = uint16(over)
				continue
			}
			fail[t] = over
			a.ends[t] = append(a.ends[t], a.ends[over]...)
			queue = append(queue, t)
		}
	}
	a.steps = make([]uint32, len(a.next))
	for i, t := range a.next {
		if a.steps[i] = uint32(int(t) * a.width); a.ends[t] != nil {
			a.steps[i] |= hit
		}
	}
	a.next = nil
}

// run goes on from state over text and calls found for each word with the offset
// of its end in text; it stops when found returns false. 0 is the first state.
func (a *automaton) run(state uint32, text string, found func(end int, w word) bool) uint32 {
	steps, class := a.steps, &a.class
	for i := range len(text) {
		state = steps[int(state)+int(class[text[i]])]
		if state&hit == 0 {
			continue
		}
		state &^= hit
		for _, w := range a.ends[int(state)/a.width] {
			if !found(i+1, w) {
				return state
			}
		}
	}
	return state
}

// seen is how much of a word stands at the end of what has led to a state.
func (a *automaton) seen(state uint32) int { return int(a.depth[int(state)/a.width]) }

// any reports whether a word stands in text.
func (a *automaton) any(text string) bool {
	found := false
	a.run(0, text, func(int, word) bool {
		found = true
		return false
	})
	return found
}
