package policy

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/strictyaml"
	"github.com/countersign/countersign/policy/paths"
)

const sample = `version: 1
files:
  deny:
    - {id: no-terraform-state, paths: ["*.tfstate"], reason: state holds secrets}
  write: review
commands:
  - {id: go-test, verdict: allow, argv: ["go", "test", "./*"], reason: runs project code in the sandbox, match: ["go test ./diff"], not_match: ["go test -exec=sh ./diff"]}
  - {id: push, verdict: ask, argv: ["git", "push", "..."], at: any-depth, approvers: 2, reason: leaves the machine}
network:
  - {id: docs, verdict: allow, host: pkg.example.com, port: 443, reason: library docs}
models:
  allow: ["anthropic/claude-*", "azure/*", "ollama/*"]
mcp: {}
approvals: {timeout: 15m, typed_confirmation: [push], passkey: [push]}
posture: {require: [exec-gate, file-deny, staging, network]}
`

func TestTheDesignsSample(t *testing.T) {
	d, err := Parse(LayerUser, "policy.yaml", []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	p := compile(t, BuiltIn(), d)
	want := Approvals{Timeout: 15 * time.Minute, TypedConfirmation: []string{"push"}, Passkey: []string{"push"}}
	if diff := cmp.Diff(want, p.Approvals()); diff != "" {
		t.Error(diff)
	}
	if got := p.Demands("push"); got != (Demands{Approvers: 2, Passkey: true, Typed: true}) {
		t.Errorf("%+v", got)
	}
	r := p.Exec(run("git", "push"), true)
	if r.Pos != "policy.yaml:8" || r.Layer != "user" {
		t.Errorf("%+v", r)
	}
	if f, denied := p.Path("x/a.tfstate"); !denied || f.ID == "" {
		t.Error("a.tfstate is open")
	}
}

func TestQuotedKeysAreKeys(t *testing.T) {
	d, err := Parse(LayerUser, "p", []byte(`{"version": 1, 'files': {"write": "review"}}`))
	if err != nil || d.Files.Write != "review" {
		t.Errorf("%v", err)
	}
}

func TestParseErrorsSayWhere(t *testing.T) {
	tests := []struct {
		name, src, where, says string
	}{
		{"unknown field", "version: 1\nfiles:\n  dney: []\n", "p.yaml:3:3", `unknown field "dney"`},
		{"unknown field in a rule", "version: 1\ncommands:\n  - id: a\n    verdict: ask\n    argv: [x]\n    reason: r\n    wehn: x\n", "p.yaml:7:5", `unknown field "wehn"`},
		{"key given twice", "version: 1\nmodels: {allow: []}\nmodels: {allow: []}\n", "p.yaml:3:1", "already"},
		{"key given twice in a flow", "version: 1\nmodels: {allow: [], allow: []}\n", "p.yaml:2:", ""},
		{"number for text", "version: 1\ncommands:\n  - {id: a, verdict: ask, argv: [sleep, 5], reason: r}\n", "p.yaml:3:41", "must be text"},
		{"text for list", "version: 1\nmodels: {allow: x}\n", "p.yaml:2:17", "must be a list"},
		{"list for mapping", "version: 1\nfiles: []\n", "p.yaml:2:8", "must be a mapping"},
		{"null section", "version: 1\nfiles:\n", "p.yaml:2", "must be a mapping, is empty"},
		{"no version", "files: {}\n", "p.yaml:1:1", "no version"},
		{"empty file", "", "p.yaml:1:1", "no version"},
		{"comment only", "# x\n", "p.yaml:1:1", "no version"},
		{"newer version", "version: 2\n", "p.yaml:1:10", "version 2 is newer than this program"},
		{"version as text", "version: \"1\"\n", "p.yaml:1:10", "whole number"},
		{"two documents", "version: 1\n---\nversion: 1\n", "p.yaml:3:1", "second YAML document"},
		{"anchor", "version: 1\nmodels: {allow: &a [\"x/y\"]}\n", "p.yaml:2:17", "anchor"},
		{"alias", "version: 1\nmodels: {allow: *a}\n", "p.yaml:2", ""},
		{"merge key", "version: 1\nfiles:\n  <<: {write: review}\n", "p.yaml:3:3", ""},
		{"tag", "version: 1\nfiles: {write: !!str review}\n", "p.yaml:2:", "tag"},
		{"broken YAML", "version: 1\nfiles: {write: review\n", "p.yaml:", ""},
		{"tab", "version: 1\nfiles:\n\twrite: review\n", "p.yaml:", ""},
		{"no id", "version: 1\ncommands:\n  - {verdict: ask, argv: [x], reason: r}\n", "p.yaml:3:5", "needs id"},
		{"no reason", "version: 1\ncommands:\n  - {id: a, verdict: ask, argv: [x]}\n", "p.yaml:3:5", "needs reason"},
		{"no argv", "version: 1\ncommands:\n  - {id: a, verdict: ask, argv: [], reason: r}\n", "p.yaml:3:5", "needs argv"},
		{"bad id", "version: 1\ncommands:\n  - {id: A b, verdict: ask, argv: [x], reason: r}\n", "p.yaml:3:10", "no rule id"},
		{"reserved id", "version: 1\ncommands:\n  - {id: default, verdict: ask, argv: [x], reason: r}\n", "p.yaml:3:10", "reserved"},
		{"bad verdict", "version: 1\ncommands:\n  - {id: a, verdict: maybe, argv: [x], reason: r}\n", "p.yaml:3:22", `unknown value "maybe"`},
		{"rest in the middle", "version: 1\ncommands:\n  - {id: a, verdict: ask, argv: [x, \"...\", y], reason: r}\n", "p.yaml:3:", "only at the end"},
		{"program with a slash", "version: 1\ncommands:\n  - {id: a, verdict: ask, argv: [bin/x], reason: r}\n", "p.yaml:3:", "absolute path"},
		{"blanket grant", "version: 1\ncommands:\n  - {id: a, verdict: allow, argv: [\"*\", \"...\"], reason: r}\n", "p.yaml:3:", "no blanket grant"},
		{"blanket grant by path", "version: 1\ncommands:\n  - {id: a, verdict: allow, argv: [\"/*\", \"...\"], reason: r}\n", "p.yaml:3:", "no blanket grant"},
		{"any-depth allow", "version: 1\ncommands:\n  - {id: a, verdict: allow, argv: [x], at: any-depth, reason: r}\n", "p.yaml:3:", "any-depth"},
		{"env on a deny", "version: 1\ncommands:\n  - {id: a, verdict: deny, argv: [x], env: [A], reason: r}\n", "p.yaml:3:", "env is for allow"},
		{"approvers on an allow", "version: 1\ncommands:\n  - {id: a, verdict: allow, argv: [x], approvers: 2, reason: r}\n", "p.yaml:3:", "nobody is asked"},
		{"negated pattern", "version: 1\nfiles: {deny: [{id: a, paths: [\"!x\"], reason: r}]}\n", "p.yaml:2:", "files.except"},
		{"pattern that climbs", "version: 1\nfiles: {deny: [{id: a, paths: [\"../x\"], reason: r}]}\n", "p.yaml:2:", "names nothing"},
		{"open bracket", "version: 1\nfiles: {deny: [{id: a, paths: [\"[a\"], reason: r}]}\n", "p.yaml:2:", `"["`},
		{"host with a scheme", "version: 1\nnetwork: [{id: a, verdict: deny, host: \"https://x\", reason: r}]\n", "p.yaml:2:", "no scheme"},
		{"host with a port", "version: 1\nnetwork: [{id: a, verdict: deny, host: \"x:80\", reason: r}]\n", "p.yaml:2:", "own field"},
		{"allow without a port", "version: 1\nnetwork: [{id: a, verdict: allow, host: x, reason: r}]\n", "p.yaml:2:", "names its port"},
		{"every host", "version: 1\nnetwork: [{id: a, verdict: allow, host: \"*\", port: 1, reason: r}]\n", "p.yaml:2:", "no blanket grant"},
		{"a private address", "version: 1\nnetwork: [{id: a, verdict: allow, host: 10.1.2.3, port: 1, reason: r}]\n", "p.yaml:2:", "is private"},
		{"metadata asked for", "version: 1\nnetwork: [{id: a, verdict: ask, host: \"::ffff:169.254.169.254\", reason: r}]\n", "p.yaml:2:", "another form"},
		{"localhost as a host", "version: 1\nnetwork: [{id: a, verdict: ask, host: localhost, reason: r}]\n", "p.yaml:2:", "the loopback"},
		{"a service on a door's port", "version: 1\nservices: [{id: a, verdict: allow, port: 4141, reason: r}]\n", "p.yaml:2:", "own doors"},
		{"a service without a port", "version: 1\nservices: [{id: a, verdict: allow, reason: r}]\n", "p.yaml:2:", "needs port"},
		{"mcp", "version: 1\nmcp: {servers: []}\n", "p.yaml:2:", "unknown field"},
		{"model without provider", "version: 1\nmodels: {allow: [gpt]}\n", "p.yaml:2:", "names no provider"},
		{"timeout without unit", "version: 1\napprovals: {timeout: 15}\n", "p.yaml:2:", ""},
		{"timeout of nothing", "version: 1\napprovals: {timeout: 0s}\n", "p.yaml:2:", "no time in range"},
		{"unknown mechanism", "version: 1\nposture: {require: [magic]}\n", "p.yaml:2:", `unknown value "magic"`},
		{"bidi in a reason", "version: 1\ncommands:\n  - {id: a, verdict: ask, argv: [x], reason: \"a\u202eb\"}\n", "p.yaml:3:", "invisible"},
		{"example with shell syntax", "version: 1\ncommands:\n  - {id: a, verdict: ask, argv: [x], reason: r, match: [\"x | y\"]}\n", "p.yaml:3:", "without shell syntax"},
		{"deep brackets", "version: 1\nfiles: " + strings.Repeat("[", 5000), "p.yaml:1:1", "too deeply"},
		{"not UTF-8", "version: 1\n# \xff\n", "p.yaml", "not UTF-8"},
		{"too large", strings.Repeat("#", strictyaml.MaxSource+1), "p.yaml", "more than such a file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(LayerUser, "p.yaml", []byte(tt.src))
			var e *countersign.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			if e.Code != countersign.EInvalid || !strings.HasPrefix(e.Thing, tt.where) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %s at %s: %v; want %q at %s", e.Code, e.Thing, err, tt.says, tt.where)
			}
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	rule := func(id, verdict string) string {
		return "commands: [{id: " + id + ", verdict: " + verdict + ", argv: [x], reason: r}]"
	}
	tests := []struct {
		name  string
		layer Layer
		src   string
		says  string
	}{
		{"project allow", LayerProject, rule("a", "allow"), "rule a: an allow in a project's policy"},
		{"project service allow", LayerProject, "services: [{id: a, verdict: allow, port: 1, reason: r}]", "rule a: an allow in a project's policy"},
		{"project publish allow", LayerProject, "publish: [{id: a, verdict: allow, port: 1, reason: r}]", "rule a: an allow in a project's policy"},
		{"one id in two sections", LayerUser, "services: [{id: a, verdict: allow, port: 1, reason: r}, {id: a, verdict: ask, port: 2, reason: r}]", "taken"},
		{"project host allow", LayerProject, "network: [{id: a, verdict: allow, host: x, port: 1, reason: r}]", "rule a: an allow in a project's policy"},
		{"project exception", LayerProject, "files: {except: [{id: a, rule: env-files, paths: [.env], reason: r}]}", "exception a in a project's policy"},
		{"project write", LayerProject, "files: {write: allow}", "files.write"},
		{"project models", LayerProject, "models: {allow: [\"a/b\"]}", "models.allow in a project's policy"},
		{"project preset", LayerProject, "preset: standard", "names no preset"},
		{"project timeout", LayerProject, "approvals: {timeout: 16m}", "longer than the 15m0s"},
		{"project posture", LayerProject, "posture: {require: [exec-gate]}", "lacks file-deny"},
		{"user timeout over the organisation's", LayerUser, "approvals: {timeout: 11m}", "longer than the 10m0s"},
		{"user posture under the organisation's", LayerUser, "posture: {require: [exec-gate]}", "lacks network"},
		{"user write against the organisation's", LayerUser, "files: {write: allow}", "where the layer above says review"},
		{"exception to the organisation's rule", LayerUser, "files: {except: [{id: a, rule: org-rule, paths: [x], reason: r}]}", "may not relax"},
		{"exception to no rule", LayerUser, "files: {except: [{id: a, rule: nope, paths: [x], reason: r}]}", `no rule "nope"`},
		{"id of a built-in rule", LayerUser, "files: {deny: [{id: env-files, paths: [x], reason: r}]}", "among the built-in rules"},
		{"id of the organisation's rule", LayerUser, rule("org-push", "ask"), "at organisation.yaml:"},
		{"id given twice", LayerUser, "commands: [{id: a, verdict: ask, argv: [x], reason: r}, {id: a, verdict: ask, argv: [y], reason: r}]", `rule id "a" is taken`},
		{"failing match", LayerUser, "commands: [{id: a, verdict: ask, argv: [x], reason: r, match: [\"x y\"]}]", `rule a: its example "x y" does not match`},
		{"failing not_match", LayerUser, "commands: [{id: a, verdict: ask, argv: [x, \"...\"], reason: r, not_match: [\"x y\"]}]", `rule a: its example "x y" matches, and must not`},
		{"failing path example", LayerProject, "files: {deny: [{id: a, paths: [x], reason: r, match: [y]}]}", `rule a: its example "y" does not match`},
		{"failing host example", LayerProject, "network: [{id: a, verdict: deny, host: x, reason: r, match: [y]}]", `rule a: its example "y" does not match`},
		{"failing exception example", LayerUser, "files: {except: [{id: a, rule: env-files, paths: [x], reason: r, match: [y]}]}", `rule a: its example "y" does not match`},
		{"typed confirmation of no rule", LayerUser, "approvals: {typed_confirmation: [nope]}", `no rule "nope"`},
		{"passkey of no rule", LayerUser, "approvals: {passkey: [nope]}", `no rule "nope"`},
		{"unknown preset", LayerUser, "preset: nope", `no preset "nope"`},
	}
	org := `
approvals: {timeout: 10m}
posture: {require: [exec-gate, network]}
files: {write: review, deny: [{id: org-rule, paths: [x], reason: r}]}
commands: [{id: org-push, verdict: ask, argv: [git, push], reason: r}]`
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			docs := []*Document{BuiltIn(), parse(t, tt.layer, tt.src)}
			if tt.layer == LayerUser {
				docs = append(docs, parse(t, LayerOrganisation, org))
			}
			_, err := Compile(docs...)
			var e *countersign.Error
			if !errors.As(err, &e) || e.Code != countersign.EInvalid || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("got %v, want %q", err, tt.says)
			}
			if !strings.HasPrefix(e.Thing, string(tt.layer)+".yaml:2:") {
				t.Errorf("at %s", e.Thing)
			}
		})
	}
}

