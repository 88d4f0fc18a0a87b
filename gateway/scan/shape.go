package scan

import (
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// unbounded is the length of what has no bound.
const unbounded = 1 << 20

// longest returns the most bytes that a match can have, at most unbounded.
func longest(re *syntax.Regexp) int {
	n := 0
	switch re.Op {
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			n += max(1, utf8.RuneLen(r))
			if re.Flags&syntax.FoldCase != 0 && (r|0x20 == 's' || r|0x20 == 'k') {
				n += 2 // ſ and the Kelvin sign fold to them
			}
		}
	case syntax.OpCharClass:
		if len(re.Rune) > 0 {
			n = max(3, utf8.RuneLen(re.Rune[len(re.Rune)-1]))
			if re.Rune[len(re.Rune)-1] < utf8.RuneSelf {
				n = 1
			}
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		n = utf8.UTFMax
	case syntax.OpStar, syntax.OpPlus:
		return unbounded
	case syntax.OpRepeat:
		if re.Max < 0 {
			return unbounded
		}
		n = re.Max * longest(re.Sub[0])
	case syntax.OpAlternate:
		for _, s := range re.Sub {
			n = max(n, longest(s))
		}
	case syntax.OpConcat, syntax.OpCapture, syntax.OpQuest:
		for _, s := range re.Sub {
			n += longest(s)
		}
	}
	return min(n, unbounded)
}

// maxBeginnings bounds the product of alternatives.
const maxBeginnings = 256

// beginnings returns, in lower case, texts one of which every match begins with;
// whole says that they are all of the match.
func beginnings(re *syntax.Regexp) (set []string, whole bool) {
	switch re.Op {
	case syntax.OpLiteral:
		return []string{strings.ToLower(string(re.Rune))}, true
	case syntax.OpCharClass:
		return classOf(re.Rune)
	case syntax.OpCapture:
		return beginnings(re.Sub[0])
	case syntax.OpQuest:
		set, whole = beginnings(re.Sub[0])
		return append([]string{""}, set...), whole
	case syntax.OpAlternate:
		whole = true
		for _, s := range re.Sub {
			some, all := beginnings(s)
			set, whole = append(set, some...), whole && all
		}
		return set, whole && len(set) <= maxBeginnings
	case syntax.OpConcat:
		return inRow(re.Sub)
	case syntax.OpPlus:
		set, _ = beginnings(re.Sub[0])
		return set, false
	case syntax.OpRepeat:
		if re.Min > 0 {
			set, _ = beginnings(re.Sub[0])
			return set, false
		}
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return []string{""}, true
	}
	return []string{""}, false
}

func inRow(subs []*syntax.Regexp) (set []string, whole bool) {
	set, whole = []string{""}, true
	for _, s := range subs {
		some, all := beginnings(s)
		if len(some)*len(set) > maxBeginnings {
			return set, false
		}
		var both []string
		for _, a := range set {
			for _, b := range some {
				both = append(both, a+b)
			}
		}
		if set = both; !all {
			return set, false
		}
	}
	return set, whole
}

// classOf spells a small class out.
func classOf(ranges []rune) (set []string, whole bool) {
	for i := 0; i < len(ranges); i += 2 {
		for r := ranges[i]; r <= ranges[i+1]; r++ {
			if r >= utf8.RuneSelf {
				break // folds of ASCII letters, which no keyword has
			}
			if len(set) >= 8 {
				return []string{""}, false
			}
			set = append(set, strings.ToLower(string(r)))
		}
	}
	if len(set) == 0 {
		return []string{""}, false
	}
	return set, true
}

// begins reports whether every match of re begins with one of the words.
func begins(re *syntax.Regexp, words []string) bool {
	set, _ := beginnings(re)
	for _, s := range set {
		ok := false
		for _, w := range words {
			ok = ok || strings.HasPrefix(s, w)
		}
		if !ok {
			return false
		}
	}
	return len(set) > 0
}
