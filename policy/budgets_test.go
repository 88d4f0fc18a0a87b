package policy

import (
	"strings"
	"testing"

	countersign "github.com/countersign/countersign"
)

func TestBudgetsOfEveryLayerHold(t *testing.T) {
	org := parse(t, LayerOrganisation, "models:\n  budgets:\n    - {id: org-month, per: user, window: month, usd: 200.50, reason: what a seat may cost}\n")
	user := parse(t, LayerUser, "models:\n  budgets:\n    - {id: task, per: session, usd: \"5\", tokens: 1000000, requests: 50, models: [\"anthropic/*\"], unpriced: allow, reason: one task}\n")
	project := parse(t, LayerProject, "models: {budgets: [{id: pace, per: project, window: minute, requests: 10, reason: slow down}]}\n")
	p, err := Compile(BuiltIn(), org, user, project)
	if err != nil {
		t.Fatal(err)
	}
	all := p.Models().Limits()
	if len(all) != 3 {
		t.Fatalf("%+v", all)
	}
	if l := all[0]; l.Ruling.Rule != "org-month" || l.Ruling.Verdict != countersign.Deny || l.Ruling.Reason != "what a seat may cost" || l.Ruling.Layer != "organisation" || l.Ruling.Bundle != p.Bundle() || l.NanoUSD != 200_500_000_000 || l.Window != "month" || l.Unpriced || !l.Covers("any", "thing") {
		t.Errorf("%+v", l)
	}
	if l := all[1]; l.NanoUSD != 5_000_000_000 || l.Tokens != 1_000_000 || l.Requests != 50 || l.Window != "" || !l.Unpriced || !l.Covers("Anthropic", "Claude") || l.Covers("openai", "gpt") {
		t.Errorf("%+v", l)
	}
	without, err := Compile(BuiltIn(), user, project)
	if err != nil || without.Bundle() == p.Bundle() {
		t.Errorf("a policy keeps its name without a budget: %v", err)
	}
}

func TestBudgetsAreReadStrictly(t *testing.T) {
	for _, tt := range []struct{ budget, where, says string }{
		{"{id: a, per: user, window: day, usd: 1}", ":3:", "needs reason"},
		{"{id: a, per: user, usd: 1, reason: r}", ":3:", "needs window"},
		{"{id: a, per: session, reason: r}", ":3:", "needs usd, tokens or requests"},
		{"{per: session, usd: 1, reason: r}", ":3:", "needs id"},
		{"{id: a, usd: 1, reason: r}", ":3:", "needs per"},
		{"{id: a, per: session, usd: 0, reason: r}", ":3:", "more than 0"},
		{"{id: a, per: session, usd: -1, reason: r}", ":3:", "no amount"},
		{"{id: a, per: session, usd: 1e9, reason: r}", ":3:", "no amount"},
		{"{id: a, per: session, tokens: 0, reason: r}", ":3:", "whole number"},
		{"{id: a, per: session, tokens: 1.5, reason: r}", ":3:", "whole number"},
		{"{id: a, per: team, usd: 1, reason: r}", ":3:", "unknown value"},
		{"{id: a, per: user, window: year, usd: 1, reason: r}", ":3:", "unknown value"},
		{"{id: a, per: session, usd: 1, models: [], reason: r}", ":3:", "is empty"},
		{"{id: a, per: session, usd: 1, models: [x], reason: r}", ":3:", "names no provider"},
		{"{id: a, per: session, tokens: 1, unpriced: allow, reason: r}", ":3:", "bounds no money"},
		{"{id: a, per: session, usd: 1, upto: 1, reason: r}", ":3:", "unknown field"},
		{"{id: covered, per: session, usd: 1, reason: r}", ":3:", "reserved"},
	} {
		_, err := Parse(LayerUser, "p.yaml", []byte("version: 1\nmodels: {budgets: [\n  "+tt.budget+"]}\n"))
		if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "p.yaml"+tt.where) || countersign.RemedyOf(err) == "" && !strings.Contains(tt.says, "whole") {
			t.Errorf("%s: %v", tt.budget, err)
		}
	}
	twice := parse(t, LayerUser, "commands: [{id: a, verdict: ask, argv: [x], reason: r}]\nmodels: {budgets: [{id: a, per: session, usd: 1, reason: r}]}\n")
	if _, err := Compile(BuiltIn(), twice); err == nil || !strings.Contains(err.Error(), "taken") {
		t.Errorf("an id that is taken: %v", err)
	}
}