func TestSettings(t *testing.T) {
	user := func(src string) *Document { return parse(t, LayerUser, src) }
	p := compile(t, BuiltIn())
	if p.Approvals().Timeout != 15*time.Minute || !slices.Equal(p.Posture(), []string{"exec-gate", "file-deny", "staging", "network"}) || !p.WriteReview("main.go") {
		t.Errorf("defaults: %+v %v", p.Approvals(), p.Posture())
	}
	p = compile(t, BuiltIn(), user("approvals: {timeout: 1h}\nposture: {require: [exec-gate]}\nfiles: {write: allow}"))
	if p.Approvals().Timeout != time.Hour || !slices.Equal(p.Posture(), []string{"exec-gate"}) {
		t.Errorf("the user's: %+v %v", p.Approvals(), p.Posture())
	}
	if p.WriteReview("main.go") || !p.WriteReview("AGENTS.md") || !p.WriteReview(".env") || !p.WriteReview("../x") {
		t.Error("files.write: allow spares ordinary paths and no other")
	}
	p = compile(t, BuiltIn(), user("approvals: {timeout: 1h}\nfiles: {write: allow}"),
		parse(t, LayerProject, "approvals: {timeout: 5m}\nfiles: {write: review}\nposture: {require: [exec-gate, file-deny, staging, network]}"))
	if p.Approvals().Timeout != 5*time.Minute || len(p.Posture()) != 4 || !p.WriteReview("main.go") {
		t.Errorf("a project tightens: %+v %v", p.Approvals(), p.Posture())
	}
}

