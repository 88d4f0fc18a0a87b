package policy

import (
	"slices"
	"testing"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/policy/hosts"
)

func TestPortsOfTheLoopback(t *testing.T) {
	user := parse(t, LayerUser, `
network: [{id: h, verdict: ask, host: "*", reason: r}]
services:
  - {id: db, verdict: allow, port: 5432, reason: r}
  - {id: cache, verdict: allow, port: 6379, reason: r}
  - {id: other, verdict: ask, port: 9000, reason: r}
publish: [{id: web, verdict: allow, port: 3000, reason: r}]
`)
	project := parse(t, LayerProject, `
services:
  - {id: p-db, verdict: ask, port: 5432, reason: r}
  - {id: p-cache, verdict: deny, port: 6379, reason: r}
  - {id: p-new, verdict: ask, port: 7000, reason: r}
`)
	p := compile(t, BuiltIn(), user, project)
	tests := []struct {
		kind string
		port int
		want countersign.Verdict
		rule string
	}{
		{hosts.Service, 5432, "ask", "p-db"},
		{hosts.Service, 6379, "deny", "p-cache"},
		{hosts.Service, 7000, "deny", "default"}, // a project's ask opens nothing
		{hosts.Service, 9000, "ask", "other"},
		{hosts.Service, 3000, "deny", "default"}, // published is not reachable
		{hosts.Publish, 3000, "allow", "web"},
		{hosts.Publish, 5432, "deny", "default"},
		{hosts.Host, 5432, "ask", "h"},
	}
	for _, tt := range tests {
		if r := p.Net(countersign.Net{Proto: tt.kind, Host: "localhost", Port: tt.port}); r.Verdict != tt.want || r.Rule != tt.rule {
			t.Errorf("%s %d: %s by %s, want %s by %s", tt.kind, tt.port, r.Verdict, r.Rule, tt.want, tt.rule)
		}
	}
	if got := p.Hosts().Ports(hosts.Service); !slices.Equal(got, []int{5432, 9000}) {
		t.Errorf("%v", got)
	}
	if x := p.ExplainHost("127.0.0.1", 5432); x.Rule != "p-db" || len(x.Matched) != 2 {
		t.Errorf("%+v", x)
	}
	if x := p.ExplainPublish(3000); x.Rule != "web" {
		t.Errorf("%+v", x)
	}
	local := compile(t, BuiltIn(), user, parse(t, LayerProject, "models: {local_only: true}"))
	if local.Hosts().Open() || local.Net(countersign.Net{Proto: hosts.Service, Port: 5432}).Verdict != countersign.Allow {
		t.Error("local_only is about other machines")
	}
}

func TestDoorIsThereOnlyByRule(t *testing.T) {
	for src, want := range map[string]bool{
		"":                 false,
		"preset: standard": false,
		"services: [{id: a, verdict: allow, port: 5432, reason: r}]":                  false,
		"network: [{id: a, verdict: deny, host: \"*\", reason: r}]":                   false,
		"network: [{id: a, verdict: ask, host: \"*\", reason: r}]":                    true,
		"network: [{id: a, verdict: allow, host: example.com, port: 443, reason: r}]": true,
	} {
		if got := compile(t, BuiltIn(), parse(t, LayerUser, src)).Hosts().Open(); got != want {
			t.Errorf("%q: open %v", src, got)
		}
	}
	if compile(t, BuiltIn(), parse(t, LayerProject, "network: [{id: a, verdict: ask, host: x, reason: r}]")).Hosts().Open() {
		t.Error("a project opens the door")
	}
}
