package paths

import (
	"slices"
	"strings"

	"github.com/countersign/countersign/internal/fold"
)

// Denial is a rule of denied paths as regular expressions over absolute paths, for
// what cannot ask the rule itself. A path is denied that fits one of
//
//   - Match and none of Except,
//   - Under,
//   - Backup and none of BackupExcept.
//
// Every path that the rule denies is one of these, as far as Regexp says. Few others
// are: backups of what is excepted by its own name, and in a directory that is
// excepted, what lies below a name that the rule has and fits an exception by itself.
type Denial struct {
	Match  []string
	Except []string

	Under []string

	Backup       []string
	BackupExcept []string

	// Moves are the directories that, moved, would carry denied paths out of reach of
	// the rule's patterns; Except holds for them.
	Moves []string
}

// Denial puts a rule's patterns and the exceptions from them together. files says
// that the rule is about files only, which the expressions cannot see: who uses them
// holds Match and Backup against no directory then.
func (a Anchors) Denial(patterns, except []Pattern, files bool) Denial {
	var d Denial
	reach := AtOrBelow
	if files {
		reach = Itself
	}
	for i := range patterns {
		p := &patterns[i]
		d.Match = with(d.Match)(p.Regexp(a, reach, true))
		d.Moves = append(d.Moves, p.moves(a)...)
	}
	d.Backup = a.backups(patterns)
	for i := range except {
		d.Except = with(d.Except)(except[i].Regexp(a, AtOrBelow, false))
		d.BackupExcept = with(d.BackupExcept)(except[i].Regexp(a, Beneath, false))
	}
	if !files {
		d.Under = a.under(patterns, except)
	}
	return d
}

func with(list []string) func(string, bool) []string {
	return func(re string, ok bool) []string {
		if ok && !slices.Contains(list, re) {
			list = append(list, re)
		}
		return list
	}
}

// under is what fits an exception below a name that is denied: an exception that
// begins there, or ends there, opens nothing.
func (a Anchors) under(patterns, except []Pattern) []string {
	var deep, near, out []string
	for i := range except {
		x := &except[i]
		if x.Place == Anywhere {
			deep = with(deep)(x.rest(0))
		}
		for n := 1; n < len(x.segs); n++ { // how much of it lies at or above the denied name
			switch s := &x.segs[n-1]; {
			case s.deep:
				deep = with(deep)(x.rest(n))
			case s.glob.Exact:
				out = append(out, a.meets(patterns, s.glob.Lit, x, n)...)
			default:
				near = with(near)(x.rest(n))
			}
		}
	}
	if len(deep) > 0 {
		near = append(near, anyDirs+"("+strings.Join(deep, "|")+")")
	}
	if len(near) == 0 {
		return out
	}
	tail := "/(" + strings.Join(near, "|") + ")" + atOrBelow
	var heads []string
	for i := range patterns {
		p := &patterns[i]
		switch body, ok := p.body(a, p.segs, true); {
		case !ok:
		case p.Place == Anywhere:
			heads = append(heads, strings.TrimPrefix(body, "/"))
		default:
			out = append(out, body+tail)
		}
	}
	if len(heads) > 0 {
		out = append(out, "/("+strings.Join(heads, "|")+")"+tail)
	}
	return out
}

// meets is what lies below a name that both a pattern's last segment and the n-th of
// the exception take, which is no more than a name.
func (a Anchors) meets(patterns []Pattern, name string, x *Pattern, n int) (out []string) {
	tail, ok := x.rest(n)
	if !ok {
		return nil
	}
	lit, _ := fold.Regexp(name, true)
	for i := range patterns {
		p := &patterns[i]
		if dirs, ok := p.dirsOf(a); ok && p.Last().Match(name) {
			out = append(out, dirs+lit+"[. ]*/"+tail+atOrBelow)
		}
	}
	return out
}

// rest is the pattern from its n-th segment on.
func (p *Pattern) rest(n int) (string, bool) {
	q := Pattern{segs: p.segs[n:]}
	re, ok := q.body(Anchors{}, q.segs, true)
	return strings.TrimPrefix(re, "/"), ok
}

// dirsOf is the pattern up to where its last name begins.
func (p *Pattern) dirsOf(a Anchors) (string, bool) {
	n := len(p.segs)
	dirs, ok := p.body(a, p.segs[:n-1], true)
	if n > 1 && !p.segs[n-2].deep {
		dirs += "/"
	}
	return dirs, ok
}

// What package backupname knows, in any number and order.
const (
	backupHeads = `(\.#|#|\.)*`
	backupTail  = `(#|~|\.~[^/]*~|\.([bB][aA][kK]|[bB][aA][cC][kK][uU][pP]|[oO][lL][dD]|[oO][rR][iI][gG]|[sS][aA][vV][eE]|[sS][aA][vV][eE][dD]|[cC][oO][pP][yY]|[tT][mM][pP]|[sS][wW][pP]|[sS][wW][oO]|[sS][wW][nN]|[rR][eE][jJ]|[dD][pP][kK][gG]-[oO][lL][dD]|[dD][pP][kK][gG]-[nN][eE][wW]|[rR][pP][mM][sS][aA][vV][eE]|1))`
)

// backups are the names that backups of what the patterns match have.
func (a Anchors) backups(patterns []Pattern) (out []string) {
	var order []string
	names := map[string][]string{} // by where they are
	for i := range patterns {
		p := &patterns[i]
		dirs, ok := p.dirsOf(a)
		name, fits := p.segs[len(p.segs)-1].regexp(true)
		if !ok || !fits {
			continue
		}
		if names[dirs] == nil {
			order = append(order, dirs)
		}
		names[dirs] = append(names[dirs], name)
	}
	for _, dirs := range order {
		any1 := "(" + strings.Join(names[dirs], "|") + ")"
		out = append(out, dirs+backupHeads+any1+backupTail+"+[. ]*$", dirs+`\.#`+backupHeads+any1+"[. ]*$")
	}
	return out
}

// moves are the directories above a match that the pattern names.
func (p *Pattern) moves(a Anchors) []string {
	var out []string
	for n := 1; n < len(p.segs); n++ {
		if p.segs[n-1].deep {
			continue
		}
		reach := Itself
		if p.segs[n].deep {
			reach = AtOrBelow // whatever lies between
		}
		head := Pattern{Place: p.Place, segs: p.segs[:n]}
		out = with(out)(head.Regexp(a, reach, true))
	}
	return out
}
