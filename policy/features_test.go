package policy

import (
	"strings"
	"testing"

	countersign "github.com/countersign/countersign"
)

func TestFeatures(t *testing.T) {
	org := parse(t, LayerOrganisation, `models: {features: [server-tools, "stored-responses/by-default"]}`)
	none := parse(t, LayerOrganisation, `models: {features: []}`)
	user := parse(t, LayerUser, `models: {features: ["server-tools/web_search*", batch]}`)
	tests := []struct {
		name, kind, detail string
		docs               []*Document
		want               countersign.Verdict
		rule               string
	}{
		{"nobody says", "server-tools", "web_search", []*Document{BuiltIn()}, "deny", "default"},
		{"organisation, all of a kind", "server-tools", "code_execution_20250825", []*Document{BuiltIn(), org}, "allow", "models-features"},
		{"organisation, one of a kind", "stored-responses", "by-default", []*Document{org}, "allow", "models-features"},
		{"organisation, another of the kind", "stored-responses", "store", []*Document{org}, "deny", "models-features"},
		{"user alone", "batch", "messages", []*Document{user}, "allow", "models-features"},
		{"user cannot widen", "batch", "messages", []*Document{org, user}, "deny", "models-features"},
		{"user narrows", "server-tools", "code_execution", []*Document{org, user}, "deny", "models-features"},
		{"both", "server-tools", "Web_Search_20250305", []*Document{org, user}, "allow", "models-features"},
		{"an empty list closes", "batch", "messages", []*Document{none, user}, "deny", "models-features"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Compile(tt.docs...)
			if err != nil {
				t.Fatal(err)
			}
			if r := p.Feature(tt.kind, tt.detail); r.Verdict != tt.want || r.Rule != tt.rule || r.Reason == "" || r.Bundle != p.Bundle() {
				t.Errorf("%+v", r)
			}
		})
	}
	with, err := Compile(none)
	if err != nil {
		t.Fatal(err)
	}
	if without, err := Compile(parse(t, LayerOrganisation, `models: {}`)); err != nil || without.Bundle() == with.Bundle() {
		t.Error("an empty list and none have one name")
	}
	for _, bad := range []string{`[web-search]`, `["server-tools/"]`, `["*"]`, `[""]`} {
		if _, err := Parse(LayerUser, "p.yaml", []byte("version: 1\nmodels: {features: "+bad+"}\n")); err == nil || !strings.Contains(err.Error(), "feature") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := Compile(parse(t, LayerProject, `models: {features: [batch]}`)); err == nil {
		t.Error("a project's policy allows features")
	}
}