func TestExceptionsOfTheUser(t *testing.T) {
	p := compile(t, BuiltIn(), parse(t, LayerUser, `files: {except: [{id: my-env, rule: env-files, paths: ["/.env.test", "sandbox/"], reason: no secrets}]}`))
	for path, want := range map[string]bool{".env.test": false, "a/.env.test": true, "sandbox/.env": false, "x/sandbox/.env": false, ".env": true, "sandbox/x.pem": true} {
		if _, denied := p.Path(path); denied != want {
			t.Errorf("%s: denied %v", path, denied)
		}
	}
	x := p.ExplainPath(".env.test")
	if x.Verdict != countersign.Allow || len(x.Matched) != 2 || x.Matched[1].Rule != "my-env" {
		t.Errorf("%+v", x)
	}
	if x := p.ExplainPath(".env"); x.Verdict != countersign.Deny || x.Rule != "env-files" || !x.Matched[0].Won {
		t.Errorf("%+v", x)
	}
	if !strings.Contains(p.ExplainPath("AGENTS.md").Why, "high risk") {
		t.Error("explain says nothing of the risk")
	}
}

func TestOneExceptionToSeveralRules(t *testing.T) {
	p := compile(t, BuiltIn(), parse(t, LayerUser, `files: {except: [{id: x, rule: [private-keys, secret-names, agent-configuration], paths: ["/lab/"], reason: r}]}`))
	for path, want := range map[string]bool{"lab/a.pem": false, "lab/secrets.json": false, "lab/.env": true, "a.pem": true, "x/lab/a.pem": true} {
		if _, denied := p.Path(path); denied != want {
			t.Errorf("%s: denied %v", path, denied)
		}
	}
	if risk, _ := p.Risk("lab/AGENTS.md"); risk != countersign.RiskNormal {
		t.Error("the exception to a high-risk rule does not hold")
	}
}

