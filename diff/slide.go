package diff

// A run of changed lines can often be slid: where the line before it equals its
// last line, the run one line higher says the same. Which of the equivalent
// places is shown decides the numbers, so this follows what git does since 2.14
// (xdiff, "indent heuristic", M. Haggerty 2016): first meet a run of the other
// side, so that a replacement stays one hunk; else cut where indentation and
// blank lines say that something begins. The weights are those published there.

// run is one group: the changed lines s[start:end), maybe none, that stand
// before the unchanged line end.
type run struct{ start, end int }

func (s side) first() run {
	r := run{}
	for s.changed[r.end] {
		r.end++
	}
	return r
}

func (s side) next(r *run) bool {
	if r.end == len(s.ids) {
		return false
	}
	r.start = r.end + 1
	for r.end = r.start; s.changed[r.end]; {
		r.end++
	}
	return true
}

func (s side) prev(r *run) bool {
	if r.start == 0 {
		return false
	}
	r.end = r.start - 1
	for r.start = r.end; r.start > 0 && s.changed[r.start-1]; {
		r.start--
	}
	return true
}

// down moves a run one line towards the end, swallowing a run it meets.
func (s side) down(r *run) bool {
	if r.end >= len(s.ids) || s.ids[r.start] != s.ids[r.end] {
		return false
	}
	s.changed[r.start], s.changed[r.end] = false, true
	r.start++
	for r.end++; s.changed[r.end]; {
		r.end++
	}
	return true
}

// up is the mirror of down.
func (s side) up(r *run) bool {
	if r.start == 0 || s.ids[r.start-1] != s.ids[r.end-1] {
		return false
	}
	r.start--
	r.end--
	s.changed[r.start], s.changed[r.end] = true, false
	for r.start > 0 && s.changed[r.start-1] {
		r.start--
	}
	return true
}

// slide puts every run of s where it reads best. other walks beside it, so that
// both always stand before the same unchanged line.
func slide(s, other side) {
	r, o := s.first(), other.first()
	for {
		if r.start != r.end {
			settle(s, other, &r, &o)
		}
		if !s.next(&r) {
			return
		}
		other.next(&o)
	}
}

func settle(s, other side, r, o *run) {
	var earliest, meets int
	for size := -1; size != r.end-r.start; {
		size = r.end - r.start
		for s.up(r) {
			other.prev(o)
		}
		earliest, meets = r.end, -1
		if o.end > o.start {
			meets = r.end
		}
		for s.down(r) {
			other.next(o)
			if o.end > o.start {
				meets = r.end
			}
		}
	}
	want := r.end
	switch {
	case r.end == earliest:
		return
	case meets >= 0:
		want = meets
	default:
		want = bestEnd(s, *r, earliest)
	}
	for r.end > want && s.up(r) {
		other.prev(o)
	}
}

// Weights and bounds of the heuristic; smaller is better.
const (
	startOfFile, endOfFile      = 1, 21
	eachBlank, blankAfter       = -30, 6
	indented, indentedBlank     = -4, 10
	outdented, outdentedBlank   = 24, 17
	dedented, dedentedBlank     = 23, 17
	indentWeight                = 60
	maxIndent, maxBlank, maxWay = 200, 20, 100
)

func bestEnd(s side, r run, earliest int) int {
	size := r.end - r.start
	at := max(earliest, r.end-size-1, r.end-maxWay)
	bestAt, best := -1, score{}
	for ; at <= r.end; at++ {
		var c score
		c.cut(s, at)
		c.cut(s, at-size)
		if bestAt < 0 || c.against(best) <= 0 {
			bestAt, best = at, c
		}
	}
	return bestAt
}

type score struct{ indent, penalty int }

func (c score) against(d score) int {
	n := c.penalty - d.penalty
	switch {
	case c.indent > d.indent:
		n += indentWeight
	case c.indent < d.indent:
		n -= indentWeight
	}
	return n
}

// cut adds how bad it would be to begin or end a run before line at.
func (c *score) cut(s side, at int) {
	here := -1
	if at < len(s.lines) {
		here = indent(s.lines[at])
	} else {
		c.penalty += endOfFile
	}
	before, blanks := look(s, at-1, -1)
	after, blanksAfter := look(s, at+1, 1)
	if before < 0 && blanks == 0 {
		c.penalty += startOfFile
	}
	if here < 0 {
		blanksAfter++
		here = after
	} else {
		blanksAfter = 0
	}
	blanks += blanksAfter
	c.penalty += eachBlank*blanks + blankAfter*blanksAfter
	c.indent += here
	if here < 0 || before < 0 || here == before {
		return
	}
	plain, withBlank := dedented, dedentedBlank
	if here > before {
		plain, withBlank = indented, indentedBlank
	} else if after > here {
		plain, withBlank = outdented, outdentedBlank
	}
	if blanks > 0 {
		plain = withBlank
	}
	c.penalty += plain
}

// look finds the indentation of the next line that is not blank, and how many
// blank ones it passed.
func look(s side, i, step int) (in, blanks int) {
	for ; i >= 0 && i < len(s.lines); i += step {
		if in = indent(s.lines[i]); in >= 0 {
			return in, blanks
		}
		if blanks++; blanks == maxBlank {
			return 0, blanks
		}
	}
	return -1, blanks
}

// indent is the column of the first character that is not white, -1 if blank.
func indent(line []byte) int {
	n := 0
	for _, c := range line {
		switch c {
		case ' ':
			n++
		case '\t':
			n += 8 - n%8
		case '\n', '\r', '\v', '\f':
		default:
			return n
		}
		if n >= maxIndent {
			return maxIndent
		}
	}
	return -1
}
