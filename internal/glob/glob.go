// Package glob matches one path segment or one argument against a pattern. It
// is pure, allocates nothing while it matches, and takes time proportional to
// pattern times text at worst.
package glob

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/countersign/countersign/internal/fold"
)

// Glob is a compiled pattern for one path segment or one argument.
type Glob struct {
	Exact bool   // no wildcard
	Lit   string // exact: the text; else: the literal before the first wildcard
	Tail  string // the literal after the last wildcard
	toks  []tok
}

type tokKind uint8

const (
	tokLit  tokKind = iota
	tokStar         // any run of characters
	tokAny          // one character
	tokSet          // one character of a set
)

type tok struct {
	kind tokKind
	lit  string
	set  []span
	not  bool
}

type span struct{ lo, hi rune }

// Arg compiles an element of argv: "*" matches any run of bytes, "\"
// takes the next character as it is, nothing else is special.
func Arg(s string) (Glob, error) {
	return build(s, false, func(s string) string { return s })
}

// Segment compiles a path segment with the wildcards of gitignore: "*",
// "?", "[…]" and "\". Literals are folded as names are.
func Segment(s string) (Glob, error) { return build(s, true, fold.Text) }

// Written compiles a path segment whose literals stay what they are, case apart.
func Written(s string) (Glob, error) { return build(s, true, strings.ToLower) }

func build(s string, classes bool, folded func(string) string) (Glob, error) {
	var g Glob
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			g.toks = append(g.toks, tok{kind: tokLit, lit: folded(lit.String())})
			lit.Reset()
		}
	}
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '\\':
			if i+1 == len(s) {
				return g, errors.New(`a "\" at the end escapes nothing`)
			}
			_, n := utf8.DecodeRuneInString(s[i+1:])
			lit.WriteString(s[i+1 : i+1+n])
			i += 1 + n
			continue
		case c == '*':
			flush()
			if n := len(g.toks); n == 0 || g.toks[n-1].kind != tokStar {
				g.toks = append(g.toks, tok{kind: tokStar})
			}
		case classes && c == '?':
			flush()
			g.toks = append(g.toks, tok{kind: tokAny})
		case classes && c == '[':
			flush()
			t, n, err := compileSet(s[i:], folded)
			if err != nil {
				return g, err
			}
			g.toks = append(g.toks, t)
			i += n
			continue
		default:
			lit.WriteByte(c)
		}
		i++
	}
	flush()
	g.finish()
	return g, nil
}

func (g *Glob) finish() {
	switch n := len(g.toks); {
	case n == 0:
		g.Exact = true
	case n == 1 && g.toks[0].kind == tokLit:
		g.Exact, g.Lit = true, g.toks[0].lit
	default:
		if g.toks[0].kind == tokLit {
			g.Lit = g.toks[0].lit
		}
		if g.toks[n-1].kind == tokLit {
			g.Tail = g.toks[n-1].lit
		}
	}
}

// compileSet reads "[a-z]", "[!a-z]" or "[^a-z]" at the start of s; "]" first
// is literal, "\" escapes. It returns how many bytes it took.
func compileSet(s string, folded func(string) string) (tok, int, error) {
	t := tok{kind: tokSet}
	rs := []rune(s)
	i := 1
	if i < len(rs) && (rs[i] == '!' || rs[i] == '^') {
		t.not = true
		i++
	}
	one := func() (rune, bool) {
		if i < len(rs) && rs[i] == '\\' {
			i++
		}
		if i >= len(rs) {
			return 0, false
		}
		r := rs[i]
		i++
		if f := []rune(folded(string(r))); len(f) == 1 {
			r = f[0]
		}
		return r, true
	}
	for first := true; ; first = false {
		if i < len(rs) && rs[i] == ']' && !first {
			return t, len(string(rs[:i+1])), nil
		}
		lo, ok := one()
		if !ok {
			return t, 0, errors.New(`a "[" without its "]"`)
		}
		hi := lo
		if i+1 < len(rs) && rs[i] == '-' && rs[i+1] != ']' {
			i++
			if hi, ok = one(); !ok {
				return t, 0, errors.New(`a "[" without its "]"`)
			}
		}
		if hi < lo {
			return t, 0, errors.New("a range that runs backwards")
		}
		t.set = append(t.set, span{lo, hi})
	}
}

// Match reports whether the whole of s fits. It runs in time proportional to
// the pattern times s at worst and allocates nothing.
func (g *Glob) Match(s string) bool {
	if g.Exact {
		return s == g.Lit
	}
	if !strings.HasPrefix(s, g.Lit) || !strings.HasSuffix(s, g.Tail) {
		return false
	}
	ti, si, star, mark := 0, 0, -1, 0
	for {
		if ti == len(g.toks) {
			if si == len(s) {
				return true
			}
		} else if t := &g.toks[ti]; t.kind == tokStar {
			star, mark = ti, si
			ti++
			continue
		} else if n := t.step(s[si:]); n > 0 {
			ti, si = ti+1, si+n
			continue
		}
		// Only the last star need try again: what an earlier one could take
		// more, it can take too.
		if star < 0 || mark >= len(s) {
			return false
		}
		_, n := utf8.DecodeRuneInString(s[mark:])
		mark += n
		ti, si = star+1, mark
	}
}

// step returns how many bytes of s the token takes, 0 if it does not fit.
func (t *tok) step(s string) int {
	if t.kind == tokLit {
		if strings.HasPrefix(s, t.lit) {
			return len(t.lit)
		}
		return 0
	}
	if s == "" {
		return 0
	}
	r, n := utf8.DecodeRuneInString(s)
	if t.takes(r) {
		return n
	}
	return 0
}

// takes reports whether the token, no literal and no star, stands for r.
func (t *tok) takes(r rune) bool {
	in := t.kind == tokAny
	for _, sp := range t.set {
		in = in || sp.lo <= r && r <= sp.hi
	}
	return in != t.not
}

// Part is a piece of a pattern: a literal, or one character that Takes accepts, or
// else any run of characters.
type Part struct {
	Lit   string
	Takes func(r rune) bool
}

// Parts are the pieces of the pattern, in order.
func (g *Glob) Parts() []Part {
	if g.Exact {
		return []Part{{Lit: g.Lit}}
	}
	out := make([]Part, len(g.toks))
	for i := range g.toks {
		if out[i].Lit = g.toks[i].lit; g.toks[i].kind == tokAny || g.toks[i].kind == tokSet {
			out[i].Takes = g.toks[i].takes
		}
	}
	return out
}