// Below a denied directory nothing opens, as its node covers all of it.
func TestNoExceptionBelowADeniedDirectory(t *testing.T) {
	p := compile(t, parse(t, LayerUser, `
files:
  deny: [{id: dir, paths: ["private/"], reason: r}]
  except: [{id: x, rule: dir, paths: ["private/readme.md", "open/private/"], reason: r}]`))
	for path, want := range map[string]bool{"private/readme.md": true, "private": true, "open/private/": false, "open/private/x": false, "open/private": false} {
		if _, denied := p.Path(path); denied != want {
			t.Errorf("%s: denied %v", path, denied)
		}
	}
}

func TestGitignorePatterns(t *testing.T) {
	tests := []struct{ pattern, match, not string }{
		{"foo", "foo a/foo foo/x a/foo/b FOO", "foobar a/xfoo"},
		{"/foo", "foo foo/x", "a/foo ~/foo"},
		{"a/b", "a/b a/b/c", "x/a/b b ~/a/b"},
		{"**/a/b", "a/b x/a/b x/y/a/b/c ~/a/b /a/b", "a/x/b"},
		{"a/**/b", "a/b a/x/b a/x/y/b", "b x/a/b"},
		{"a/**", "a/x a/x/y", "a b/a/x"},
		{"*.log", "x.log a/x.log .log", "x.logs log"},
		{"f*o", "fo foo fxo a/f.o", "fob"},
		{"f?o", "fxo féo", "fo fxxo"},
		{"[a-c]x", "ax bx CX", "dx x"},
		{"[!a]x", "bx", "ax"},
		{`\*x`, "*x", "ax"},
		{`\!x`, "!x", "x"},
		{"a\\ ", "a", "b"}, // a trailing space is dropped by name folding, as some file systems do
		{"~/x", "~/x ~/x/y", "x a/x /x"},
		{"~/a/*/c", "~/a/b/c ~/a/b/c/d", "~/a/c a/b/c"},
		{"Ünï", "ÜNÏ ünï u\u0308ni\u0308", "uni"},
		{"[]]x", "]x", "x"},
		{"a*b*c", "abc aXbYc aabbcc", "acb ab"},
	}
	for _, tt := range tests {
		p, err := paths.Compile(tt.pattern)
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
			continue
		}
		var none paths.Roots
		for _, s := range strings.Fields(tt.match) {
			if c := none.Cut(s, nil); !p.Covers(c, len(c.Names)) {
				t.Errorf("%s does not match %s", tt.pattern, s)
			}
		}
		for _, s := range strings.Fields(tt.not) {
			if c := none.Cut(s, nil); p.Covers(c, len(c.Names)) {
				t.Errorf("%s matches %s", tt.pattern, s)
			}
		}
	}
}

