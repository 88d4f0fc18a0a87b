package scan

import (
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// minHex is how many digits are looked at.
const minHex = 32

// Of what stands around an encoded text, so that its name is seen with it.
const leftOf, rightOf = 64, 8

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

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// eachEncoded calls found for each part of a text that is another text in
// base64, hex or URL encoding.
func eachEncoded(text string, b *Budget, found func(*segment) error) error {
	for at := 0; at < len(text); {
		p := percentAt(text, at)
		end := p // of what stands before the word of the percent sign
		for p < len(text) && end > at && isBase64(text[end-1]) {
			end--
		}
		next, err := eachCoded(text, at, end, b, found)
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

// printable reports whether bytes are text.
func printable(b []byte) bool {
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		if !textual(r, size) {
			return false
		}
		i += size
	}
	return len(b) > 0
}

// textual reports whether a character of so many bytes stands in texts.
func textual(r rune, size int) bool {
	return (r >= ' ' && r != 0x7f || r == '\t' || r == '\n' || r == '\r') && (r != utf8.RuneError || size > 1)
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
	if err != nil || !printable(out) {
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
