// Package paths is the gitignore patterns of a policy, and the paths they are
// held against.
//
// It promises that names are compared folded (case and Unicode forms are one
// name), that what lies below a match matches, and that the time of one match
// is bounded. Where a kernel takes regular expressions and nothing else, it says the
// same as those (Regexp, Denial).
//
// It is pure, as package policy is.
package paths

import (
	"errors"
	"strings"

	"github.com/countersign/countersign/internal/fold"
	"github.com/countersign/countersign/internal/glob"
)

// Place is where a path, or what an anchored pattern speaks of, lies.
type Place uint8

const (
	Anywhere  Place = iota // patterns only
	InProject              // relative to the project's root
	InHome                 // below the person's home directory
	Elsewhere              // paths only: absolute and in neither
)

// Pattern is a compiled gitignore pattern. Below what it matches everything
// is matched, so a trailing "/**" says no more than "/*".
type Pattern struct {
	Place Place
	dirs  bool // it ended in a slash after a wildcard; counts in exceptions only
	segs  []segment
}

type segment struct {
	deep bool // "**": any number of directories, none included
	glob glob.Glob
	src  string // as it is written
}

// maxDeep bounds "**" in one pattern, and with it the time of a match.
const maxDeep = 3

// Compile compiles a gitignore pattern. Against gitignore: no "!"; "~/"
// anchors at the home directory; a trailing slash changes nothing in a deny,
// since what a name denies is denied as a file too; in an exception with
// wildcards ("vendor/*.*/") it means a directory.
func Compile(s string) (Pattern, error) {
	body := strings.TrimSuffix(s, "/")
	p := Pattern{}
	switch {
	case body == "" || body == "~":
		return p, errors.New("an empty pattern")
	case strings.HasPrefix(s, "!"):
		return p, errors.New(`"!" is not for policies: what a rule hits by mistake goes to files.except`)
	case strings.HasPrefix(s, "#"):
		return p, errors.New(`write "\#" for a name that begins with it`)
	case strings.HasPrefix(body, "~/"):
		p.Place, body = InHome, body[2:]
	case strings.HasPrefix(body, "**/"):
		body = body[3:]
	case strings.Contains(body, "/"):
		p.Place, body = InProject, strings.TrimPrefix(body, "/")
	}
	deep := 0
	parts := strings.Split(body, "/")
	for i, part := range parts {
		switch part {
		case "", ".", "..":
			return p, errors.New("a segment that names nothing (empty, . or ..)")
		case "**":
			if i == len(parts)-1 {
				part = "*" // the last: everything inside
				break
			}
			if deep++; deep > maxDeep {
				return p, errors.New(`too many "**"`)
			}
			p.segs = append(p.segs, segment{deep: true})
			continue
		}
		g, err := glob.Segment(part)
		if err != nil {
			return p, err
		}
		if g.Exact {
			g.Lit = fold.Name(g.Lit)
		}
		p.segs = append(p.segs, segment{glob: g, src: part})
		p.dirs = strings.HasSuffix(s, "/") && !g.Exact
	}
	return p, nil
}

// Last is the segment that a matched name itself must fit.
func (p *Pattern) Last() *glob.Glob { return &p.segs[len(p.segs)-1].glob }

// Before reports whether the segments before the last fit the directories of
// the matched name, which lie in at.
func (p *Pattern) Before(at Place, dirs []string) bool {
	if p.Place != Anywhere && p.Place != at {
		return false
	}
	return fits(p.segs[:len(p.segs)-1], dirs, p.Place != Anywhere)
}

func fits(segs []segment, dirs []string, anchored bool) bool {
	for len(segs) > 0 {
		s := &segs[len(segs)-1]
		segs = segs[:len(segs)-1]
		if s.deep {
			for k := len(dirs); k >= 0; k-- {
				if fits(segs, dirs[:k], anchored) {
					return true
				}
			}
			return false
		}
		if len(dirs) == 0 || !s.glob.Match(dirs[len(dirs)-1]) {
			return false
		}
		dirs = dirs[:len(dirs)-1]
	}
	return !anchored || len(dirs) == 0
}

// Covers reports whether the pattern matches any of the first n names of t.
func (p *Pattern) Covers(t Target, n int) bool {
	for i, name := range t.Names[:n] {
		if p.dirs && i == len(t.Names)-1 && !t.Dir {
			return false
		}
		if p.Last().Match(name) && p.Before(t.At, t.Names[:i]) {
			return true
		}
	}
	return false
}

// Target is a path cut into folded names.
type Target struct {
	At    Place
	Names []string
	Dir   bool // it is known to be a directory
}

// Roots are the directories that anchored patterns speak of, absolute and clean;
// empty where they are not known.
type Roots struct {
	Project string
	Home    string
}

// Cut cuts a path: relative to the project, below "~/", or absolute. buf saves an allocation for paths of ordinary depth.
func (r Roots) Cut(path string, buf []string) Target {
	t := Target{At: InProject, Names: buf[:0]}
	path = r.locate(path)
	switch {
	case path == "~" || strings.HasPrefix(path, "~/"):
		t.At, path = InHome, path[1:]
	case strings.HasPrefix(path, "/"):
		t.At = Elsewhere
	}
	t.Dir = strings.HasSuffix(path, "/")
	for path != "" {
		part, rest, _ := strings.Cut(path, "/")
		path = rest
		switch part {
		case "", ".":
		case "..":
			if n := len(t.Names); n > 0 {
				t.Names = t.Names[:n-1]
			} else if t.At == InProject {
				t.At = Elsewhere
			}
		default:
			t.Names = append(t.Names, fold.Name(part))
		}
	}
	return t
}

// locate turns an absolute path below a root into the form that patterns speak of, if At has told where these are.
func (r Roots) locate(path string) string {
	if !strings.HasPrefix(path, "/") {
		return path
	}
	if rest, ok := Below(path, r.Project); ok {
		return rest
	}
	if rest, ok := Below(path, r.Home); ok {
		return "~/" + rest
	}
	return path
}

func Below(path, root string) (string, bool) {
	if root == "" || !strings.HasPrefix(path, root) {
		return "", false
	}
	rest := path[len(root):]
	if rest == "" {
		return "", true
	}
	if rest[0] != '/' {
		return "", false
	}
	return strings.TrimLeft(rest, "/"), true
}