func TestAbsolutePathsOnceLocated(t *testing.T) {
	p := compile(t, BuiltIn(), parse(t, LayerUser, `files: {deny: [{id: a, paths: ["/data/x", "~/own"], reason: r}]}`)).At("/work/p", "/home/u")
	for path, want := range map[string]bool{"/work/p/data/x": true, "/work/q/data/x": false, "/home/u/own": true, "/home/uu/own": false, "/home/u/.ssh/x": true, "/work/p": false, "/": false, "": false} {
		if _, denied := p.Path(path); denied != want {
			t.Errorf("%s: denied %v", path, denied)
		}
	}
}

func TestBundleNamesTheContent(t *testing.T) {
	a := parse(t, LayerUser, "commands: [{id: a, verdict: ask, argv: [x], reason: r}]")
	b, err := Parse(LayerUser, "elsewhere.yaml", []byte("# comment\nversion: 1\n\ncommands:\n  - id: a\n    verdict: ask\n    argv: [x]\n    reason: r\n"))
	if err != nil {
		t.Fatal(err)
	}
	base := compile(t, BuiltIn(), a).Bundle()
	if compile(t, b, BuiltIn()).Bundle() != base {
		t.Error("comments, names or order change the bundle")
	}
	if !strings.HasPrefix(base, "sha256:") || len(base) != len("sha256:")+64 {
		t.Errorf("%q", base)
	}
	seen := map[string]string{base: "base"}
	for _, src := range []string{
		"commands: [{id: a, verdict: deny, argv: [x], reason: r}]", "commands: [{id: a, verdict: ask, argv: [y], reason: r}]",
		"commands: [{id: a, verdict: ask, argv: [x], reason: s}]", "commands: [{id: a, verdict: ask, argv: [x], at: any-depth, reason: r}]",
		"commands: [{id: a, verdict: ask, argv: [x], approvers: 2, reason: r}]", "commands: [{id: a, verdict: ask, argv: [x], alone: true, reason: r}]", "models: {allow: []}", "models: {deny: [\"a/b\"]}", "files: {write: allow}", "files: {write: review}",
		"approvals: {timeout: 1m}", "posture: {require: [exec-gate]}", "network: [{id: a, verdict: deny, host: x, reason: r}]", "preset: standard",
		"services: [{id: a, verdict: ask, port: 5432, reason: r}]", "publish: [{id: a, verdict: ask, port: 5432, reason: r}]",
	} {
		bundle := compile(t, BuiltIn(), parse(t, LayerUser, src)).Bundle()
		if other, dup := seen[bundle]; dup {
			t.Errorf("%s has the bundle of %s", src, other)
		}
		seen[bundle] = src
	}
}

