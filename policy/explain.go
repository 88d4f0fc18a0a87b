package policy

import (
	"fmt"
	"strings"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/loopback"
	"github.com/countersign/countersign/policy/hosts"
	"github.com/countersign/countersign/policy/paths"
)

// Explanation is an answer of the policy with everything that bore on it.
type Explanation struct {
	Question string              `json:"question"`
	Verdict  countersign.Verdict `json:"verdict"`
	Rule     string              `json:"rule"`
	Reason   string              `json:"reason"`
	Layer    string              `json:"layer"`
	Pos      string              `json:"pos,omitempty"` // file:line, empty for built-in rules
	Why      string              `json:"why"`           // why this rule won
	Matched  []Match             `json:"matched"`
	Risk     countersign.Risk    `json:"risk,omitempty"`   // of a path
	Lends    []string            `json:"lends,omitempty"`  // what the command would get
	Debugs   bool                `json:"debugs,omitempty"` // it may trace what it starts
	Preset   string              `json:"preset"`
	Bundle   string              `json:"bundle"`
}

// Match is one rule that bore on the question.
type Match struct {
	Rule    string              `json:"rule"`
	Verdict countersign.Verdict `json:"verdict,omitempty"` // empty for exceptions
	Layer   string              `json:"layer"`
	Pos     string              `json:"pos,omitempty"`
	Reason  string              `json:"reason"`
	Pattern string              `json:"pattern,omitempty"` // of a path rule
	Won     bool                `json:"won"`
	Holds   bool                `json:"holds"`
	Note    string              `json:"note,omitempty"` // why it does not hold, or what it adds
}

func (p *Policy) explanation(question string, r countersign.Ruling) Explanation {
	return Explanation{
		Question: question, Verdict: r.Verdict, Rule: r.Rule, Reason: r.Reason,
		Layer: r.Layer, Pos: r.Pos, Matched: []Match{}, Debugs: r.Debugs, Preset: p.preset, Bundle: p.bundle,
	}
}

// ExplainExec explains the verdict on a command: every rule that matches, and
// every allow that would but for the program's place or the environment.
func (p *Policy) ExplainExec(e *countersign.Exec) Explanation {
	ruling := p.Exec(e, false)
	out := p.explanation(strings.Join(e.Argv, " "), ruling)
	for i := range p.exec.rules {
		r := &p.exec.rules[i]
		note := p.holds(r, e)
		if strings.HasPrefix(note, "another ") {
			continue
		}
		m := Match{
			Rule: r.ID, Verdict: r.Verdict, Layer: string(r.Layer), Pos: r.Pos, Reason: r.Reason,
			Won: note == "" && r.ID == ruling.Rule, Holds: note == "", Note: note,
		}
		if what, unmet := p.Unmet(r.ID); note == "" && unmet {
			m.Note = what
		} else if note == "" && r.anyDepth {
			m.Note = "holds at any depth"
		}
		out.Matched = append(out.Matched, m)
	}
	for _, l := range p.Lends(e) {
		out.Lends = append(out.Lends, l.Name+" from "+l.From+", by rule "+l.Rule+"; below an approved command it asks too")
	}
	out.Why = whyVerdict(ruling, "every command asks")
	return out
}

func whyVerdict(r countersign.Ruling, otherwise string) string {
	switch {
	case r.Rule == "default":
		return "no rule holds: " + otherwise
	case r.Verdict == countersign.Deny:
		return "deny beats ask and allow, whatever the order"
	case r.Verdict == countersign.Ask:
		return "no deny holds, and ask beats allow, whatever the order"
	}
	return "an allow holds, and neither deny nor ask"
}

// ExplainPath explains whether a path is denied: every deny rule that matches
// it, and the exceptions that take rules out.
func (p *Policy) ExplainPath(path string) Explanation {
	var buf [32]string
	t := p.roots.Cut(path, buf[:])
	in, won, denied := p.denied(t)
	r := p.File(path)
	out := p.explanation(path, r)
	out.Why = "no deny rule holds"
	if denied {
		out.Why = "a denied name denies everything below it"
	}
	out.Matched = append(out.Matched, p.deny.explain(t, in, won)...)
	for _, o := range p.outer {
		out.Matched = append(out.Matched, o.deny.explain(from(o.below, t), in, won)...)
	}
	var why string
	if out.Risk, why = p.Risk(path); out.Risk == countersign.RiskHigh && !denied {
		out.Why += "; a change to it is high risk: " + why
	}
	return out
}

