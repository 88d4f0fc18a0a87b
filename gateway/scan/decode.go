package scan

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// A run of these is looked at: base64 of either alphabet, which hex is part of.
const (
	minBase64 = 16
	minHex    = 32
	// wrapped is the shortest line that is taken to go on in the next.
	wrapped = 60
	// Of what stands around an encoded text, so that its name is seen with it.
	leftOf, rightOf = 64, 8
)

// segment is a part of a text that means another text.
type segment struct {
	place
	via     string
	decoded string
	// in units of the text are of bytes decoded; at is where each unit stands, and
	// where the last one ends, nil where they are bytes in one piece.
	in, of int
	at     []int32
}

// back returns the place of decoded bytes.
func (s *segment) back(a, b int) place {
	first, last := a/s.of*s.in, (b+s.of-1)/s.of*s.in
	if s.at != nil {
		return place{int(s.at[first]), int(s.at[min(last, len(s.at)-1)])}
	}
	return place{s.from + first, min(s.to, s.from+last)}
}

// alphabet has the bytes of base64, of either alphabet.
var alphabet = func() (in [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_") {
		in[c] = true
	}
	return in
}()

func isBase64(c byte) bool { return alphabet[c] }

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// eachEncoded calls found for each part of a text that is another text in
// base64, hex or URL encoding.
func eachEncoded(text string, found func(*segment) error) error {
	for at := 0; at < len(text); {
		p := percentAt(text, at)
		end := p // of what stands before the word of the percent sign
		for p < len(text) && end > at && isBase64(text[end-1]) {
			end--
		}
		next, err := eachCoded(text, at, end, found)
		switch {
		case err != nil:
			return err
		case next > end: // lines that go on
			at = next
			continue
		case p == len(text):
			return nil
		}
		s, to := percent(text, end, p)
		if s != nil {
			if err := found(s); err != nil {
				return err
			}
		}
		at = max(to, p+1)
	}
	return nil
}

// percentAt is where the next byte in URL encoding begins, the text's end if there
// is none.
func percentAt(text string, from int) int {
	for {
		n := strings.IndexByte(text[from:], '%')
		if n < 0 {
			return len(text)
		}
		from += n
		if from+2 < len(text) && isHex(text[from+1]) && isHex(text[from+2]) {
			return from
		}
		from++
	}
}

// eachCoded calls found for the runs of text[from:to], and returns how far it has
// come: beyond to where lines go on. A run has minBase64 bytes: where the last of so
// many is none, all that could begin before it are passed over unseen.
func eachCoded(text string, from, to int, found func(*segment) error) (int, error) {
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
		s, next := coded(text, run, end)
		if s != nil {
			if err := found(s); err != nil {
				return 0, err
			}
		}
		if run = next; run > to {
			return run, nil
		}
	}
	return to, nil
}

// coded decodes the run [from, to), and the lines that go on from it. It returns
// where the run ends.
func coded(text string, from, to int) (*segment, int) {
	if s := hexed(text, from, to); s != nil {
		return s, to
	}
	chars, at, end := lines(text, from, to)
	for shift := 0; shift < 4 && len(chars)-shift >= minBase64; shift++ {
		decoded, ok := unbase64(chars[shift:])
		if !ok {
			continue
		}
		for n := 0; n < 2 && end < len(text) && text[end] == '='; n++ {
			end++
		}
		s := &segment{place: place{from + shift, end}, via: "base64", decoded: decoded, in: 4, of: 3}
		if at != nil {
			s.at = at[shift:]
		}
		return s, end
	}
	return nil, to
}

// lines joins a run with those of the next lines, as base64 is wrapped; at is nil
// for a single line.
func lines(text string, from, to int) (chars string, at []int32, end int) {
	if to-from < wrapped || to == len(text) || text[to] != '\n' && text[to] != '\r' {
		return text[from:to], nil, to
	}
	var b strings.Builder
	for {
		for i := from; i < to; i++ {
			at = append(at, int32(i))
		}
		b.WriteString(text[from:to])
		end = to
		next := to
		for next < len(text) && (text[next] == '\r' || text[next] == '\n') && next < to+2 {
			next++
		}
		stop := next
		for stop < len(text) && isBase64(text[stop]) {
			stop++
		}
		if to-from < wrapped || stop == next || next == to {
			return b.String(), append(at, int32(end)), end
		}
		from, to = next, stop
	}
}