func TestPresetsOnlyLoosenInSteps(t *testing.T) {
	for _, name := range presetNames {
		d, err := Preset(name)
		if err != nil {
			t.Fatal(err)
		}
		p := compile(t, BuiltIn(), d)
		named := compile(t, BuiltIn(), parse(t, LayerUser, "preset: "+name))
		for _, e := range []*countersign.Exec{run("git", "status"), run("sh", "-c", "x"), run("npm", "test"), run("npm", "run", "x"), run("make"), run("/p/x"), run("curl", "x"), run("go", "build", "./...")} {
			r := p.Exec(e, false)
			if r.Verdict != named.Exec(e, false).Verdict {
				t.Errorf("%s named by a layer differs", name)
			}
			if name == "strict" && r.Verdict != countersign.Ask {
				t.Errorf("strict: %v is %s", e.Argv, r.Verdict)
			}
			switch e.Argv[0] {
			case "sh", "npm", "make", "/p/x", "curl":
				if r.Verdict == countersign.Allow {
					t.Errorf("%s allows %v", name, e.Argv)
				}
			}
		}
	}
	compile(t, BuiltIn(), parse(t, LayerOrganisation, "preset: standard"), parse(t, LayerUser, "preset: trusted-workspace"))
	if _, err := PresetSource("../builtin"); countersign.CodeOf(err) != countersign.ENotFound {
		t.Errorf("%v", err)
	}
}

