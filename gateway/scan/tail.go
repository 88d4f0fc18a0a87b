package scan

import "unicode/utf8"

// The value of a character of base64, and which alphabet alone has it.
const (
	sixBits = 1<<6 - 1
	plain64 = 1 << 6
	url64   = 1 << 7
)

var sixes = func() (of [256]byte) {
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") {
		of[c] = byte(i)
	}
	of['+'], of['/'], of['-'], of['_'] = 62|plain64, 63|plain64, 62|url64, 63|url64
	return of
}()

// inRune reports whether what a character of base64 begins cannot begin a text: a
// byte from within another character.
func inRune(c byte) bool { return sixes[c]&sixBits>>4 == 2 }

// tail decodes lines of base64 from their end, as far as that is text in UTF-8 and
// of one alphabet. It takes those characters of which rest are over when they are
// counted by four, and returns how many it looked at and how many are text.
//
// From the end, as what follows decides: the bytes before a text may be of anything
// else, and one pass tells of every line whether all from there on is text.
func tail(lines string, rest int) (looked, most int) {
	var back runes
	var bits uint32
	var seen byte
	at := (4 - rest) % 4 * 6 // in the bits of the next four
	for i := len(lines) - 1; i >= 0; i-- {
		if isEnd(lines[i]) {
			continue
		}
		c := sixes[lines[i]]
		if looked++; rest == 1 && looked == 1 {
			seen, at = c&url64, 0 // makes no byte, but says what alphabet it is
			continue
		}
		seen |= c & (plain64 | url64)
		if bits |= uint32(c&sixBits) << at; at < 18 {
			at += 6
			continue
		}
		size := 3
		if looked == rest {
			size = rest - 1
		}
		if seen == plain64|url64 || !back.take(bits, size) {
			break
		}
		if at, bits = 0, 0; back.n == 0 {
			most = looked
		}
	}
	return looked, most
}

// runes are bytes that come in from the last to the first.
type runes struct {
	part [utf8.UTFMax]byte // of a character, at its end
	n    int
}

// take adds the first size of three bytes in front; it reports whether all can be
// the end of a text.
func (r *runes) take(bits uint32, size int) bool {
	for i := size - 1; i >= 0; i-- {
		c := byte(bits >> (16 - 8*i))
		if r.n++; r.n > len(r.part) {
			return false
		}
		r.part[len(r.part)-r.n] = c
		if !utf8.RuneStart(c) {
			continue
		}
		char, n := utf8.DecodeRune(r.part[len(r.part)-r.n:])
		if n != r.n || !textual(char, n) {
			return false
		}
		r.n = 0
	}
	return true
}
