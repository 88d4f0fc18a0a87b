// Package suggest proposes rules from what people have approved.
//
// It promises that a proposal allows exactly the commands a person approved again
// and again, or such that differ from them in the rest of one path; that nothing
// a person denied is among what it allows; and that each proposal comes with what
// it would have covered and what it would not. It proposes nothing for what a
// rule asks about, for a program that the session can change, for another
// environment than the session's, or, but for the very same text, for a shell or
// interpreter. It is pure, and adopts nothing.
package suggest

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/interp"
	"github.com/countersign/countersign/policy/history"
)

// Seen is a command of the history and how often it was asked.
type Seen struct {
	Argv     []string  `json:"argv"`
	Approved int       `json:"approved"` // by a person, then or before
	Denied   int       `json:"denied"`   // by a person
	Unasked  int       `json:"unanswered"`
	Last     time.Time `json:"last"`

	by   []string
	why  string // why nothing is proposed for it
	exec *countersign.Exec
}

// Proposal is a rule and what of the history it is about.
type Proposal struct {
	ID      string   `json:"id"`
	Argv    []string `json:"argv"` // as a rule writes it
	Reason  string   `json:"reason"`
	Covered []Seen   `json:"covered"`
	Not     []Seen   `json:"not_covered"` // commands of the same program
}

// Left is a command that was approved often enough and is not proposed.
type Left struct {
	Seen
	Why string `json:"why"`
}

// Options say what is enough.
type Options struct {
	Least int // approvals that a proposal rests on
	// Now is the policy in force: what it allows needs no proposal.
	Now history.Judge
	// Try makes a policy of one allow rule alone.
	Try func(argv []string) (history.Judge, error)
}

// From proposes rules from the history.
func From(past []history.Past, o Options) (proposals []Proposal, left []Left) {
	all := gather(past, o.Now)
	used := map[*Seen]bool{}
	take := func(argv []string) bool {
		p, ok := propose(all, argv, o)
		if !ok {
			return false
		}
		for _, s := range all {
			if slices.ContainsFunc(p.Covered, func(c Seen) bool { return slices.Equal(c.Argv, s.Argv) }) {
				used[s] = true
			}
		}
		p.ID = fmt.Sprintf("suggested-%d-%s", len(proposals)+1, name(argv[0]))
		proposals = append(proposals, p)
		return true
	}
	for _, argv := range families(all) {
		take(argv)
	}
	for _, s := range all {
		switch {
		case used[s] || s.Approved < o.Least:
		case s.why != "":
			left = append(left, Left{*s, s.why})
		case !take(literal(s.Argv)):
			left = append(left, Left{*s, "the record does not say enough of it"})
		}
	}
	return proposals, left
}

// name is what of a program's name can stand in a rule's id.
func name(program string) string {
	s := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(path.Base(program)))
	return s[:min(len(s), 30)]
}

// gather counts what was asked, command by command, in the order of first sight.
func gather(past []history.Past, now history.Judge) []*Seen {
	var out []*Seen
	by := map[string]*Seen{}
	for _, p := range past {
		if p.Exec == nil || p.Was != countersign.Ask || p.Covered || p.Exec.Launch || !p.Whole || len(p.Exec.Argv) == 0 {
			continue
		}
		key := strings.Join(p.Exec.Argv, "\x00")
		s := by[key]
		if s == nil {
			s = &Seen{Argv: p.Exec.Argv, exec: p.Exec}
			by[key], out = s, append(out, s)
		}
		switch {
		case p.Granted:
			s.Approved++
		case p.Basis == countersign.ByPerson || p.Basis == countersign.ByLate || p.Basis == countersign.ByEarly:
			s.Denied++
		default:
			s.Unasked++
		}
		if p.When.After(s.Last) {
			s.Last = p.When
		}
		s.why = cmp.Or(s.why, why(p, now))
	}
	for _, s := range out {
		if s.Denied > 0 {
			s.why = "a person has denied it, too"
		}
	}
	return out
}

// why says why nothing may be proposed for a command.
func why(p history.Past, now history.Judge) string {
	e := p.Exec
	switch r := now.Exec(e, false); {
	case r.Verdict == countersign.Allow:
		return "rule " + r.Rule + " allows it already"
	case r.Rule != "default":
		return "rule " + r.Rule + " means it to be asked or denied"
	case p.Rule != "default":
		return "rule " + p.Rule + " meant it to be asked"
	case e.Writable || strings.Contains(e.Argv[0], "/") && !strings.HasPrefix(e.Argv[0], "/usr/"):
		return "its program, or a link to it, lies where the session can write: a rule must name its path, and should pin its sha256"
	case len(e.Scripts) > 0 || len(e.Interp) > 0:
		return "it runs a script: a rule must name it with script, and it may change"
	}
	for _, c := range e.Delta {
		if !countersign.HarmlessEnv(c.Name) {
			return "its environment differs from the session's in " + c.Name
		}
	}
	return ""
}

// families finds patterns of commands that differ in the rest of one path below
// the project: at least three such.
func families(all []*Seen) [][]string {
	type family struct {
		argv    []string
		members int
	}
	var order []string
	found := map[string]*family{}
	for _, s := range all {
		if s.why != "" || s.Approved == 0 || interp.Parse(s.exec.Exe.Path, s.Argv).Known {
			continue
		}
		for i := 1; i < len(s.Argv); i++ {
			if rest, ok := strings.CutPrefix(s.Argv[i], "./"); !ok || rest == "" || strings.Contains("/"+rest+"/", "/../") {
				continue
			}
			argv := literal(s.Argv)
			argv[i] = "./*"
			key := strings.Join(argv, "\x00")
			if found[key] == nil {
				found[key], order = &family{argv: argv}, append(order, key)
			}
			found[key].members++
		}
	}
	var out [][]string
	for _, key := range order {
		if found[key].members >= 3 {
			out = append(out, found[key].argv)
		}
	}
	return out
}

// propose holds a rule against the whole history: what it covers must have been
// approved often enough, and nothing of it denied or kept from rules.
func propose(all []*Seen, argv []string, o Options) (Proposal, bool) {
	j, err := o.Try(argv)
	if err != nil {
		return Proposal{}, false
	}
	p := Proposal{Argv: argv, Covered: []Seen{}, Not: []Seen{}}
	approved := 0
	var first, last time.Time
	for _, s := range all {
		switch {
		case j.Exec(s.exec, false).Verdict == countersign.Allow:
			if s.Denied > 0 || s.why != "" {
				return p, false
			}
			p.Covered = append(p.Covered, *s)
			approved += s.Approved
			if first.IsZero() || s.Last.Before(first) {
				first = s.Last
			}
			if s.Last.After(last) {
				last = s.Last
			}
		case path.Base(s.Argv[0]) == path.Base(argv[0]):
			p.Not = append(p.Not, *s)
		}
	}
	p.Reason = fmt.Sprintf("people approved it %d times, last on %s", approved, last.UTC().Format(time.DateOnly))
	return p, approved >= o.Least && len(p.Covered) > 0
}

// literal writes a command as a rule that matches it and nothing else.
func literal(argv []string) []string {
	out := make([]string, len(argv))
	for i, s := range argv {
		out[i] = strings.NewReplacer(`\`, `\\`, `*`, `\*`).Replace(s)
		if s == "..." {
			out[i] = `\...`
		}
	}
	if strings.HasPrefix(argv[0], "/usr/") {
		out[0] = path.Base(out[0])
	}
	return out
}
