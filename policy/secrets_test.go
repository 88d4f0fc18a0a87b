package policy

import (
	"strings"
	"testing"
)

func TestSecrets(t *testing.T) {
	org := parse(t, LayerOrganisation, `models: {secrets: {verdict: redact, rules: [{rule: "gitlab-*", verdict: block}, {rule: gitlab-ptt, verdict: flag}, {rule: generic-api-key, verdict: redact}]}}`)
	answers := parse(t, LayerOrganisation, `models: {secrets: {answers: {rules: [{rule: "private-key*", verdict: block}]}}}`)
	mild := parse(t, LayerUser, `models: {secrets: {verdict: flag, rules: [{rule: gitlab-pat, verdict: flag}]}}`)
	strict := parse(t, LayerProject, `models: {secrets: {verdict: block, rules: [{rule: provider-key, verdict: flag}]}}`)
	loose := parse(t, LayerProject, `models: {secrets: {verdict: flag, rules: [{rule: "*", verdict: flag}]}}`)
	tests := []struct {
		name        string
		docs        []*Document
		rule        string
		low, answer bool
		want, layer string
	}{
		{"nobody says", nil, "github-pat", false, false, "redact", "built-in"},
		{"nobody says, ordinary code has such too", nil, "generic-api-key", true, false, "flag", "built-in"},
		{"nobody says, a key in use", nil, "provider-key", false, false, "block", "built-in"},
		{"nobody says, in an answer", nil, "provider-key", false, true, "flag", "built-in"},
		{"verdict", []*Document{org}, "github-pat", false, false, "redact", "organisation"},
		{"verdict, of answers too", []*Document{org}, "github-pat", false, true, "flag", "built-in"},
		{"a pattern", []*Document{org}, "gitlab-pat", false, false, "block", "organisation"},
		{"a name before a pattern", []*Document{org}, "gitlab-ptt", false, false, "flag", "organisation"},
		{"ordinary code, by name", []*Document{org}, "generic-api-key", true, false, "redact", "organisation"},
		{"ordinary code, not by verdict", []*Document{org}, "hashicorp-tf-password", true, false, "flag", "built-in"},
		{"the user relaxes what is built in", []*Document{mild}, "github-pat", false, false, "flag", "user"},
		{"the user cannot relax the organisation's", []*Document{org, mild}, "github-pat", false, false, "redact", "organisation"},
		{"nor one of its rules", []*Document{org, mild}, "gitlab-pat", false, false, "block", "organisation"},
		{"a project tightens", []*Document{org, strict}, "github-pat", false, false, "block", "project"},
		{"a project cannot relax what is built in", []*Document{loose}, "github-pat", false, false, "redact", "built-in"},
		{"nor a key in use", []*Document{strict}, "provider-key", false, false, "block", "built-in"},
		{"nor the organisation's", []*Document{org, loose}, "gitlab-pat", false, false, "block", "organisation"},
		{"answers", []*Document{answers}, "private-key-open", false, true, "block", "organisation"},
		{"answers, another", []*Document{answers}, "jwt", false, true, "flag", "built-in"},
		{"answers do not touch requests", []*Document{answers}, "private-key", false, false, "redact", "built-in"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Compile(append([]*Document{BuiltIn()}, tt.docs...)...)
			if err != nil {
				t.Fatal(err)
			}
			word, by := p.Models().Secret(tt.rule, tt.low, tt.answer)
			if word != tt.want || by.Layer != tt.layer || by.Rule != "models-secrets" || by.Reason == "" || by.Bundle != p.Bundle() {
				t.Errorf("%s by %+v", word, by)
			}
		})
	}
	holds, err := Compile(answers)
	if err != nil || !holds.Models().HoldsAnswers() {
		t.Error("a rule that blocks answers does not hold them", err)
	}
	if p, err := Compile(org); err != nil || p.Models().HoldsAnswers() || p.Bundle() == holds.Bundle() {
		t.Error(err)
	}
	for _, bad := range []string{"{verdict: deny}", "{rules: [{rule: x}]}", "{rules: [{verdict: flag}]}", "{rules: [{rule: A, verdict: flag}]}", `{rules: [{rule: "a*b", verdict: flag}]}`, `{rules: [{rule: "", verdict: flag}]}`, "{answers: {verdict: redact}}", "{rules: [{rule: a, verdict: flag}, {rule: a, verdict: block}]}"} {
		_, err := Parse(LayerUser, "p.yaml", []byte("version: 1\nmodels: {secrets: "+bad+"}\n"))
		if err == nil || !strings.Contains(err.Error(), "models.secrets") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
