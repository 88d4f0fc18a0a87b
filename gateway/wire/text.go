package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Decode returns what the bytes between a JSON string's quotes mean, as
// encoding/json does: half a surrogate pair and bytes that are no UTF-8 become
// U+FFFD.
func Decode(raw []byte) string {
	out := make([]byte, 0, len(raw))
	for len(raw) > 0 {
		n := bytes.IndexByte(raw, '\\')
		if n < 0 {
			n = len(raw)
		}
		if utf8.Valid(raw[:n]) {
			out = append(out, raw[:n]...)
		} else {
			out = append(out, strings.Map(func(r rune) rune { return r }, string(raw[:n]))...)
		}
		if raw = raw[n:]; len(raw) > 0 {
			var size int
			out, size = unit(out, raw)
			raw = raw[size:]
		}
	}
	return string(out)
}

// unit decodes the first character of raw, appends it to dst and returns how
// many bytes it takes in raw.
func unit(dst, raw []byte) ([]byte, int) {
	if raw[0] != '\\' {
		r, size := utf8.DecodeRune(raw)
		return utf8.AppendRune(dst, r), size
	}
	if len(raw) < 2 {
		return append(dst, raw[0]), 1
	}
	switch raw[1] {
	case 'b':
		return append(dst, '\b'), 2
	case 'f':
		return append(dst, '\f'), 2
	case 'n':
		return append(dst, '\n'), 2
	case 'r':
		return append(dst, '\r'), 2
	case 't':
		return append(dst, '\t'), 2
	case 'u':
		r, ok := hex4(raw)
		if !ok {
			return utf8.AppendRune(dst, utf8.RuneError), len(raw)
		}
		if !utf16.IsSurrogate(r) {
			return utf8.AppendRune(dst, r), 6
		}
		if low, ok := hex4(raw[6:]); ok {
			if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
				return utf8.AppendRune(dst, both), 12
			}
		}
		return utf8.AppendRune(dst, utf8.RuneError), 6
	}
	return append(dst, raw[1]), 2 // quote, backslash, slash
}

// hex4 reads \uXXXX.
func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// Quote returns text as it stands between a JSON string's quotes.
func Quote(text string) []byte {
	b, err := json.Marshal(text)
	if err != nil {
		return nil // a string always marshals
	}
	return b[1 : len(b)-1]
}

// Edit replaces the bytes [From, To) of a text.
type Edit struct {
	From, To int
	With     []byte
}

// Apply returns src with the edits made; without any, src itself. Edits that
// overlap or lie outside are an error, and nothing is made of them.
func Apply(src []byte, edits ...Edit) ([]byte, error) {
	if len(edits) == 0 {
		return src, nil
	}
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b Edit) int { return a.From - b.From })
	size, last := len(src), 0
	for _, e := range edits {
		if e.From < last || e.To < e.From || e.To > len(src) {
			return nil, fmt.Errorf("edit of bytes %d to %d overlaps another or lies outside", e.From, e.To)
		}
		last = e.To
		size += len(e.With) - (e.To - e.From)
	}
	out, last := make([]byte, 0, size), 0
	for _, e := range edits {
		out = append(append(out, src[last:e.From]...), e.With...)
		last = e.To
	}
	return append(out, src[last:]...), nil
}
