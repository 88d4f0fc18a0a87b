package policy

import (
	"slices"
	"strings"

	countersign "github.com/countersign/countersign"
)

// Lends are the secrets that a command gets, sorted by the variable's name; where
// several rules give one name, that of the strongest layer. A rule matches as an
// allow does, but for the environment: the command gets the session's.
func (p *Policy) Lends(e *countersign.Exec) []countersign.Lend {
	if len(p.lend.rules) == 0 || len(e.Argv) == 0 {
		return nil
	}
	bare := *e
	bare.Delta = nil
	var out []countersign.Lend
	for i := range p.lend.rules {
		l := &p.lends[i]
		if slices.Contains(countersign.LendNames(out), l.Name) || p.allows(&p.lend.rules[i], &bare) != "" {
			continue
		}
		out = append(out, countersign.Lend{Name: l.Name, From: l.From, Env: l.Env, Rule: l.ID})
	}
	slices.SortFunc(out, func(a, b countersign.Lend) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (p *Policy) addLends(d *Document) error {
	for _, l := range d.Lend {
		c := &Command{ID: l.ID, Verdict: countersign.Allow, Argv: l.Argv, Reason: l.Reason, Layer: d.Layer, Pos: l.Pos}
		if err := p.lend.add(c, 0); err != nil {
			return d.fault(l.At, "", "rule %s: %v", l.ID, err)
		}
		p.lends = append(p.lends, l)
	}
	return nil
}