// explain lists what matches t; entry won of the set in is the one that decided.
func (f *fileSet) explain(t paths.Target, in *fileSet, won int32) (out []Match) {
	for j := range t.Names {
		for i := range f.entries {
			if f.matches(int32(i), t, j) {
				out = append(out, f.fileMatches(int32(i), t, j, f == in && int32(i) == won)...)
			}
		}
	}
	return out
}

func (f *fileSet) fileMatches(i int32, t paths.Target, j int, won bool) []Match {
	e := &f.entries[i]
	r := f.rules[e.rule]
	x := f.excepted(i, t, j)
	m := Match{
		Rule: r.ID, Verdict: countersign.Deny, Layer: string(r.Layer), Pos: r.Pos,
		Reason: r.Reason, Pattern: e.src, Won: won && x == nil, Holds: x == nil,
	}
	if x == nil {
		return []Match{m}
	}
	m.Note = "taken out by the exception " + x.from.ID
	return []Match{m, {
		Rule: x.from.ID, Layer: string(x.from.Layer), Pos: x.from.Pos,
		Reason: x.from.Reason, Pattern: x.src, Holds: true, Note: "an exception to " + r.ID,
	}}
}

// ExplainHost explains the verdict on a connection: of a port of the loopback, as
// a service of this machine.
func (p *Policy) ExplainHost(host string, port int) Explanation {
	n := countersign.Net{Proto: hosts.Host, Host: host, Port: port}
	if loopback.Is(hosts.Fold(host)) {
		n.Proto = hosts.Service
	}
	return p.explainNet(n, fmt.Sprintf("%s:%d", host, port))
}

// ExplainPublish explains the verdict on showing a port of the session's outside.
func (p *Policy) ExplainPublish(port int) Explanation {
	return p.explainNet(countersign.Net{Proto: hosts.Publish, Host: "localhost", Port: port}, fmt.Sprintf("publish port %d", port))
}

func (p *Policy) explainNet(n countersign.Net, question string) Explanation {
	ruling := p.Net(n)
	out := p.explanation(question, ruling)
	out.Why = whyVerdict(ruling, "the network is closed")
	for _, r := range p.hosts.Matching(n) {
		out.Matched = append(out.Matched, Match{
			Rule: r.ID, Verdict: r.Verdict, Layer: r.Layer, Pos: r.Pos,
			Reason: r.Reason, Won: r.ID == ruling.Rule, Holds: true,
		})
	}
	return out
}

// ExplainModel explains the verdict on a model.
func (p *Policy) ExplainModel(provider, model string) Explanation {
	r := p.Model(provider, model)
	out := p.explanation(provider+"/"+model, r)
	out.Why = "every layer that lists models must allow it"
	return out
}

// String renders the explanation for a terminal, one fact a line.
func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n", e.Verdict, e.Question)
	fmt.Fprintf(&b, "rule    %s (%s)\n", e.Rule, place2(e.Layer, e.Pos))
	fmt.Fprintf(&b, "reason  %s\n", e.Reason)
	fmt.Fprintf(&b, "why     %s\n", e.Why)
	for _, m := range e.Matched {
		mark := " "
		if m.Won {
			mark = "*"
		}
		verdict := string(m.Verdict)
		if verdict == "" {
			verdict = "except"
		}
		fmt.Fprintf(&b, "%s %-6s %s (%s)", mark, verdict, m.Rule, place2(m.Layer, m.Pos))
		if m.Pattern != "" {
			fmt.Fprintf(&b, " %s", m.Pattern)
		}
		fmt.Fprintf(&b, ": %s", m.Reason)
		if m.Note != "" {
			fmt.Fprintf(&b, " [%s]", m.Note)
		}
		b.WriteByte('\n')
	}
	for _, l := range e.Lends {
		fmt.Fprintf(&b, "lends   %s\n", l)
	}
	if e.Debugs {
		b.WriteString("debugs  it may trace what it starts, which is then not compared at its exec\n")
	}
	fmt.Fprintf(&b, "preset  %s\n", e.Preset)
	fmt.Fprintf(&b, "policy  %s", e.Bundle)
	return b.String()
}

func place2(layer, pos string) string {
	if pos == "" {
		return layer
	}
	return layer + ", " + pos
}
