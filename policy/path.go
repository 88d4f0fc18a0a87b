package policy

import (
	"errors"
	"strings"

	"github.com/countersign/countersign/internal/fold"
	"github.com/countersign/countersign/internal/glob"
)

// place is where a path, or what an anchored pattern speaks of, lies.
type place uint8

const (
	anywhere  place = iota // patterns only
	inProject              // relative to the project's root
	inHome                 // below the person's home directory
	elsewhere              // paths only: absolute and in neither
)

// pathPattern is a compiled gitignore pattern. Below what it matches everything
// is matched, so a trailing "/**" says no more than "/*".
type pathPattern struct {
	place place
	dirs  bool // it ended in a slash after a wildcard; counts in exceptions only
	segs  []segment
}

type segment struct {
	deep bool // "**": any number of directories, none included
	glob glob.Glob
}

// maxDeep bounds "**" in one pattern, and with it the time of a match.
const maxDeep = 3

// compilePath compiles a gitignore pattern. Against gitignore: no "!"; "~/"
// anchors at the home directory; a trailing slash changes nothing in a deny,
// since what a name denies is denied as a file too; in an exception with
// wildcards ("vendor/*.*/") it means a directory.
func compilePath(s string) (pathPattern, error) {
	body := strings.TrimSuffix(s, "/")
	p := pathPattern{}
	switch {
	case body == "" || body == "~":
		return p, errors.New("an empty pattern")
	case strings.HasPrefix(s, "!"):
		return p, errors.New(`"!" is not for policies: what a rule hits by mistake goes to files.except`)
	case strings.HasPrefix(s, "#"):
		return p, errors.New(`write "\#" for a name that begins with it`)
	case strings.HasPrefix(body, "~/"):
		p.place, body = inHome, body[2:]
	case strings.HasPrefix(body, "**/"):
		body = body[3:]
	case strings.Contains(body, "/"):
		p.place, body = inProject, strings.TrimPrefix(body, "/")
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
		p.segs = append(p.segs, segment{glob: g})
		p.dirs = strings.HasSuffix(s, "/") && !g.Exact
	}
	return p, nil
}

func (p *pathPattern) last() *glob.Glob { return &p.segs[len(p.segs)-1].glob }

// before reports whether the segments before the last fit the directories of
// the matched name, which lie in at.
func (p *pathPattern) before(at place, dirs []string) bool {
	if p.place != anywhere && p.place != at {
		return false
	}
	return fits(p.segs[:len(p.segs)-1], dirs, p.place != anywhere)
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

// covers reports whether the pattern matches any of the first n names of t.
func (p *pathPattern) covers(t target, n int) bool {
	for i, name := range t.names[:n] {
		if p.dirs && i == len(t.names)-1 && !t.dir {
			return false
		}
		if p.last().Match(name) && p.before(t.at, t.names[:i]) {
			return true
		}
	}
	return false
}

// target is a path cut into folded names.
type target struct {
	at    place
	names []string
	dir   bool // it is known to be a directory
}

// cut cuts a path. buf saves an allocation for paths of ordinary depth.
func (p *Policy) cut(path string, buf []string) target {
	t := target{at: inProject, names: buf[:0]}
	path = p.locate(path)
	switch {
	case path == "~" || strings.HasPrefix(path, "~/"):
		t.at, path = inHome, path[1:]
	case strings.HasPrefix(path, "/"):
		t.at = elsewhere
	}
	t.dir = strings.HasSuffix(path, "/")
	for path != "" {
		part, rest, _ := strings.Cut(path, "/")
		path = rest
		switch part {
		case "", ".":
		case "..":
			if n := len(t.names); n > 0 {
				t.names = t.names[:n-1]
			} else if t.at == inProject {
				t.at = elsewhere
			}
		default:
			t.names = append(t.names, fold.Name(part))
		}
	}
	return t
}

// locate turns an absolute path below the project or the home into the form
// that patterns speak of, if At has told where these are.
func (p *Policy) locate(path string) string {
	if !strings.HasPrefix(path, "/") {
		return path
	}
	if rest, ok := below(path, p.project); ok {
		return rest
	}
	if rest, ok := below(path, p.home); ok {
		return "~/" + rest
	}
	return path
}

func below(path, root string) (string, bool) {
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
