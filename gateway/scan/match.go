package scan

import "strings"

// place is a part of a text: its bytes [from, to).
type place struct{ from, to int }

// view is a text, or a part of one: first and last say whether it begins and
// ends with the text.
type view struct {
	text        string
	first, last bool
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}

// folded is the first byte of letters that fold to ASCII ones, and of all others
// outside of ASCII.
const folded = 0x80

// quick says no to most keywords at p in ordinary text, cheaply. It never says
// no where at would find something.
func (r *rule) quick(text string, p, size int) bool {
	if r.edge && p > 0 && isWord(text[p-1]) && isWord(text[p]) && !escaped(text, p) {
		return false
	}
	if !r.assigns {
		return true
	}
	// Names and blanks, 20 and 3 of them and the rest of the keyword's word, then
	// an operator, then a value.
	i, end := p+size, min(len(text), p+size+40)
	for i < end && (isWord(text[i]) || text[i] >= folded || strings.IndexByte(" \t\r\n\f.-'\"", text[i]) >= 0) {
		i++
	}
	if i >= end || strings.IndexByte("=>:|?,", text[i]) < 0 {
		return false
	}
	for end = min(len(text), i+10); i < end && strings.IndexByte("=>:|?,`'\" \t\r\n\f", text[i]) >= 0; i++ {
	}
	from, more := i, text[i-1] == '=' // which may be the value's
	for end = min(len(text), i+160); i < end; i++ {
		switch c := text[i]; {
		case c >= '0' && c <= '9' || c >= folded || strings.IndexByte("=+/~", c) >= 0:
			more = true
		case !isWord(c) && c != '.' && c != '-':
			return i-from >= 5 && (more || !r.digit)
		}
	}
	return i-from >= 5
}

// behind is how much of the text behind a keyword decides what is found there.
func (r *rule) behind() int {
	for i := range r.allow {
		if r.allow[i].target == "line" {
			return r.after + lineAway
		}
	}
	return r.after
}

// escaped reports whether a line end or a tab of JSON or of a program's string
// stands before p: its letter is no part of the word at p.
func escaped(text string, p int) bool {
	return p >= 2 && text[p-2] == '\\' && (text[p-1] == 'n' || text[p-1] == 't' || text[p-1] == 'r')
}

// What a byte costs in a pattern, in nanoseconds, as measured with patterns and
// texts that are worst for each.
const (
	quickCost  = 50  // a keyword that quick turns away
	askCost    = 300 // any question
	plainCost  = 20  // a byte where the keyword is somewhere in it
	nestedCost = 100 // a byte where the pattern begins with it
)

// at looks for the rule around a keyword at p and calls found with each secret.
// What it finds depends on the bytes from p-before to p+after alone. It returns
// what that costs, in nanoseconds.
func (r *rule) at(v view, p int, found func(place)) int {
	lo, hi := max(0, p-r.before-1), min(len(v.text), p+r.after)
	cut := hi < len(v.text) || !v.last
	for _, need := range r.Needs {
		if !containsFold(v.text[lo:hi], need) {
			return askCost + hi - lo
		}
	}
	if !r.anchored {
		r.all(v, lo, hi, cut, found)
		return askCost + plainCost*(hi-lo)
	}
	re := r.first()
	lo = p
	if p > 0 && !escaped(v.text, p) {
		re, lo = r.later(), p-1
	}
	near := hi
	if r.Soon > 0 {
		near = min(hi, p+r.Soon)
	}
	m := re.FindStringSubmatchIndex(v.text[lo:near])
	if m != nil && near < hi && m[1] == near-lo {
		near = hi
		m = re.FindStringSubmatchIndex(v.text[lo:near])
	}
	if m != nil && (!cut || r.Cut || m[1] < near-lo) {
		r.check(v.text, lo, p, m, found)
	}
	switch {
	case m != nil:
		return askCost + nestedCost*m[1]
	case r.Reach > 0:
		return askCost + nestedCost*(near-lo)
	}
	// Only few patterns go on over blanks.
	n := strings.IndexAny(v.text[p:near], " \t\r\n")
	if n < 0 {
		n = near - p
	}
	return askCost + nestedCost*n
}

// all finds every match between lo and hi.
func (r *rule) all(v view, lo, hi int, cut bool, found func(place)) {
	for _, m := range r.first().FindAllStringSubmatchIndex(v.text[lo:hi], -1) {
		if m[0] == 0 && (lo > 0 || !v.first) || cut && m[1] == hi-lo {
			continue
		}
		r.check(v.text, lo, lo+m[0], m, found)
	}
}

// check applies entropy and allowances to a match m of text[lo:] that begins at
// p.
func (r *rule) check(text string, lo, p int, m []int, found func(place)) {
	match := place{p, lo + m[1]}
	secret := match
	for g := 1; g < len(m)/2; g++ {
		if m[2*g] < m[2*g+1] && (r.Group == 0 || r.Group == g) {
			secret = place{lo + m[2*g], lo + m[2*g+1]}
			break
		}
	}
	said := text[secret.from:secret.to]
	if r.Entropy > 0 && entropy(said) <= r.Entropy || r.Run > 0 && longestRun(text[p:lo+m[1]]) < r.Run {
		return
	}
	if r.lead {
		for n := 0; n < leadBytes && match.from > 0 && (isWord(text[match.from-1]) || text[match.from-1] == '.' || text[match.from-1] == '-'); n++ {
			match.from--
		}
	}
	line := lineOf(text, match)
	for i := range r.allow {
		if r.allow[i].holds(said, text[match.from:match.to], line) {
			return
		}
	}
	if r.Whole {
		secret = place{p, lo + m[1]}
	}
	found(secret)
}

// longestRun returns the most characters of base64 that stand together.
func longestRun(text string) (most int) {
	n := 0
	for i := range len(text) {
		if n++; !isBase64(text[i]) || text[i] == '-' || text[i] == '_' {
			n = 0
		}
		most = max(most, n)
	}
	return most
}

// lineOf returns the line that a match stands on, as far as lineAway.
func lineOf(text string, m place) string {
	before, after := text[max(0, m.from-lineAway):m.from], text[m.to:min(len(text), m.to+lineAway)]
	before = before[strings.LastIndexByte(before, '\n')+1:]
	if n := strings.IndexByte(after, '\n'); n >= 0 {
		after = after[:n]
	}
	return before + text[m.from:m.to] + after
}

// containsFold reports whether a word in lower case stands in text, in any case.
func containsFold(text, word string) bool {
	for i := 0; i+len(word) <= len(text); i++ {
		j := 0
		for j < len(word) && lower(text[i+j]) == word[j] {
			j++
		}
		if j == len(word) {
			return true
		}
	}
	return false
}
