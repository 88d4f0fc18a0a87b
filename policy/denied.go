package policy

import "github.com/countersign/countersign/policy/paths"

// Denied is a rule of denied paths and the exceptions from it.
type Denied struct {
	Rule     FileRule
	Patterns []paths.Pattern
	Except   []paths.Pattern
}

// Denied lists the rules that Path answers by, for what enforces them without asking.
// Those of a repository around the project speak of the project as it lies there.
func (p *Policy) Denied() []Denied {
	out := p.deny.denials("")
	for _, o := range p.outer {
		out = append(out, o.deny.denials(o.below)...)
	}
	return out
}

func (f *fileSet) denials(below string) []Denied {
	out := make([]Denied, len(f.rules))
	for i := range f.rules {
		out[i].Rule = f.rules[i]
		for k := range f.except[i] {
			out[i].Except = append(out[i].Except, f.except[i][k].pattern.In(below, false)...)
		}
	}
	for i := range f.entries {
		e := &f.entries[i]
		out[e.rule].Patterns = append(out[e.rule].Patterns, e.pattern.In(below, e.files)...)
	}
	return out
}
