package countersign

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// canonical encodes v as RFC 8785 JSON. It takes only what digests need: maps
// with string keys, slices, strings, booleans, int64 and uint64 (as strings of
// digits above 2^53, since RFC 8785 numbers are IEEE doubles). A string that is
// not valid UTF-8 becomes {"hex":"…"}, so that two different byte strings never
// share an encoding.
func canonical(v any) []byte { return appendCanonical(nil, v) }

func appendCanonical(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case string:
		if !utf8.ValidString(v) {
			return append(append(append(b, `{"hex":"`...), hex.EncodeToString([]byte(v))...), `"}`...)
		}
		return appendString(b, v)
	case bool:
		return strconv.AppendBool(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case uint64:
		if v > 1<<53 {
			return append(strconv.AppendUint(append(b, '"'), v, 10), '"')
		}
		return strconv.AppendUint(b, v, 10)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendCanonical(b, e)
		}
		return append(b, ']')
	case map[string]any:
		return appendMap(b, v)
	}
	panic("countersign: canonical: unsupported type") // a programming error of this package
}

func appendMap(b []byte, m map[string]any) []byte {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compareUTF16)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, k), ':')
		b = appendCanonical(b, m[k])
	}
	return append(b, '}')
}

// compareUTF16 orders keys by UTF-16 code units (RFC 8785, section 3.2.3): as the
// bytes are, but that what takes two units comes before the last of those that take
// one.
func compareUTF16(a, b string) int {
	for a != "" && b != "" {
		x, n := utf8.DecodeRuneInString(a)
		y, m := utf8.DecodeRuneInString(b)
		switch {
		case x == y:
		case utf16.RuneLen(x) == utf16.RuneLen(y):
			return cmp.Compare(x, y)
		default:
			return cmp.Compare(unit(x), unit(y))
		}
		a, b = a[n:], b[m:]
	}
	return len(a) - len(b)
}

// unit is the first code unit of a character.
func unit(r rune) rune {
	if high, _ := utf16.EncodeRune(r); high != utf8.RuneError {
		return high
	}
	return r
}

// appendString escapes as RFC 8785, section 3.2.2.2 says: the short forms, then
// \u00xx in lower case, and nothing else.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, '\\', 'b')
		case '\f':
			b = append(b, '\\', 'f')
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			if c < 0x20 {
				const digits = "0123456789abcdef"
				b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
			} else {
				b = append(b, c)
			}
		}
	}
	return append(b, '"')
}
