package scan

// automaton finds many words at once, in one pass and without regard to the case
// of ASCII (Aho and Corasick, 1975), by a table of classes of bytes.
type automaton struct {
	class  [256]uint8
	width  int
	next   []uint16 // state*width + class
	depth  []uint16 // of each state: how much of a word has been seen
	ends   [][]word // of each state
	nWords int
}

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
}

// run goes on from state over text and calls found for each word with the offset
// of its end in text; it stops when found returns false.
func (a *automaton) run(state uint16, text string, found func(end int, w word) bool) uint16 {
	next, width := a.next, a.width
	for i := range len(text) {
		state = next[int(state)*width+int(a.class[text[i]])]
		if ends := a.ends[state]; ends != nil {
			for _, w := range ends {
				if !found(i+1, w) {
					return state
				}
			}
		}
	}
	return state
}

// any reports whether a word stands in text.
func (a *automaton) any(text string) bool {
	hit := false
	a.run(0, text, func(int, word) bool {
		hit = true
		return false
	})
	return hit
}
