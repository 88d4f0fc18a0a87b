package policy

import (
	"slices"
	"strings"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/glob"
	"github.com/countersign/countersign/policy/paths"
)

// execRule is a command rule ready to be asked.
type execRule struct {
	*Command
	path     bool // the program is matched by its path
	program  glob.Glob
	args     []glob.Glob
	rest     bool // the last element was "..."
	options  []glob.Glob
	script   *paths.Pattern
	anyDepth bool
	score    int // the highest of what matches wins; equal: the first
	ruling   countersign.Ruling
}

type execSet struct {
	rules  []execRule
	byName map[string][]int32 // literal base names
	wild   []int32            // everything else
}

func (s *execSet) add(c *Command, score int) error {
	r := execRule{Command: c, score: score, anyDepth: c.At == "any-depth" || c.Verdict == countersign.Deny}
	argv := c.Argv
	if n := len(argv); argv[n-1] == "..." {
		r.rest, argv = true, argv[:n-1]
	}
	var err error
	if r.program, err = glob.Arg(argv[0]); err != nil {
		return err
	}
	r.path = strings.Contains(argv[0], "/")
	for _, a := range argv[1:] {
		g, err := glob.Arg(a)
		if err != nil {
			return err
		}
		r.args = append(r.args, g)
	}
	for _, o := range c.Options {
		g, err := glob.Arg(o)
		if err != nil {
			return err
		}
		r.options = append(r.options, g)
	}
	if c.Script != "" {
		p, err := compileScript(c.Script)
		if err != nil {
			return err
		}
		r.script = &p
	}
	i := int32(len(s.rules))
	s.rules = append(s.rules, r)
	if !r.path && r.program.Exact {
		s.byName[r.program.Lit] = append(s.byName[r.program.Lit], i)
	} else {
		s.wild = append(s.wild, i)
	}
	return nil
}

// compileScript compiles the pattern of a script operand: a path pattern in
// which "./" anchors at the project's root.
func compileScript(s string) (paths.Pattern, error) {
	if rest, ok := strings.CutPrefix(s, "./"); ok {
		s = "/" + rest
	}
	return paths.Compile(s)
}

// Exec says what policy says of a command. covered asks for one that runs below
// an approved command: only deny rules and ask rules with at: any-depth hold
// there, and the rest is allowed as "covered". Where nothing matches, the
// verdict is ask.
func (p *Policy) Exec(e *countersign.Exec, covered bool) countersign.Ruling {
	best := -1
	p.eachCandidate(e, func(i int32) {
		r := &p.exec.rules[i]
		if covered && !r.anyDepth {
			return
		}
		if best >= 0 && (r.score < p.exec.rules[best].score || r.score == p.exec.rules[best].score && int(i) >= best) {
			return
		}
		if p.holds(r, e) == "" {
			best = int(i)
		}
	})
	switch {
	case best >= 0:
		return p.exec.rules[best].ruling
	case covered:
		return p.covered
	}
	return p.asks
}

// eachCandidate calls f for each rule whose program could be e's, some more
// than once.
func (p *Policy) eachCandidate(e *countersign.Exec, f func(int32)) {
	for _, i := range p.exec.wild {
		f(i)
	}
	if len(p.exec.byName) == 0 {
		return
	}
	name := func(path string) {
		for _, i := range p.exec.byName[base(path)] {
			f(i)
		}
	}
	name(e.Invoked)
	name(e.Exe.Path)
	if len(e.Argv) > 0 {
		name(e.Argv[0])
	}
	for _, h := range e.Hops {
		name(h)
	}
	for i := range e.Interp {
		name(e.Interp[i].Path)
	}
}

// holds returns why a rule does not hold for e, empty if it does.
func (p *Policy) holds(r *execRule, e *countersign.Exec) string {
	if r.Verdict == countersign.Allow {
		return p.allows(r, e)
	}
	if !p.strikes(r, e) {
		return "another command"
	}
	if r.script != nil && !p.anyScript(r, e) {
		return "another script"
	}
	return ""
}

// strikes matches deny and ask rules, which hold under every name the program
// goes by: as invoked, as resolved, each link between, what it is told to be
// called (programs of many names go by that), and the interpreters of a script.
func (p *Policy) strikes(r *execRule, e *countersign.Exec) bool {
	tail := argTail(e.Argv)
	if r.argsMatch("", false, tail) {
		if p.named(r, e.Invoked) || p.named(r, e.Exe.Path) || len(e.Argv) > 0 && p.named(r, e.Argv[0]) {
			return true
		}
		for _, h := range e.Hops {
			if p.named(r, h) {
				return true
			}
		}
	}
	for i := range e.Interp {
		if p.named(r, e.Interp[i].Path) && r.argsMatch(e.Exe.Path, true, tail) {
			return true
		}
	}
	return false
}

