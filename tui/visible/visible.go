// Package visible makes hostile text readable without changing what it says.
//
// It promises that its output holds nothing that a terminal acts on or hides:
// no control character, no direction mark, no zero-width or unassigned
// character, no invalid UTF-8, no line break; that such a character shows as
// \u{HEX} and such a byte as \x{HEX}; and that two different inputs never give
// the same output. It is pure.
package visible

import (
	"fmt"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// String returns s with everything escaped that would be invisible, ambiguous
// or obeyed by a terminal, and whether anything was. A backslash is doubled
// only where it would read as one of our escapes; that alone flags nothing.
func String[T ~string | ~[]byte](in T) (out string, flagged bool) {
	s := string(in)
	var b strings.Builder
	marks, base, slash := 0, false, false
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		piece, mark := s[i:i+n], false
		switch {
		case r == utf8.RuneError && n == 1:
			piece, flagged = fmt.Sprintf(`\x{%02x}`, s[i]), true
		case plain(r):
		case unicode.Is(unicode.M, r) && base && marks < 2 && !ignorable(r):
			mark = true // a letter's own accents; more would draw over the neighbours
		default:
			piece, flagged = fmt.Sprintf(`\u{%x}`, r), true
		}
		if slash && strings.IndexByte(`ux\`, piece[0]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteString(piece)
		slash = r == '\\'
		if mark {
			marks++
		} else {
			base, marks = unicode.IsLetter(r) && piece == s[i:i+n], 0
		}
		i += n
	}
	return b.String(), flagged
}

// Text is String for a line of code: a tab, which is ordinary there, shows as an
// arrow and three blanks, and so an arrow of the text's own is escaped.
func Text[T ~string | ~[]byte](in T) (out string, flagged bool) {
	var b strings.Builder
	for i, field := range strings.Split(string(in), "\t") {
		if i > 0 {
			b.WriteString("→   ")
		}
		for j, part := range strings.Split(field, "→") {
			if j > 0 {
				b.WriteString(`\u{2192}`)
			}
			s, f := String(part)
			b.WriteString(s)
			flagged = flagged || f
		}
	}
	return b.String(), flagged
}

// plain reports whether a rune shows as itself, in a place of its own.
func plain(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= ' ' && r != 0x7f
	}
	return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) && !ignorable(r)
}

// ignorable is what fonts draw as nothing (Unicode's default ignorable code
// points, and blanks that are letters or symbols by category).
func ignorable(r rune) bool {
	switch r {
	case 0x2800, 0x1d159: // braille blank, musical null notehead
		return true
	}
	return unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// lookalikes are the scripts whose letters pass for one another.
var lookalikes = map[string]*unicode.RangeTable{
	"Latin": unicode.Latin, "Cyrillic": unicode.Cyrillic, "Greek": unicode.Greek,
	"Armenian": unicode.Armenian, "Cherokee": unicode.Cherokee, "Lisu": unicode.Lisu, "Coptic": unicode.Coptic,
}

// Scripts returns the names of the scripts, sorted, that are mixed within one
// word of s in a way that lets one letter pass for another; nil if none are.
// Letters that only imitate ASCII (full width, mathematical) count as mixed.
func Scripts(s string) []string {
	found := map[string]bool{}
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) }) {
		in := map[string]bool{}
		for _, r := range word {
			switch {
			case r >= 0xff21 && r <= 0xff5a, r >= 0x1d400 && r <= 0x1d7ff:
				in["ASCII look-alike"] = true
				in["Latin"] = true
			default:
				for name, table := range lookalikes {
					if unicode.Is(table, r) {
						in[name] = true
					}
				}
			}
		}
		if len(in) > 1 {
			for name := range in {
				found[name] = true
			}
		}
	}
	names := make([]string, 0, len(found))
	for n := range found {
		names = append(names, n)
	}
	if len(names) == 0 {
		return nil
	}
	sort.Strings(names)
	return names
}

// Fold breaks an escaped text into pieces of at most width columns. A character outside
// ASCII counts as two: terminals disagree, and a line must never be longer than
// the screen is wide.
func Fold(s string, width int) []string {
	width = max(width, 4)
	var out []string
	start, col := 0, 0
	for i, r := range s {
		w := 1
		if r >= 0x80 {
			w = 2
		}
		if col+w > width {
			out, start, col = append(out, s[start:i]), i, 0
		}
		col += w
	}
	return append(out, s[start:])
}
