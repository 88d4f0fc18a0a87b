package fold

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Regexp is an extended regular expression for the names that a file system which
// ignores case and composition takes for s, which is folded: each letter in all its
// cases, composed and decomposed, and the one letter that stands for two ("ß" for
// "ss"). It has no newline, no control character, no group but "(…)", no class with
// anything but letters, so that POSIX and Go read it alike.
//
// Where that cannot be said exactly, wide says more than s, and ok is false without it.
func Regexp(s string, wide bool) (re string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); {
		if end := joined(s, i); end > i {
			switch {
			case end-i <= longestJoined:
				b.WriteString(spellings(s[i:end]))
			case wide:
				b.WriteString("[^/]+")
			default:
				return "", false
			}
			i = end
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		switch {
		case r >= ' ' && r != 0x7f && r != utf8.RuneError:
			b.WriteString(oneOf(r))
		case wide:
			b.WriteString("[^/]")
		default:
			return "", false
		}
	}
	return b.String(), true
}

// Quote is a character that stands for itself in an expression.
func Quote(r rune) string {
	if strings.ContainsRune(`^.[$()|*+?{\`, r) {
		return `\` + string(r)
	}
	return string(r)
}

// longestJoined bounds how many letters are written in every spelling at once.
const longestJoined = 8

// ligatures are the letters that fold to several plain ones (CaseFolding.txt, status F).
var ligatures = []struct {
	plain   string
	letters []string
}{
	{"ffi", []string{"ﬃ"}},
	{"ffl", []string{"ﬄ"}},
	{"ff", []string{"ﬀ"}},
	{"fi", []string{"ﬁ"}},
	{"fl", []string{"ﬂ"}},
	{"ss", []string{"ß", "ẞ"}},
	{"st", []string{"ﬅ", "ﬆ"}},
}

// joined is the end of the letters from i on that ligatures could stand for.
func joined(s string, i int) int {
	end := i
	for p := i; p == i || p < end; p++ {
		for _, l := range ligatures {
			if strings.HasPrefix(s[p:], l.plain) {
				end = max(end, p+len(l.plain))
			}
		}
	}
	return end
}

// spellings are those of a few plain letters.
func spellings(s string) string {
	if s == "" {
		return ""
	}
	all := []string{oneOf(rune(s[0])) + spellings(s[1:])}
	for _, l := range ligatures {
		if rest, is := strings.CutPrefix(s, l.plain); is {
			for _, letter := range l.letters {
				all = append(all, letter+spellings(rest))
			}
		}
	}
	return group(all)
}

// oneOf is every form of one folded character.
func oneOf(r rune) string {
	forms := []string{}
	add := func(r rune) {
		for _, s := range []string{string(r), norm.NFC.String(string(r)), norm.NFD.String(string(r))} {
			if !slices.Contains(forms, s) {
				forms = append(forms, s)
			}
		}
	}
	add(r)
	for q := unicode.SimpleFold(r); q != r; q = unicode.SimpleFold(q) {
		add(q)
	}
	slices.Sort(forms)
	if r >= 0x80 || !unicode.IsLetter(r) {
		if len(forms) == 1 {
			return Quote(r)
		}
		return group(forms)
	}
	class := "[" + string(unicode.ToLower(r)) + string(unicode.ToUpper(r)) + "]"
	rest := slices.DeleteFunc(forms, ASCII)
	return group(append([]string{class}, rest...))
}

func group(all []string) string {
	if len(all) == 1 {
		return all[0]
	}
	return "(" + strings.Join(all, "|") + ")"
}