// unbase64 decodes as much as makes whole bytes, if that is text.
func unbase64(s string) (string, bool) {
	enc := base64.RawStdEncoding
	if strings.ContainsAny(s, "-_") {
		enc = base64.RawURLEncoding
	}
	if len(s)%4 == 1 {
		s = s[:len(s)-1]
	}
	var head [12]byte
	n, err := enc.Decode(head[:], []byte(s[:min(len(s)/4*4, 16)]))
	if err != nil || !printable(head[:n], true) {
		return "", false
	}
	out, err := enc.DecodeString(s)
	if err != nil || !printable(out, false) {
		return "", false
	}
	return string(out), true
}

// printable reports whether bytes are text; part says that the last character
// may be cut off.
func printable(b []byte, part bool) bool {
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size <= 1 && !(part && i > len(b)-utf8.UTFMax) || r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f {
			return false
		}
		i += size
	}
	return len(b) > 0
}

// hexed decodes a run of hex digits, behind "0x" or alone.
func hexed(text string, from, to int) *segment {
	if to-from > 2 && text[from] == '0' && text[from+1]|0x20 == 'x' {
		from += 2
	}
	if to-from < minHex || (to-from)%2 != 0 {
		return nil
	}
	for i := from; i < to; i++ {
		if !isHex(text[i]) {
			return nil
		}
	}
	out, err := hex.DecodeString(text[from:to])
	if err != nil || !printable(out, false) {
		return nil
	}
	return &segment{place: place{from, to}, via: "hex", decoded: string(out), in: 2, of: 1}
}

// percent decodes the word around the percent sign at i, where from is the
// beginning of the run before it; it returns where the word ends, or i if nothing
// is encoded.
func percent(text string, from, i int) (*segment, int) {
	var b strings.Builder
	var at []int32
	to, coded := from, false
	for to < len(text) && (isBase64(text[to]) || strings.IndexByte("%.~*!$'();:@,=&?", text[to]) >= 0) {
		at = append(at, int32(to))
		if text[to] == '%' && to+2 < len(text) && isHex(text[to+1]) && isHex(text[to+2]) {
			c, _ := hex.DecodeString(text[to+1 : to+3])
			b.Write(c)
			to, coded = to+3, true
			continue
		}
		b.WriteByte(text[to])
		to++
	}
	if !coded {
		return nil, i
	}
	decoded := b.String()
	if !strings.Contains(text[from:to], "%20") {
		decoded = strings.ReplaceAll(decoded, "+", " ") // as forms write blanks
	}
	return &segment{place: place{from, to}, via: "url", decoded: decoded, in: 1, of: 1, at: append(at, int32(to))}, to
}

// unescaped takes a text that is JSON itself, as the arguments of a tool are, for
// the text that it means; nil where it is none.
func unescaped(text string) *segment {
	t := strings.TrimLeft(text, " \t\r\n")
	if t == "" || t[0] != '{' && t[0] != '[' || strings.IndexByte(t, '\\') < 0 {
		return nil
	}
	out, at := make([]byte, 0, len(text)), make([]int32, 0, len(text)+1)
	for i := 0; i < len(text); i++ {
		at = append(at, int32(i))
		c := text[i]
		if c == '\\' && i+1 < len(text) {
			i++
			switch c = text[i]; c {
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 't':
				c = '\t'
			case 'u':
				if b, err := hex.DecodeString(text[i+1 : min(len(text), i+5)]); err == nil && len(b) == 2 && b[0] == 0 && b[1] < utf8.RuneSelf {
					c, i = b[1], i+4
				}
			}
		}
		out = append(out, c)
	}
	return &segment{place: place{0, len(text)}, via: "json", decoded: string(out), in: 1, of: 1, at: append(at, int32(len(text)))}
}