func argTail(argv []string) []string {
	if len(argv) == 0 {
		return nil
	}
	return argv[1:]
}

// named matches a program's path against the rule's first element.
func (p *Policy) named(r *execRule, path string) bool {
	if !r.path {
		return r.program.Match(base(path))
	}
	return p.byPath(r, path)
}

func (p *Policy) byPath(r *execRule, path string) bool {
	switch r.Argv[0][0] {
	case '.':
		rest, ok := paths.Below(path, p.roots.Project)
		if r.below != "" {
			return ok && r.program.Match("./"+r.below+"/"+rest)
		}
		return ok && matchAfter(&r.program, "./", rest)
	case '~':
		rest, ok := paths.Below(path, p.roots.Home)
		return ok && matchAfter(&r.program, "~/", rest)
	}
	return r.program.Match(path)
}

// matchAfter matches prefix+s, for exact patterns without making it.
func matchAfter(g *glob.Glob, prefix, s string) bool {
	if g.Exact {
		return len(g.Lit) == len(prefix)+len(s) && strings.HasPrefix(g.Lit, prefix) && g.Lit[len(prefix):] == s
	}
	return g.Match(prefix + s)
}

func (r *execRule) argsMatch(first string, hasFirst bool, tail []string) bool {
	n := len(tail)
	if hasFirst {
		n++
	}
	if n < len(r.args) || n > len(r.args) && !r.rest {
		return false
	}
	for i := range r.args {
		var arg string
		switch {
		case !hasFirst:
			arg = tail[i]
		case i == 0:
			arg = first
		default:
			arg = tail[i-1]
		}
		if !r.args[i].Match(arg) {
			return false
		}
	}
	return true
}

// optionsMatch finds an option that the rule does not list. What an option takes
// for its value is held to the list too, if it looks like one.
func (r *execRule) optionsMatch(rest []string) (string, bool) {
	if r.Options == nil {
		return "", true
	}
	for _, a := range rest {
		is := func(g glob.Glob) bool { return g.Match(a) }
		if len(a) > 1 && a[0] == '-' && !slices.ContainsFunc(r.options, is) {
			return a, false
		}
	}
	return "", true
}

func (p *Policy) anyScript(r *execRule, e *countersign.Exec) bool {
	if len(e.Interp) > 0 && p.scriptMatches(r, e.Exe.Path) {
		return true
	}
	for i := range e.Scripts {
		if p.scriptMatches(r, e.Scripts[i].Path) {
			return true
		}
	}
	return false
}

func (p *Policy) scriptMatches(r *execRule, path string) bool {
	var buf [32]string
	t := from(r.below, p.roots.Cut(path, buf[:]))
	return r.script.Covers(t, len(t.Names))
}

// allows matches allow rules, which must be sure: the name it is told is the
// name it was started by, no link of the way lies where the session can write
// (unless the rule gives the path), the content is the pinned one, and the
// environment differs in harmless names only.
func (p *Policy) allows(r *execRule, e *countersign.Exec) string {
	if len(e.Argv) == 0 || !r.argsMatch("", false, e.Argv[1:]) {
		return "another command"
	}
	if r.path {
		if !p.byPath(r, e.Exe.Path) {
			return "another program"
		}
	} else if !r.program.Match(base(e.Invoked)) && !r.program.Match(base(e.Exe.Path)) {
		return "another program"
	}
	if o, ok := r.optionsMatch(e.Argv[1+len(r.args):]); !ok {
		return "the rule does not speak of the option " + o
	}
	if !r.path && e.Writable {
		return "the program, or a link to it, lies where the session can write: such a program is allowed by its path only"
	}
	if base(e.Argv[0]) != base(e.Invoked) {
		return "it is told another name than it was started by"
	}
	if r.SHA256 != "" && r.SHA256 != e.Exe.SHA256 {
		return "the program's content is not the pinned one"
	}
	if r.script != nil && !p.everyScript(r, e) {
		return "another script"
	}
	for i := range e.Delta {
		if n := e.Delta[i].Name; !countersign.HarmlessEnv(n) && !slices.Contains(r.Env, n) {
			return "its environment differs from the session's in " + n
		}
	}
	return ""
}

func (p *Policy) everyScript(r *execRule, e *countersign.Exec) bool {
	if len(e.Interp) > 0 && !p.scriptMatches(r, e.Exe.Path) {
		return false
	}
	for i := range e.Scripts {
		if !p.scriptMatches(r, e.Scripts[i].Path) {
			return false
		}
	}
	return len(e.Scripts) > 0 || len(e.Interp) > 0
}

func base(path string) string {
	return path[strings.LastIndexByte(path, '/')+1:]
}
