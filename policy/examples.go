package policy

import (
	"iter"
	"slices"
	"strings"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/policy/paths"
)

// Tried is one example of a rule, tried.
type Tried struct {
	Rule    string `json:"rule"`
	Layer   Layer  `json:"layer"`
	Pos     string `json:"pos,omitempty"`
	Example string `json:"example"`
	Match   bool   `json:"match"` // of match, not of not_match
	OK      bool   `json:"ok"`

	at Pos
}

// runExamples tests every rule against its own examples: a rule that does not
// do what its writer thinks must not come into force.
func (p *Policy) runExamples() error {
	for _, d := range p.layers {
		for x, err := range d.examples() {
			if err == nil && !x.OK {
				err = d.fault(x.at, "correct the rule or the example", "rule %s: its example %q %s", x.Rule, x.Example, failed(x.Match))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Examples tries every example of every layer, those of the presets too, and
// goes on after one that fails.
func Examples(docs ...*Document) ([]Tried, error) {
	docs, err := withPresets(docs)
	if err != nil {
		return nil, err
	}
	var out []Tried
	for _, d := range docs {
		for x, err := range d.examples() {
			if err != nil {
				return nil, err
			}
			x.Layer, x.Pos = d.Layer, d.pos(x.at)
			out = append(out, x)
		}
	}
	return out, nil
}

func (d *Document) examples() iter.Seq2[Tried, error] {
	return func(yield func(Tried, error) bool) {
		for i := range d.Cmds {
			if !d.Cmds[i].examples(d, yield) {
				return
			}
		}
		for _, r := range d.Net.Network {
			for i, x := range append(append([]string{}, r.Match...), r.NotMatch...) {
				bad, want, failing := r.Failing()
				if !yield(Tried{Rule: r.ID, Example: x, Match: i < len(r.Match), OK: !failing || bad != x || want != (i < len(r.Match)), at: r.At}, nil) {
					return
				}
			}
		}
		for _, r := range append(slices.Clone(d.Files.Deny), d.Files.HighRisk...) {
			if !r.examples(d, false, yield) {
				return
			}
		}
		for _, x := range d.Files.Except {
			r := FileRule{ID: x.ID, Paths: x.Paths, Match: x.Match, NotMatch: x.NotMatch, at: x.at}
			if !r.examples(d, true, yield) {
				return
			}
		}
	}
}

func (c *Command) examples(d *Document, yield func(Tried, error) bool) bool {
	var s execSet
	s.byName = map[string][]int32{}
	own := *c
	own.below = "" // examples speak of the document's own root
	if err := s.add(&own, 0); err != nil {
		return yield(Tried{}, d.fault(c.at, "", "rule %s: %v", c.ID, err))
	}
	q := Policy{roots: paths.Roots{Project: "/project", Home: "/home"}}
	for i, x := range append(slices.Clone(c.Match), c.NotMatch...) {
		want := i < len(c.Match)
		if !yield(Tried{Rule: c.ID, Example: strings.Join(x.Argv, " "), Match: want, OK: (q.holds(&s.rules[0], x.exec()) == "") == want, at: x.at}, nil) {
			return false
		}
	}
	return true
}

func failed(want bool) string {
	if want {
		return "does not match"
	}
	return "matches, and must not"
}

// exec makes of an example the command it would be on a usual machine: a bare
// program in /usr/bin, "./" and operands below /project.
func (x Example) exec() *countersign.Exec {
	abs := func(s string) string {
		switch {
		case strings.HasPrefix(s, "/"):
			return s
		case strings.HasPrefix(s, "~/"):
			return "/home" + s[1:]
		}
		return "/project/" + strings.TrimPrefix(s, "./")
	}
	path := "/usr/bin/" + x.Argv[0]
	if strings.Contains(x.Argv[0], "/") {
		path = abs(x.Argv[0])
	}
	e := &countersign.Exec{Argv: x.Argv, Cwd: "/project", Invoked: path, Exe: countersign.Executable{Path: path}, Hops: []string{path}}
	for _, kv := range x.Env {
		name, value, _ := strings.Cut(kv, "=")
		e.Delta = append(e.Delta, countersign.EnvChange{Name: name, Value: value})
	}
	for _, a := range x.Argv[1:] {
		if a != "" && a[0] != '-' {
			e.Scripts = []countersign.Script{{Path: abs(a)}}
			break
		}
	}
	return e
}

// examples tests a rule or an exception by itself.
func (r FileRule) examples(d *Document, except bool, yield func(Tried, error) bool) bool {
	f := newFileSet()
	if err := f.add(r); err != nil {
		return yield(Tried{}, d.fault(r.at, "", "rule %s: %v", r.ID, err))
	}
	var none paths.Roots
	for i, x := range append(slices.Clone(r.Match), r.NotMatch...) {
		want := i < len(r.Match)
		t := none.Cut(x, nil)
		_, ok := f.find(t)
		if except {
			ok = f.coveredBy(t)
		}
		if !yield(Tried{Rule: r.ID, Example: x, Match: want, OK: ok == want, at: r.at}, nil) {
			return false
		}
	}
	return true
}

func (f *fileSet) coveredBy(t paths.Target) bool {
	for i := range f.entries {
		if f.entries[i].pattern.Covers(t, len(t.Names)) {
			return true
		}
	}
	return false
}
