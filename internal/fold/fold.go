// Package fold brings names into the form under which they are compared: what
// a file system that ignores case, composes or drops characters could take for
// the same name gives the same result. It is pure.
package fold

import (
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Name gives the form under which names are compared: what a file system
// that ignores case, composes or drops characters could take for the same
// name. It is NFKC and case folding without ignorable characters (Unicode
// 3.13, toNFKC_Casefold), without the trailing dots and spaces that Windows
// drops. A plain lower-case ASCII name comes back as it is, without a copy.
func Name(s string) string {
	plain := true
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= 0x80 || 'A' <= c && c <= 'Z' || c == ' ' || c < 0x20 || c == 0x7f {
			plain = false
			break
		}
	}
	if !plain {
		s = Text(s)
	}
	if t := strings.TrimRight(s, ". "); t != "" {
		return t
	}
	return s
}

// Text folds without dropping anything at the end.
func Text(s string) string {
	if ASCII(s) {
		return strings.ToLower(s)
	}
	// Folding can make new things to compose, and composing new things to
	// fold; it settles after two rounds, the bound is for invalid UTF-8.
	for range 4 {
		t := norm.NFKC.String(cases.Fold().String(norm.NFKC.String(dropIgnorable(s))))
		if t == s {
			break
		}
		s = t
	}
	return s
}

// ASCII reports whether s is plain ASCII.
func ASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func dropIgnorable(s string) string {
	return strings.Map(func(r rune) rune {
		if ignorable(r) {
			return -1
		}
		return r
	}, s)
}

// ignorable reports the characters that have no form of their own: format
// characters, variation selectors and the rest of Default_Ignorable_Code_Point.
func ignorable(r rune) bool {
	return unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Variation_Selector, r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}

// Hidden reports characters that a reason must not hold, since it is shown on
// cards: controls, separators of lines, format characters, unassigned ones.
func Hidden(r rune) bool {
	return r == unicode.ReplacementChar || ignorable(r) || !unicode.IsPrint(r)
}
