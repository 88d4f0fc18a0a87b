// Package history holds a policy against what has been: it makes questions of
// records, asks a policy about them again, and tells which answers differ.
//
// It promises that a record it cannot ask about is counted and never guessed at,
// and that what was covered by an approval is asked about as covered. It is pure:
// it is handed records and a policy, and touches nothing.
package history

import (
	"cmp"
	"slices"
	"strings"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/redact"
)

// Judge is a policy. *policy.Policy is one.
type Judge interface {
	Exec(e *countersign.Exec, covered bool) countersign.Ruling
	File(path string) countersign.Ruling
	Net(n countersign.Net) countersign.Ruling
	Model(provider, model string) countersign.Ruling
}

// Past is one action that was, and what policy said of it.
type Past struct {
	Kind    countersign.Kind
	Session string
	When    time.Time
	Summary string
	Was     countersign.Verdict // ask, where a person, a grant or nobody answered
	Rule    string
	Basis   countersign.Basis
	Granted bool // it was let go
	Count   int  // how many equal attempts the record stands for
	// Whole is false where the record keeps the command only in part: cut to fit, or
	// with a secret marked.
	Whole bool

	Exec    *countersign.Exec
	Covered bool
	Path    string
	Net     countersign.Net
	Model   countersign.Model
}

// Of makes a question of a record, if policy had been asked one.
func Of(r countersign.Record) (Past, bool) {
	if r.Action == nil || r.Decision == nil || r.Policy == nil {
		return Past{}, false
	}
	d := r.Decision
	p := Past{
		Kind: r.Action.Kind, Session: r.Session, Summary: r.Action.Summary, Was: d.Verdict, Rule: r.Policy.Rule, Basis: d.Basis,
		Granted: d.Verdict == countersign.Allow, Count: 1, Whole: true,
	}
	p.When, _ = time.Parse(time.RFC3339Nano, r.T.Wall)
	if n, ok := r.Detail["count"].(float64); ok && n > 1 {
		p.Count = int(n)
	}
	switch d.Basis {
	case countersign.ByPerson, countersign.ByGrant, countersign.ByLate, countersign.ByEarly, countersign.ByTimeout, countersign.ByHeadless, countersign.ByFault:
		p.Was = countersign.Ask
	}
	switch {
	case r.Type == "exec.decided":
		p.exec(r)
	case r.Type == "file.denied" && r.Policy.Rule != "sandbox":
		p.Path = r.Action.Path
	case strings.HasPrefix(r.Type, "net.") && r.Action.Op == "tcp" && r.Action.Port > 0:
		p.Net = countersign.Net{Proto: r.Action.Op, Host: r.Action.Host, Port: r.Action.Port}
	case r.Type == "model.request" && r.Model != nil && r.Model.Requested != "" && ofLists(r.Policy.Rule):
		p.Model = *r.Model
	default:
		return Past{}, false
	}
	return p, true
}

// ofLists reports whether the lists of models were what decided.
func ofLists(rule string) bool {
	return rule == "models-allow" || rule == "models-deny" || rule == "default"
}

func (p *Past) exec(r countersign.Record) {
	a := r.Action
	e := &countersign.Exec{
		Argv: a.Argv, Cwd: a.Cwd, Invoked: a.Invoked, Writable: a.Writable,
		Exe: countersign.Executable{Path: a.Path, SHA256: strings.TrimPrefix(a.Exe, "sha256:")}, Launch: p.Basis == countersign.ByLaunch,
	}
	if e.Invoked == "" {
		e.Invoked = a.Path
	}
	e.Hops = []string{e.Invoked}
	if a.Path != e.Invoked {
		e.Hops = append(e.Hops, a.Path)
	}
	for _, path := range a.Interp {
		e.Interp = append(e.Interp, countersign.Executable{Path: path})
	}
	for _, path := range a.Scripts {
		e.Scripts = append(e.Scripts, countersign.Script{Path: path})
	}
	for _, name := range a.Env {
		e.Delta = append(e.Delta, countersign.EnvChange{Name: name})
	}
	p.Exec = e
	// With a parent it was asked about as covered; what git's configuration names is
	// under one and was not, and no rule spoke of it.
	p.Covered = p.Basis == countersign.ByCover || r.Parent != "" && p.Rule != "default"
	for _, s := range slices.Concat(a.Argv, a.Env, a.Interp, a.Scripts) {
		if strings.HasSuffix(s, "…") || strings.Contains(s, redact.Marker) {
			p.Whole = false
		}
	}
}

