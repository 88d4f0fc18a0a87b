package policy

import (
	"testing"

	countersign "github.com/countersign/countersign"
)

func TestLocalOnlyClosesEveryDoor(t *testing.T) {
	org := parse(t, LayerOrganisation, "network: [{id: n, verdict: allow, host: example.com, port: 443, reason: r}]")
	for _, d := range []*Document{parse(t, LayerUser, "models: {local_only: true}"), parse(t, LayerProject, "models: {local_only: true}")} {
		open, err := Compile(BuiltIn(), org, parse(t, LayerUser, "models: {local_only: false}"))
		if err != nil {
			t.Fatal(err)
		}
		closed, err := Compile(BuiltIn(), org, d)
		if err != nil {
			t.Fatal(err)
		}
		if open.Models().LocalOnly() != nil || open.Host("example.com", 443).Verdict != countersign.Allow {
			t.Error("false closes something")
		}
		r := closed.Models().LocalOnly()
		if r == nil || r.Rule != "models-local-only" || r.Verdict != countersign.Deny || r.Layer != string(d.Layer) || r.Bundle != closed.Bundle() {
			t.Fatalf("%+v", r)
		}
		if h := closed.Host("example.com", 443); h.Rule != r.Rule || h.Verdict != countersign.Deny {
			t.Errorf("a host is reached: %+v", h)
		}
		if open.Bundle() == closed.Bundle() {
			t.Error("both have one name")
		}
	}
}

func TestServed(t *testing.T) {
	const lists = `models: {allow: ["p/good*"], served: `
	tests := []struct {
		name, org, user string
		served          string
		want            countersign.Verdict
		watches         bool
	}{
		{"nobody says", `models: {allow: ["p/good*"]}`, "models: {}", "bad", "allow", false},
		{"recorded", lists + "recorded}", "models: {}", "bad", "allow", false},
		{"allowed, not allowed", lists + "allowed}", "models: {}", "bad", "deny", true},
		{"allowed, is", lists + "allowed}", "models: {}", "good-2", "allow", true},
		{"requested", lists + "requested}", "models: {}", "good-2", "deny", true},
		{"the strictest holds", lists + "recorded}", "models: {served: requested}", "good-2", "deny", true},
		{"whoever says it", lists + "requested}", "models: {served: recorded}", "good-2", "deny", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Compile(parse(t, LayerOrganisation, tt.org), parse(t, LayerUser, tt.user))
			if err != nil {
				t.Fatal(err)
			}
			if r := p.Models().Served("p", tt.served); r.Verdict != tt.want || r.Reason == "" || p.Models().Watches() != tt.watches {
				t.Errorf("%+v", r)
			}
		})
	}
	if _, err := Parse(LayerUser, "p.yaml", []byte("version: 1\nmodels: {served: never}\n")); err == nil {
		t.Error("an unknown word is taken")
	}
}

// A policy from before the later fields keeps its name.
func TestNameOfAnOlderPolicyStays(t *testing.T) {
	p, err := Compile(parse(t, LayerUser, `models: {allow: ["a/*"], deny: ["a/b"]}`))
	if err != nil {
		t.Fatal(err)
	}
	const was = "sha256:53a26f492c1a5d763ac7ac78474ca1e552177bf9cd4c193e32193556900ee191"
	if p.Bundle() != was {
		t.Errorf("%s", p.Bundle())
	}
}
