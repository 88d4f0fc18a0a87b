package paths

import (
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/countersign/countersign/internal/fold"
	"github.com/countersign/countersign/internal/glob"
)

// Anchors are regular expressions for the directories that anchored patterns speak
// of, each from "^" to the directory's own name; an empty one is not known, and
// patterns of that place then give nothing.
type Anchors struct {
	Project string
	Home    string
}

func (a Anchors) of(p Place) (string, bool) {
	switch p {
	case InProject:
		return a.Project, a.Project != ""
	case InHome:
		return a.Home, a.Home != ""
	}
	return "", true
}

// Reach is which names of a path an expression is about.
type Reach uint8

const (
	AtOrBelow Reach = iota // what the pattern matches, and everything in it
	Itself                 // what the pattern matches
	Beneath                // everything in what the pattern matches
)

// The ends of expressions. They have no ".", which may not take a line break.
const (
	anyDirs   = "([^/]*/)*"
	atOrBelow = "(/[^/]*)*$"
	beneath   = "(/[^/]*)+$"
)

// Regexp is an extended regular expression for the absolute paths that the pattern
// matches, to be searched for in a path; package fold says what it is made of.
//
// Over names of ASCII it says what a match says. Beyond that a wide one matches at
// least all that the pattern does, as far as a file system could take it for the same
// name: letters that only look alike (NFKC) and invisible ones are other names on the
// disk. One that is not wide matches no more than the pattern does; of a name that
// ends in a dot or a space it takes these for what they are. ok is false where it
// would match nothing.
func (p *Pattern) Regexp(a Anchors, r Reach, wide bool) (re string, ok bool) {
	body, ok := p.body(a, p.segs, wide)
	if !ok {
		return "", false
	}
	switch {
	case r == Beneath || p.dirs && !wide:
		return body + beneath, true
	case r == Itself:
		return body + "$", true
	}
	return body + atOrBelow, true
}

// body is the pattern's first segments, from the root to the last of them.
func (p *Pattern) body(a Anchors, segs []segment, wide bool) (string, bool) {
	root, ok := a.of(p.Place)
	if !ok {
		return "", false
	}
	var b strings.Builder
	b.WriteString(root)
	b.WriteByte('/')
	for i := range segs {
		if segs[i].deep {
			b.WriteString(anyDirs)
			continue
		}
		name, ok := segs[i].regexp(wide)
		if !ok {
			return "", false
		}
		b.WriteString(name)
		if i < len(segs)-1 {
			b.WriteByte('/')
		}
	}
	return b.String(), true
}

// regexp is one name. Folding takes letters that only look alike for one, a file
// system does not: a wide one has those of the pattern besides.
func (s *segment) regexp(wide bool) (string, bool) {
	re, ok := name(&s.glob, wide)
	if as := norm.NFC.String(s.src); wide && norm.NFKC.String(as) != as {
		if g, err := glob.Written(as); err == nil {
			if written, has := name(&g, wide); has && ok {
				return "(" + re + "|" + written + ")", true
			} else if has {
				return written, true
			}
		}
	}
	return re, ok
}

// name is a name that fits g; folding drops dots and spaces at its end.
func name(g *glob.Glob, wide bool) (string, bool) {
	var b strings.Builder
	parts := g.Parts()
	for _, part := range parts {
		re, ok := "[^/]*", true
		switch {
		case part.Takes != nil:
			re, ok = class(part.Takes, wide)
		case part.Lit != "":
			re, ok = fold.Regexp(part.Lit, wide)
		}
		if !ok {
			return "", false
		}
		b.WriteString(re)
	}
	if last := parts[len(parts)-1]; wide && (last.Lit != "" || last.Takes != nil) {
		b.WriteString("[. ]*")
	}
	return b.String(), true
}

// class is one character: ranges of ASCII, what means something in brackets beside
// them, and, if wide, letters of other scripts, however many bytes these have.
func class(takes func(rune) bool, wide bool) (string, bool) {
	const special = `[]\^-`
	in := func(c rune) bool {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c >= ' ' && c < 0x7f && c != '/' && takes(c)
	}
	ranges, all := "", []string{}
	for c := ' '; c < 0x7f; c++ {
		switch {
		case !in(c):
		case strings.ContainsRune(special, c):
			all = append(all, fold.Quote(c))
		default:
			from := c
			for in(c+1) && !strings.ContainsRune(special, c+1) {
				c++
			}
			if ranges += string(from); c > from {
				ranges += "-" + string(c)
			}
		}
	}
	if ranges != "" {
		all = append(all, "["+ranges+"]")
	}
	if wide {
		all = append(all, "[ -.0-~]?[^ -~]+") // composed, or a letter and its marks
	}
	switch len(all) {
	case 0:
		return "", false
	case 1:
		return all[0], true
	}
	return "(" + strings.Join(all, "|") + ")", true
}

// In are the patterns that say of what lies in dir, relative and with slashes, what p
// says of it from the root that dir lies below; files says that p is about files only.
func (p *Pattern) In(dir string, files bool) []Pattern {
	if p.Place == InHome || dir == "" {
		return []Pattern{*p}
	}
	var out []Pattern
	whole, segs := -1, p.segs
	if p.Place == Anywhere { // it may begin above dir and end in it
		out, whole = append(out, *p), len(p.segs)+1
		segs = append([]segment{{deep: true}}, p.segs...)
	}
	for _, rest := range left(segs, Roots{}.Cut(dir, nil).Names) {
		q := Pattern{Place: InProject, dirs: p.dirs, segs: rest}
		switch {
		case len(rest) == whole: // the pattern as it was
			continue
		case len(rest) == 0 && files: // a directory, so no match
			continue
		case len(rest) == 0: // dir is matched, or lies below what is
			all, _ := glob.Segment("*")
			q.segs, q.dirs = []segment{{glob: all}}, false
		}
		out = append(out, q)
	}
	return out
}

// left are the segments that remain when the first took dirs, or some of them.
func left(segs []segment, dirs []string) [][]segment {
	switch {
	case len(segs) == 0 || len(dirs) == 0:
		return [][]segment{segs}
	case segs[0].deep:
		return append(left(segs[1:], dirs), left(segs, dirs[1:])...)
	case segs[0].glob.Match(dirs[0]):
		return left(segs[1:], dirs[1:])
	}
	return nil
}