// The published schema and the parser must know the same fields.
func TestSchemaHasTheParsersFields(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	props := func(path ...string) []string {
		m := schema
		for _, k := range path {
			m, _ = m[k].(map[string]any)
		}
		if m["additionalProperties"] != false {
			t.Errorf("%v lets unknown fields pass", path)
		}
		ps, _ := m["properties"].(map[string]any)
		out := []string{}
		for k := range ps {
			out = append(out, k)
		}
		slices.Sort(out)
		return out
	}
	fieldsOf := func(src, marker string) []string {
		_, err := Parse(LayerUser, "p", []byte("version: 1\n"+src))
		list := strings.Split(strings.TrimPrefix(countersign.RemedyOf(err), "fields here: "), ", ")
		if err == nil || !strings.Contains(err.Error(), "zzz") {
			t.Fatalf("%s: %v", marker, err)
		}
		slices.Sort(list)
		return list
	}
	for _, tt := range []struct {
		src  string
		path []string
	}{
		{"zzz: 1", nil},
		{"files: {zzz: 1}", []string{"properties", "files"}},
		{"files: {deny: [{zzz: 1}]}", []string{"$defs", "fileRule"}},
		{"files: {except: [{zzz: 1}]}", []string{"$defs", "except"}},
		{"commands: [{zzz: 1}]", []string{"$defs", "command"}},
		{"lend: [{zzz: 1}]", []string{"$defs", "lend"}},
		{"network: [{zzz: 1}]", []string{"$defs", "host"}},
		{"services: [{zzz: 1}]", []string{"$defs", "port"}},
		{"publish: [{zzz: 1}]", []string{"$defs", "port"}},
		{"models: {zzz: 1}", []string{"properties", "models"}},
		{"models: {secrets: {zzz: 1}}", []string{"properties", "models", "properties", "secrets"}},
		{"models: {secrets: {answers: {zzz: 1}}}", []string{"properties", "models", "properties", "secrets", "properties", "answers"}},
		{"approvals: {zzz: 1}", []string{"properties", "approvals"}},
		{"posture: {zzz: 1}", []string{"properties", "posture"}},
	} {
		if diff := cmp.Diff(fieldsOf(tt.src, tt.src), props(tt.path...)); diff != "" {
			t.Errorf("%s:\n%s", tt.src, diff)
		}
	}
}
