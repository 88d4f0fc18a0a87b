package policy

import (
	"slices"
	"sort"
	"strings"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/backupname"
	"github.com/countersign/countersign/policy/paths"
)

// fileSet is a list of file rules, indexed by the last segment of their
// patterns, so that a name meets only the few patterns that could match it.
type fileSet struct {
	rules   []FileRule
	except  [][]exception // by rule
	entries []entry
	exact   map[string][]int32 // whole name
	first   [256][]int32       // first byte of a literal prefix
	ext     map[string][]int32 // last extension of a literal end
	rest    []int32
}

type entry struct {
	pattern paths.Pattern
	src     string
	rule    int32
	files   bool // files only
}

type exception struct {
	pattern paths.Pattern
	src     string
	from    *Except
}

func newFileSet() *fileSet {
	return &fileSet{exact: map[string][]int32{}, ext: map[string][]int32{}}
}

func (f *fileSet) add(r FileRule) error {
	n := int32(len(f.rules))
	f.rules, f.except = append(f.rules, r), append(f.except, nil)
	for _, src := range r.Paths {
		p, err := paths.Compile(src)
		if err != nil {
			return err
		}
		f.index(entry{pattern: p, src: src, rule: n, files: r.Only == "files"})
	}
	return nil
}

func (f *fileSet) index(e entry) {
	i := int32(len(f.entries))
	f.entries = append(f.entries, e)
	g := e.pattern.Last()
	switch {
	case g.Exact:
		f.exact[g.Lit] = append(f.exact[g.Lit], i)
	case g.Lit != "":
		f.first[g.Lit[0]] = append(f.first[g.Lit[0]], i)
	case strings.Contains(g.Tail, "."):
		x := g.Tail[strings.LastIndexByte(g.Tail, '.'):]
		f.ext[x] = append(f.ext[x], i)
	default:
		f.rest = append(f.rest, i)
	}
}

// find returns the entry that decides: of those that no exception takes out,
// the one that matches nearest the root, and of these the first rule.
func (f *fileSet) find(t paths.Target) (int32, bool) {
	for j, name := range t.Names {
		best := int32(-1)
		try := func(list []int32) {
			for _, i := range list {
				if (best < 0 || f.entries[i].rule < f.entries[best].rule) && f.hits(i, t, j) {
					best = i
				}
			}
		}
		try(f.exact[name])
		if name != "" {
			try(f.first[name[0]])
		}
		if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
			try(f.ext[name[dot:]])
		}
		try(f.rest)
		if best >= 0 {
			return best, true
		}
	}
	return -1, false
}

// hits reports whether entry i matches the j-th name and stands.
func (f *fileSet) hits(i int32, t paths.Target, j int) bool {
	return f.matches(i, t, j) && f.excepted(i, t, j) == nil
}

func (f *fileSet) matches(i int32, t paths.Target, j int) bool {
	e := &f.entries[i]
	if e.files && (j != len(t.Names)-1 || t.Dir) {
		return false
	}
	return e.pattern.Last().Match(t.Names[j]) && e.pattern.Before(t.At, t.Names[:j])
}

// excepted returns the exception that takes the match out. It must itself
// match at or above the matched name: below a denied directory nothing opens.
func (f *fileSet) excepted(i int32, t paths.Target, j int) *exception {
	list := f.except[f.entries[i].rule]
	for k := range list {
		if list[k].pattern.Covers(t, j+1) {
			return &list[k]
		}
	}
	return nil
}

// Path says whether a path is denied, and by which rule. path is relative to
// the project's root, with slashes; or "~/…" below the home directory; or
// absolute, where only patterns that hold anywhere apply (and the others too,
// once At has told where project and home are). A trailing slash says that it
// is a directory: rules of file names such as "secrets" then do not hold for
// it, and a caller that walks a tree must add it. Names are compared folded:
// case, Unicode form and invisible characters make no difference.
func (p *Policy) Path(path string) (FileRule, bool) {
	var buf [32]string
	set, i, ok := p.denied(p.roots.Cut(path, buf[:]))
	if !ok {
		return FileRule{}, false
	}
	return set.rules[set.entries[i].rule], true
}

// File is Path as a ruling: deny, or allow where no rule denies.
func (p *Policy) File(path string) countersign.Ruling {
	if r, denied := p.Path(path); denied {
		return p.ruling(countersign.Deny, r.ID, r.Reason, r.Layer, r.Pos)
	}
	return countersign.Ruling{Verdict: countersign.Allow, Rule: "default", Reason: "no rule denies it", Layer: string(LayerBuiltIn), Bundle: p.bundle}
}

// denied finds the entry that denies t, the project's own rules and those above
// them before those of the repositories around it.
func (p *Policy) denied(t paths.Target) (*fileSet, int32, bool) {
	if i, ok := p.deny.denied(t); ok {
		return p.deny, i, true
	}
	for _, o := range p.outer {
		if i, ok := o.deny.denied(from(o.below, t)); ok {
			return o.deny, i, true
		}
	}
	return nil, 0, false
}

// denied finds the entry that denies t, or what t is a backup of.
func (f *fileSet) denied(t paths.Target) (int32, bool) {
	i, ok := f.find(t)
	if n := len(t.Names); !ok && n > 0 && !t.Dir {
		if original, is := backupname.Of(t.Names[n-1]); is {
			t.Names = append(append([]string(nil), t.Names[:n-1]...), original)
			return f.find(t)
		}
	}
	return i, ok
}

// Risk says whether a change to a path of the project is one that is never
// accepted in bulk, and why: what runs by itself on the person's machine or in
// CI, what steers an agent or an editor, and every denied name.
func (p *Policy) Risk(path string) (countersign.Risk, string) {
	var buf [32]string
	t := p.roots.Cut(path, buf[:])
	if t.At != paths.InProject {
		return countersign.RiskHigh, "outside the project"
	}
	if set, i, ok := p.denied(t); ok {
		r := set.rules[set.entries[i].rule]
		return countersign.RiskHigh, "denied name (" + r.ID + "): " + r.Reason
	}
	if i, ok := p.risk.find(t); ok {
		return countersign.RiskHigh, p.risk.rules[p.risk.entries[i].rule].Reason
	}
	for _, o := range p.outer {
		if i, ok := o.risk.find(from(o.below, t)); ok {
			return countersign.RiskHigh, o.risk.rules[o.risk.entries[i].rule].Reason
		}
	}
	return countersign.RiskNormal, ""
}

// WriteReview says whether a change to a path of the project waits for a
// person. High-risk paths always do.
func (p *Policy) WriteReview(path string) bool {
	if p.write != "allow" {
		return true
	}
	risk, _ := p.Risk(path)
	return risk == countersign.RiskHigh
}

// HomeTripwires lists the well-known places below the home directory that are
// denied, as "~/…", sorted; a directory ends in a slash. Patterns with
// wildcards are not among them.
func (p *Policy) HomeTripwires() []string {
	seen := map[string]bool{}
	entries := slices.Clone(p.deny.entries)
	for _, o := range p.outer {
		entries = append(entries, o.deny.entries...)
	}
	for i := range entries {
		e := &entries[i]
		if e.pattern.Place != paths.InHome || strings.ContainsAny(e.src, `*?[\`) || seen[e.src] {
			continue
		}
		if _, denied := p.Path(e.src); denied {
			seen[e.src] = true
		}
	}
	out := make([]string, 0, len(seen))
	for s := range seen {
		out = append(out, s)
	}
	sort.Strings(out)
	return out
}
