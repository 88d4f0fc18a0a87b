package history

import (
	"testing"

	countersign "github.com/countersign/countersign"
)

// judge denies rm, allows ls, covers what is covered and asks for the rest; every
// path, host and model is denied.
type judge struct{}

func (judge) Exec(e *countersign.Exec, covered bool) countersign.Ruling {
	switch {
	case e.Argv[0] == "rm":
		return countersign.Ruling{Verdict: countersign.Deny, Rule: "no-rm"}
	case e.Argv[0] == "ls" && !e.Writable && len(e.Delta) == 0 || covered:
		return countersign.Ruling{Verdict: countersign.Allow, Rule: "ls"}
	}
	return countersign.Ruling{Verdict: countersign.Ask, Rule: "default"}
}

func (judge) File(string) countersign.Ruling { return countersign.Ruling{Verdict: countersign.Deny} }

func (judge) Net(countersign.Net) countersign.Ruling {
	return countersign.Ruling{Verdict: countersign.Deny}
}

func (judge) Model(_, _ string) countersign.Ruling {
	return countersign.Ruling{Verdict: countersign.Deny}
}

func decided(v countersign.Verdict, b countersign.Basis, rule string, argv ...string) countersign.Record {
	return countersign.Record{
		Type: "exec.decided", Session: "s", T: countersign.Time{Wall: "2026-01-02T03:04:05.000000006Z"}, Policy: &countersign.PolicyRecord{Rule: rule},
		Action:   &countersign.ActionRecord{Kind: countersign.KindExec, Argv: argv, Path: "/usr/bin/" + argv[0]},
		Decision: &countersign.DecisionRecord{Verdict: v, Basis: b},
	}
}

func with(r countersign.Record, change func(*countersign.Record)) countersign.Record {
	change(&r)
	return r
}

func TestWhatPolicyHadSaidIsAskedAgain(t *testing.T) {
	const allow, ask, deny = countersign.Allow, countersign.Ask, countersign.Deny
	for _, tt := range []struct {
		name     string
		r        countersign.Record
		was, now countersign.Verdict
	}{
		{"a person's yes was an ask", decided(allow, countersign.ByPerson, "default", "ls"), ask, allow},
		{"so was a person's no", decided(deny, countersign.ByPerson, "default", "ls"), ask, allow},
		{"so was nobody's answer", decided(deny, countersign.ByTimeout, "default", "make"), ask, ask},
		{"and a grant", decided(allow, countersign.ByGrant, "default", "rm"), ask, deny},
		{"a rule's allow", decided(allow, countersign.ByPolicy, "x", "make"), allow, ask},
		{"a rule's deny", decided(deny, countersign.ByPolicy, "x", "rm"), deny, deny},
		{"covered", with(decided(allow, countersign.ByCover, "covered", "make"), func(r *countersign.Record) { r.Parent = "p" }), allow, allow},
		{"covered, and denied now", decided(allow, countersign.ByCover, "covered", "rm"), allow, deny},
		{"git's configuration, under a parent", with(decided(allow, countersign.ByPerson, "default", "make"), func(r *countersign.Record) { r.Parent = "p" }), ask, ask},
		{"the agent's start is only denied", decided(allow, countersign.ByLaunch, "launch", "make"), allow, allow},
		{"the agent's start", decided(allow, countersign.ByLaunch, "launch", "rm"), allow, deny},
		{"where the session writes", with(decided(deny, countersign.ByHeadless, "default", "ls"), func(r *countersign.Record) { r.Action.Writable = true }), ask, ask},
		{"in another environment", with(decided(deny, countersign.ByHeadless, "default", "ls"), func(r *countersign.Record) { r.Action.Env = []string{"LD_PRELOAD"} }), ask, ask},
		{"a denied file", countersign.Record{Type: "file.denied", Action: &countersign.ActionRecord{Path: "/p/.env"}, Policy: &countersign.PolicyRecord{Rule: "env-files"}, Decision: &countersign.DecisionRecord{Verdict: deny, Basis: countersign.ByPolicy}}, deny, deny},
		{"a host", countersign.Record{Type: "net.decided", Action: &countersign.ActionRecord{Host: "a.x", Port: 443, Op: "tcp"}, Policy: &countersign.PolicyRecord{Rule: "a"}, Decision: &countersign.DecisionRecord{Verdict: allow, Basis: countersign.ByPolicy}}, allow, deny},
		{"a model", countersign.Record{Type: "model.request", Action: &countersign.ActionRecord{}, Model: &countersign.Model{Requested: "m"}, Policy: &countersign.PolicyRecord{Rule: "models-allow"}, Decision: &countersign.DecisionRecord{Verdict: allow, Basis: countersign.ByPolicy}}, allow, deny},
	} {
		p, ok := Of(tt.r)
		if !ok || !p.Whole {
			t.Errorf("%s: not asked about", tt.name)
			continue
		}
		if got := p.ask(judge{}).Verdict; p.Was != tt.was || got != tt.now {
			t.Errorf("%s: was %s, now %s; want %s, %s", tt.name, p.Was, got, tt.was, tt.now)
		}
	}
}

func TestWhatCannotBeAskedIsCountedNotGuessed(t *testing.T) {
	for name, r := range map[string]countersign.Record{
		"no decision":     {Type: "exec.started", Action: &countersign.ActionRecord{}, Policy: &countersign.PolicyRecord{}},
		"the sandbox's":   {Type: "file.denied", Action: &countersign.ActionRecord{Path: "/x"}, Policy: &countersign.PolicyRecord{Rule: "sandbox"}, Decision: &countersign.DecisionRecord{}},
		"a name asked":    {Type: "net.denied", Action: &countersign.ActionRecord{Host: "x", Port: 53, Op: "dns"}, Policy: &countersign.PolicyRecord{}, Decision: &countersign.DecisionRecord{}},
		"a budget's word": {Type: "model.request", Action: &countersign.ActionRecord{}, Model: &countersign.Model{Requested: "m"}, Policy: &countersign.PolicyRecord{Rule: "seat"}, Decision: &countersign.DecisionRecord{}},
	} {
		if _, ok := Of(r); ok {
			t.Errorf("%s: asked about", name)
		}
	}
	var past []Past
	for _, argv := range [][]string{{"ls", "aaa…"}, {"ls", "…", "b"}, {"ls", "--password=‹secret›"}, {"ls"}, {"ls"}} {
		p, _ := Of(decided(countersign.Allow, countersign.ByPerson, "default", argv...))
		past = append(past, p)
	}
	rep := Replay(past, judge{})
	if rep.Skipped != 3 || rep.Actions != 2 || rep.Changed != 2 || len(rep.Changes) != 1 || rep.Changes[0].Count != 2 || rep.Totals["ask to allow"] != 2 || rep.Changes[0].Last.Year() != 2026 {
		t.Errorf("%+v", rep)
	}
}