// Change is a set of equal actions that a policy answers otherwise.
type Change struct {
	Kind    countersign.Kind    `json:"kind"`
	Summary string              `json:"summary"`
	Argv    []string            `json:"argv,omitempty"`
	Covered bool                `json:"covered,omitempty"` // ran below an approved command
	Was     countersign.Verdict `json:"was"`
	WasRule string              `json:"was_rule"`
	Now     countersign.Verdict `json:"now"`
	NowRule string              `json:"now_rule"`
	Reason  string              `json:"reason"`
	Granted bool                `json:"granted"` // at least one of them was let go
	Count   int                 `json:"count"`
	First   time.Time           `json:"first"`
	Last    time.Time           `json:"last"`
}

// Report is what a policy would have changed.
type Report struct {
	Actions int            `json:"actions"` // asked about
	Skipped int            `json:"skipped"` // kept only in part: not asked about
	Changed int            `json:"changed"`
	Totals  map[string]int `json:"totals"`  // "ask to allow": how many
	Changes []Change       `json:"changes"` // what weighs most first
}

// Replay asks a policy about each action.
func Replay(past []Past, j Judge) Report {
	out := Report{Totals: map[string]int{}, Changes: []Change{}}
	at := map[string]int{}
	for _, p := range past {
		if !p.Whole {
			out.Skipped += p.Count
			continue
		}
		out.Actions += p.Count
		now := p.ask(j)
		if now.Verdict == p.Was {
			continue
		}
		out.Changed += p.Count
		out.Totals[string(p.Was)+" to "+string(now.Verdict)] += p.Count
		c := Change{
			Kind: p.Kind, Summary: p.Summary, Covered: p.Covered, Was: p.Was, WasRule: p.Rule, Now: now.Verdict, NowRule: now.Rule, Reason: now.Reason,
			Granted: p.Granted, First: p.When, Last: p.When,
		}
		if p.Exec != nil {
			c.Argv = p.Exec.Argv
		}
		key := strings.Join(append([]string{string(c.Kind), c.Summary, string(c.Was), c.WasRule, string(c.Now), c.NowRule}, c.Argv...), "\x00")
		i, seen := at[key]
		if !seen {
			i = len(out.Changes)
			at[key], out.Changes = i, append(out.Changes, c)
		}
		x := &out.Changes[i]
		x.Count, x.Granted = x.Count+p.Count, x.Granted || p.Granted
		if p.When.Before(x.First) {
			x.First = p.When
		}
		if p.When.After(x.Last) {
			x.Last = p.When
		}
	}
	slices.SortStableFunc(out.Changes, func(a, b Change) int {
		return cmp.Or(weight(b)-weight(a), b.Count-a.Count, strings.Compare(a.Summary, b.Summary))
	})
	return out
}

// weight puts first what would have been stopped, then what would have gone
// unasked.
func weight(c Change) int {
	return map[countersign.Verdict]int{countersign.Deny: 3, countersign.Allow: 2, countersign.Ask: 1}[c.Now]
}

// ask is what a policy says of an action. The agent's own start is only ever
// denied.
func (p Past) ask(j Judge) countersign.Ruling {
	switch {
	case p.Exec != nil && p.Exec.Launch:
		if r := j.Exec(p.Exec, false); r.Verdict == countersign.Deny {
			return r
		}
		return countersign.Ruling{Verdict: p.Was, Rule: p.Rule}
	case p.Exec != nil:
		return j.Exec(p.Exec, p.Covered)
	case p.Path != "":
		return j.File(p.Path)
	case p.Net.Port != 0:
		return j.Net(p.Net)
	}
	return j.Model(p.Model.Provider, p.Model.Requested)
}
