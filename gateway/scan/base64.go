package scan

import (
	"encoding/base64"
	"strings"
)

// A run of these is looked at: base64 of either alphabet, which hex is part of.
const (
	minBase64 = 16
	// wrapped is the shortest line that is taken to go on in the next.
	wrapped = 60
	// tailCost and joinCost are of a character, in nanoseconds.
	tailCost, joinCost = 5, 10
)

// alphabet has the bytes of base64, of either alphabet.
var alphabet = func() (in [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_") {
		in[c] = true
	}
	return in
}()

func isBase64(c byte) bool { return alphabet[c] }

// eachCoded calls found for the runs of text[from:to], and returns how far it has
// come: beyond to where lines go on. A run has minBase64 bytes: where the last of so
// many is none, all that could begin before it are passed over unseen.
func eachCoded(text string, from, to int, b *Budget, found func(*segment) error) (int, error) {
	c := chain{text: text}
	for run := from; run+minBase64 <= to; {
		last := run + minBase64 - 1
		for last >= run && isBase64(text[last]) {
			last--
		}
		if last >= run {
			run = last + 1
			continue
		}
		end := run + minBase64
		for end < to && isBase64(text[end]) {
			end++
		}
		s, next, err := c.line(run, end, b)
		if err == nil && s != nil {
			err = found(s)
		}
		if err != nil {
			return 0, err
		}
		if run = next; run > to {
			return run, nil
		}
	}
	return to, nil
}

// chain is a run and the lines that go on from it, as base64 is wrapped. What is
// known of its end holds for each line of it, so that a long one which is no text is
// not decoded again from every line on.
type chain struct {
	text string
	end  int    // of its last line
	left int    // characters of the lines that were not looked at
	most [4]int // characters at its end that are text, by the rest that four leave
}

// line decodes the run [from, to), and the lines that go on from it. It returns
// where the run ends.
func (c *chain) line(from, to int, b *Budget) (*segment, int, error) {
	if from >= c.end {
		if err := c.begin(from, to, b); err != nil {
			return nil, 0, err
		}
	}
	left := c.left
	c.left -= to - from
	if s := hexed(c.text, from, to); s != nil {
		return s, to, nil
	}
	for n := left; n > left-4 && n >= minBase64; n-- {
		if n > c.most[n%4] || inRune(c.text[from+left-n]) {
			continue
		}
		if err := b.spend(joinCost * n); err != nil {
			return nil, 0, err
		}
		s := c.decode(from+left-n, n)
		return s, s.to, nil
	}
	return nil, to, nil
}

// begin looks at a run and the lines that go on from it.
func (c *chain) begin(from, to int, b *Budget) error {
	first := from
	for c.left = to - from; to-from >= wrapped; c.left += to - from {
		next := to
		for next < len(c.text) && isEnd(c.text[next]) && next < to+2 {
			next++
		}
		stop := next
		for stop < len(c.text) && isBase64(c.text[stop]) {
			stop++
		}
		if next == to || stop == next {
			break
		}
		from, to = next, stop
	}
	c.end = to
	looked := 0
	for rest := range c.most {
		n, most := tail(c.text[first:to], rest)
		c.most[rest] = most
		looked += n
	}
	return b.spend(tailCost * looked)
}

func isEnd(c byte) bool { return c == '\n' || c == '\r' }

// decode makes a segment of the n characters from an offset to the chain's end.
func (c *chain) decode(from, n int) *segment {
	s := &segment{place: place{from, c.end}, via: "base64", in: 4, of: 3}
	chars := c.text[from:c.end]
	if len(chars) > n {
		chars, s.at = c.join(from, n)
	}
	enc := base64.RawStdEncoding
	if strings.ContainsAny(chars, "-_") {
		enc = base64.RawURLEncoding
	}
	if n%4 == 1 {
		chars = chars[:n-1]
	}
	out, _ := enc.DecodeString(chars) // tail has seen that it can
	s.decoded = string(out)
	for i := 0; i < 2 && s.to < len(c.text) && c.text[s.to] == '='; i++ {
		s.to++
	}
	return s
}

// join leaves the line ends out, and returns where each character stands.
func (c *chain) join(from, n int) (string, []int32) {
	chars, at := make([]byte, 0, n), make([]int32, 0, n+1)
	for i := from; i < c.end; i++ {
		if !isEnd(c.text[i]) {
			chars, at = append(chars, c.text[i]), append(at, int32(i))
		}
	}
	return string(chars), append(at, int32(c.end))
}
