package policy

import (
	"strings"
	"testing"

	countersign "github.com/countersign/countersign"
)

func TestLends(t *testing.T) {
	p := compile(t, BuiltIn(), parse(t, LayerOrganisation, `
lend:
  - {id: org-db, name: DB, from: "keyring:db", argv: [npm, run, migrate], reason: r}
`), parse(t, LayerUser, `
lend:
  - {id: own-db, name: DB, from: "env:DB", argv: [npm, run, "..."], reason: r}
  - {id: token, name: A_TOKEN, from: "cmd:pass show 'a token'", argv: [npm, run, migrate], env: [NODE_ENV], reason: r}
  - {id: own, name: DB, from: "file:/x/y", argv: ["./tool"], reason: r}
`)).At("/p", "/h")
	said := func(e *countersign.Exec) string {
		var out []string
		for _, l := range p.Lends(e) {
			out = append(out, l.Name+"="+l.From+" by "+l.Rule)
		}
		return strings.Join(out, ", ")
	}
	for _, tt := range []struct {
		what string
		e    *countersign.Exec
		want string
	}{
		{"the strongest layer's, sorted", run("npm", "run", "migrate"), "A_TOKEN=cmd:pass show 'a token' by token, DB=keyring:db by org-db"},
		{"whatever its environment", with(run("npm", "run", "migrate"), func(e *countersign.Exec) { e.Delta = []countersign.EnvChange{{Name: "LD_PRELOAD"}} }), "A_TOKEN=cmd:pass show 'a token' by token, DB=keyring:db by org-db"},
		{"any rest", run("npm", "run", "x", "y"), "DB=env:DB by own-db"},
		{"another command", run("npm", "install"), ""},
		{"one of that name in the project", with(run("npm", "run", "migrate"), func(e *countersign.Exec) { e.Writable = true }), ""},
		{"another told that name", with(run("npm", "run", "migrate"), func(e *countersign.Exec) { e.Invoked, e.Exe.Path = "/usr/bin/sh", "/usr/bin/sh" }), ""},
		{"a program of the project by its path", with(run("/p/tool"), func(e *countersign.Exec) { e.Writable = true }), "DB=file:/x/y by own"},
		{"no argv", &countersign.Exec{}, ""},
	} {
		if got := said(tt.e); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.what, got, tt.want)
		}
	}
	if r := p.Exec(run("npm", "run", "migrate"), false); r.Verdict != countersign.Ask {
		t.Errorf("lending decides: %+v", r)
	}
	if s := p.ExplainExec(run("npm", "run", "migrate")).String(); !strings.Contains(s, "\nlends   DB from keyring:db, by rule org-db;") {
		t.Errorf("explained as\n%s", s)
	}
	if compile(t, BuiltIn()).Lends(run("npm", "run", "migrate")) != nil {
		t.Error("lent without a rule")
	}
}

func TestLendFaults(t *testing.T) {
	const rule = `{id: a, name: DB, from: "env:X", argv: [x], reason: r}`
	for name, tt := range map[string]struct {
		layer Layer
		src   string
	}{
		"project":        {LayerProject, rule},
		"no source":      {LayerUser, strings.Replace(rule, "env:X", "hunter2hunter2", 1)},
		"unknown source": {LayerUser, strings.Replace(rule, "env:X", "vault:X", 1)},
		"relative file":  {LayerUser, strings.Replace(rule, "env:X", "file:x", 1)},
		"shell syntax":   {LayerUser, strings.Replace(rule, "env:X", "cmd:a | b", 1)},
		"code":           {LayerUser, strings.Replace(rule, "DB", "LD_PRELOAD", 1)},
		"no name":        {LayerUser, strings.Replace(rule, "DB", "1x", 1)},
		"any program":    {LayerUser, strings.Replace(rule, "[x]", `["*"]`, 1)},
		"nothing":        {LayerUser, `{id: a}`},
	} {
		if _, err := Parse(tt.layer, "p.yaml", []byte("version: 1\nlend:\n  - "+tt.src+"\n")); err == nil || countersign.RemedyOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	twice := parse(t, LayerUser, "lend:\n  - "+rule+"\ncommands:\n  - {id: a, verdict: ask, argv: [y], reason: r}\n")
	if _, err := Compile(BuiltIn(), twice); err == nil {
		t.Error("an id given twice")
	}
	a, b := compile(t, BuiltIn()), compile(t, BuiltIn(), parse(t, LayerUser, "lend:\n  - "+rule+"\n"))
	if a.Bundle() == b.Bundle() {
		t.Error("what is lent is not in the policy's digest")
	}
}
