package paths

import (
	"slices"
	"strings"
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
// excepted, what lies below a name that the rule has and bears an exception's name.
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
		d.Backup = append(d.Backup, p.backups(a)...)
		d.Moves = append(d.Moves, p.moves(a)...)
	}
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
// begins there opens nothing. Only its last name is looked at.
func (a Anchors) under(patterns, except []Pattern) []string {
	var names, heads, out []string
	for i := range except {
		names = with(names)(segment1(except[i].Last(), true))
	}
	if len(names) == 0 {
		return nil
	}
	below := "/" + anyDirs + "(" + strings.Join(names, "|") + ")" + atOrBelow
	for i := range patterns {
		p := &patterns[i]
		switch body, ok := p.body(a, p.segs, true); {
		case !ok:
		case p.Place == Anywhere:
			heads = append(heads, strings.TrimPrefix(body, "/"))
		default:
			out = append(out, body+below)
		}
	}
	if len(heads) > 0 {
		out = append(out, "/("+strings.Join(heads, "|")+")"+below)
	}
	return out
}

// What package backupname knows, in any number and order.
const (
	backupHeads = `(\.#|#|\.)*`
	backupTail  = `(#|~|\.~[^/]*~|\.([bB][aA][kK]|[bB][aA][cC][kK][uU][pP]|[oO][lL][dD]|[oO][rR][iI][gG]|[sS][aA][vV][eE]|[sS][aA][vV][eE][dD]|[cC][oO][pP][yY]|[tT][mM][pP]|[sS][wW][pP]|[sS][wW][oO]|[sS][wW][nN]|[rR][eE][jJ]|[dD][pP][kK][gG]-[oO][lL][dD]|[dD][pP][kK][gG]-[nN][eE][wW]|[rR][pP][mM][sS][aA][vV][eE]|1))`
)

// backups are the names that backups of what the pattern matches have.
func (p *Pattern) backups(a Anchors) []string {
	dirs, ok := p.body(a, p.segs[:len(p.segs)-1], true)
	name, fits := segment1(p.Last(), true)
	if !ok || !fits {
		return nil
	}
	if n := len(p.segs); n > 1 && !p.segs[n-2].deep {
		dirs += "/"
	}
	return []string{
		dirs + backupHeads + name + backupTail + "+[. ]*$",
		dirs + `\.#` + backupHeads + name + "[. ]*$",
	}
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
