package policy

import (
	"strings"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/policy/paths"
)

// runExamples tests every rule against its own examples: a rule that does not
// do what its writer thinks must not come into force.
func (p *Policy) runExamples() error {
	for _, d := range p.layers {
		for i := range d.Cmds {
			if err := p.commandExamples(d, &d.Cmds[i]); err != nil {
				return err
			}
		}
		for _, r := range d.Net.Network {
			if x, want, failing := r.Failing(); failing {
				return d.fault(r.At, exampleRemedy, "rule %s: its example %q %s", r.ID, x, failed(want))
			}
		}
		for _, list := range [][]FileRule{d.Files.Deny, d.Files.HighRisk} {
			for _, r := range list {
				if err := pathExamples(d, r, false); err != nil {
					return err
				}
			}
		}
		for _, x := range d.Files.Except {
			r := FileRule{ID: x.ID, Paths: x.Paths, Match: x.Match, NotMatch: x.NotMatch, at: x.at}
			if err := pathExamples(d, r, true); err != nil {
				return err
			}
		}
	}
	return nil
}

const exampleRemedy = "correct the rule or the example"

func (p *Policy) commandExamples(d *Document, c *Command) error {
	var s execSet
	s.byName = map[string][]int32{}
	if err := s.add(c, 0); err != nil {
		return d.fault(c.at, "", "rule %s: %v", c.ID, err)
	}
	q := Policy{roots: paths.Roots{Project: "/project", Home: "/home"}}
	check := func(list []Example, want bool) error {
		for _, x := range list {
			e := x.exec()
			if (q.holds(&s.rules[0], e) == "") != want {
				return d.fault(x.at, exampleRemedy, "rule %s: its example %q %s", c.ID, strings.Join(x.Argv, " "), failed(want))
			}
		}
		return nil
	}
	if err := check(c.Match, true); err != nil {
		return err
	}
	return check(c.NotMatch, false)
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

// pathExamples tests a rule or an exception by itself.
func pathExamples(d *Document, r FileRule, except bool) error {
	if len(r.Match)+len(r.NotMatch) == 0 {
		return nil
	}
	f := newFileSet()
	if err := f.add(r); err != nil {
		return d.fault(r.at, "", "rule %s: %v", r.ID, err)
	}
	var none paths.Roots
	for i, x := range append(append([]string{}, r.Match...), r.NotMatch...) {
		want := i < len(r.Match)
		t := none.Cut(x, nil)
		_, ok := f.find(t)
		if except {
			ok = f.coveredBy(t)
		}
		if ok != want {
			return d.fault(r.at, exampleRemedy, "rule %s: its example %q %s", r.ID, x, failed(want))
		}
	}
	return nil
}

func (f *fileSet) coveredBy(t paths.Target) bool {
	for i := range f.entries {
		if f.entries[i].pattern.Covers(t, len(t.Names)) {
			return true
		}
	}
	return false
}
