package policy

import (
	"strings"
	"testing"

	countersign "github.com/countersign/countersign"
)

// parse parses a layer whose text needs no version line.
func parse(t testing.TB, l Layer, src string) *Document {
	t.Helper()
	d, err := Parse(l, string(l)+".yaml", []byte("version: 1\n"+src))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func compile(t testing.TB, docs ...*Document) *Policy {
	t.Helper()
	p, err := Compile(docs...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// run makes the exec of a command whose program lies in /usr/bin.
func run(argv ...string) *countersign.Exec {
	path := argv[0]
	if !strings.HasPrefix(path, "/") {
		path = "/usr/bin/" + path
	}
	return &countersign.Exec{Argv: argv, Cwd: "/p", Invoked: path, Exe: countersign.Executable{Path: path}, Hops: []string{path}}
}

func with(e *countersign.Exec, change func(*countersign.Exec)) *countersign.Exec {
	change(e)
	return e
}

const execRules = `
commands:
  - {id: go-test, verdict: allow, argv: ["go", "test", "./*"], reason: r, match: ["go test ./diff"], not_match: ["go test -exec=sh ./diff"]}
  - {id: git-log, verdict: allow, argv: ["git", "log", "..."], env: [GIT_PAGER], reason: r}
  - {id: sh-allowed, verdict: allow, argv: ["dash", "..."], script: "./ok/*.sh", reason: r}
  - {id: tool, verdict: allow, argv: ["./bin/tool", "..."], reason: r}
  - {id: pinned, verdict: allow, argv: ["/opt/x", "..."], sha256: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", reason: r}
  - {id: push, verdict: ask, argv: ["git", "push", "..."], at: any-depth, reason: r}
  - {id: commit, verdict: ask, argv: ["git", "commit", "..."], reason: r}
  - {id: no-curl, verdict: deny, argv: ["curl", "..."], reason: r}
  - {id: no-rm, verdict: deny, argv: ["rm", "-rf", "/*"], reason: r}
  - {id: no-python, verdict: deny, argv: ["python3*", "..."], reason: r}
  - {id: no-evil, verdict: deny, argv: ["bash", "..."], script: "evil.sh", reason: r}
  - {id: no-path, verdict: deny, argv: ["/usr/sbin/*", "..."], reason: r}
  - {id: literal, verdict: allow, argv: ["echo", '\*', '\...'], reason: r}
`

func TestExec(t *testing.T) {
	p := compile(t, BuiltIn(), parse(t, LayerUser, execRules)).At("/p", "/home/u")
	env := func(names ...string) func(*countersign.Exec) {
		return func(e *countersign.Exec) {
			for _, n := range names {
				e.Delta = append(e.Delta, countersign.EnvChange{Name: n, Value: "x"})
			}
		}
	}
	tests := []struct {
		name    string
		e       *countersign.Exec
		covered bool
		want    countersign.Verdict
		rule    string
	}{
		{"allowed", run("go", "test", "./diff"), false, "allow", "go-test"},
		{"another argument asks", run("go", "test", "-exec=sh", "./diff"), false, "ask", "default"},
		{"fewer arguments ask", run("go", "test"), false, "ask", "default"},
		{"more arguments ask", run("go", "test", "./a", "./b"), false, "ask", "default"},
		{"one joined argument asks", run("go", "test ./diff"), false, "ask", "default"},
		{"rest may be empty", run("git", "log"), false, "allow", "git-log"},
		{"rest may be long", run("git", "log", "-p", "--all"), false, "allow", "git-log"},
		{"unknown asks", run("make"), false, "ask", "default"},
		{"unknown below an approved command is covered", run("make"), true, "allow", "covered"},
		{"harmless environment", with(run("go", "test", "./a"), env("PWD", "SHLVL", "_")), false, "allow", "go-test"},
		{"environment that counts asks", with(run("go", "test", "./a"), env("GOFLAGS")), false, "ask", "default"},
		{"environment the rule names", with(run("git", "log"), env("GIT_PAGER")), false, "allow", "git-log"},
		{"environment of another rule asks", with(run("git", "log"), env("GIT_PAGER", "GIT_EXTERNAL_DIFF")), false, "ask", "default"},
		{"an unset variable counts too", with(run("go", "test", "./a"), func(e *countersign.Exec) {
			e.Delta = []countersign.EnvChange{{Name: "GOFLAGS", Unset: true}}
		}), false, "ask", "default"},
		{"a program where the session writes asks", with(run("go", "test", "./a"), func(e *countersign.Exec) { e.Writable = true }), false, "ask", "default"},
		{"a deny holds there too", with(run("curl", "x"), func(e *countersign.Exec) { e.Writable = true }), false, "deny", "no-curl"},
		{"a false argv[0] gets no allow", with(run("go", "test", "./a"), func(e *countersign.Exec) { e.Invoked, e.Exe.Path = "/usr/bin/vim", "/usr/bin/vim" }), false, "ask", "default"},
		{"nor the other way round", with(run("sh", "test", "./a"), func(e *countersign.Exec) { e.Invoked, e.Exe.Path = "/usr/bin/go", "/usr/bin/go" }), false, "ask", "default"},
		{"deny by resolved name", with(run("fetch", "x"), func(e *countersign.Exec) { e.Exe.Path = "/usr/bin/curl" }), false, "deny", "no-curl"},
		{"deny by invoked name", with(run("curl", "x"), func(e *countersign.Exec) { e.Exe.Path = "/usr/bin/busybox" }), false, "deny", "no-curl"},
		{"deny by the name it is told", with(run("busybox"), func(e *countersign.Exec) { e.Argv = []string{"curl", "x"} }), false, "deny", "no-curl"},
		{"deny by a link between", with(run("a"), func(e *countersign.Exec) {
			e.Hops = []string{"/usr/bin/a", "/etc/alternatives/curl", "/usr/bin/b"}
			e.Exe.Path = "/usr/bin/b"
		}), false, "deny", "no-curl"},
		{"deny holds below an approved command", run("curl"), true, "deny", "no-curl"},
		{"deny by interpreter", with(run("/p/x"), func(e *countersign.Exec) { e.Interp = []countersign.Executable{{Path: "/usr/bin/python3.12"}} }), false, "deny", "no-python"},
		{"a pattern in the program", run("python3.12", "-c", "1"), false, "deny", "no-python"},
		{"star within an argument", run("rm", "-rf", "/etc"), false, "deny", "no-rm"},
		{"not another number of arguments", run("rm", "-rf", "/etc", "x"), false, "ask", "default"},
		{"any-depth asks below an approved command", run("git", "push"), true, "ask", "push"},
		{"a plain ask does not", run("git", "commit"), true, "allow", "covered"},
		{"a plain ask", run("git", "commit", "-m", "x"), false, "ask", "commit"},
		{"deny by script", with(run("bash", "evil.sh"), func(e *countersign.Exec) { e.Scripts = []countersign.Script{{Path: "/p/a/evil.sh"}} }), false, "deny", "no-evil"},
		{"deny by script, case folded", with(run("bash", "EVIL.sh"), func(e *countersign.Exec) { e.Scripts = []countersign.Script{{Path: "/p/EVIL.sh"}} }), false, "deny", "no-evil"},
		{"another script asks", with(run("bash", "x.sh"), func(e *countersign.Exec) { e.Scripts = []countersign.Script{{Path: "/p/x.sh"}} }), false, "ask", "default"},
		{"allow by script", with(run("dash", "ok/a.sh"), func(e *countersign.Exec) { e.Scripts = []countersign.Script{{Path: "/p/ok/a.sh"}} }), false, "allow", "sh-allowed"},
		{"allow by script, outside the project", with(run("dash", "ok/a.sh"), func(e *countersign.Exec) { e.Scripts = []countersign.Script{{Path: "/tmp/ok/a.sh"}} }), false, "ask", "default"},
		{"allow by script, none", run("dash", "-c", "x"), false, "ask", "default"},
		{"allow by script, a second one", with(run("dash", "ok/a.sh", "b.sh"), func(e *countersign.Exec) {
			e.Scripts = []countersign.Script{{Path: "/p/ok/a.sh"}, {Path: "/p/b.sh"}}
		}), false, "ask", "default"},
		{"allow by path in the project", with(run("/p/bin/tool", "x"), func(e *countersign.Exec) { e.Writable = true }), false, "allow", "tool"},
		{"not elsewhere", run("/q/bin/tool", "x"), false, "ask", "default"},
		{"not when it leads elsewhere", with(run("/p/bin/tool"), func(e *countersign.Exec) { e.Exe.Path = "/p/evil" }), false, "ask", "default"},
		{"allow by content", with(run("/opt/x"), func(e *countersign.Exec) { e.Exe.SHA256 = strings.Repeat("a", 64) }), false, "allow", "pinned"},
		{"other content asks", with(run("/opt/x"), func(e *countersign.Exec) { e.Exe.SHA256 = strings.Repeat("b", 64) }), false, "ask", "default"},
		{"deny by path", run("/usr/sbin/iptables", "-F"), false, "deny", "no-path"},
		{"deny by path through a link", with(run("ipt"), func(e *countersign.Exec) { e.Exe.Path = "/usr/sbin/xtables" }), false, "deny", "no-path"},
		{"escaped wildcards are letters", run("echo", "*", "..."), false, "allow", "literal"},
		{"and nothing else", run("echo", "x", "..."), false, "ask", "default"},
		{"no arguments at all asks", &countersign.Exec{Invoked: "/usr/bin/git", Exe: countersign.Executable{Path: "/usr/bin/git"}}, false, "ask", "default"},
		{"no arguments at all is denied", &countersign.Exec{Invoked: "/usr/bin/curl", Exe: countersign.Executable{Path: "/usr/bin/curl"}}, false, "deny", "no-curl"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := p.Exec(tt.e, tt.covered)
			if got.Verdict != tt.want || got.Rule != tt.rule {
				t.Errorf("got %s by %s, want %s by %s", got.Verdict, got.Rule, tt.want, tt.rule)
			}
			if got.Bundle != p.Bundle() || got.Reason == "" || got.Layer == "" {
				t.Errorf("an incomplete ruling: %+v", got)
			}
			if x := p.ExplainExec(tt.e); !tt.covered && (x.Verdict != got.Verdict || x.Rule != got.Rule) {
				t.Errorf("explain says %s by %s", x.Verdict, x.Rule)
			}
		})
	}
}

// An ask that demands more of the person must not be hidden by a plain one,
// which even a project may add.
func TestTheMostDemandingAskWins(t *testing.T) {
	user := parse(t, LayerUser, `commands: [{id: push, verdict: ask, argv: [git, push, "..."], approvers: 2, reason: r}]`)
	project := parse(t, LayerProject, `commands: [{id: any-git, verdict: ask, argv: [git, "..."], reason: r}]`)
	for _, docs := range [][]*Document{{user, project}, {project, user}} {
		p := compile(t, docs...)
		if r := p.Exec(run("git", "push"), false); r.Rule != "push" {
			t.Errorf("%s won", r.Rule)
		}
		if what, unmet := p.Unmet("push"); !unmet || !strings.Contains(what, "2 approvers") {
			t.Errorf("unmet %v: %q", unmet, what)
		}
		if _, unmet := p.Unmet("any-git"); unmet {
			t.Error("a plain ask is unmet")
		}
	}
}

func TestHost(t *testing.T) {
	p := compile(t, parse(t, LayerUser, `
network:
  - {id: docs, verdict: allow, host: pkg.example.com, port: 443, reason: r, match: ["pkg.example.com", "pkg.example.com:443"], not_match: ["pkg.example.com:80"]}
  - {id: sub, verdict: allow, host: "*.example.org", port: 443, reason: r}
  - {id: bad, verdict: deny, host: "bad.example.org", reason: r}
  - {id: six, verdict: ask, host: "2606:4700:0::1", port: 8080, reason: r}
`))
	tests := []struct {
		host string
		port int
		want countersign.Verdict
		rule string
	}{
		{"pkg.example.com", 443, "allow", "docs"},
		{"PKG.Example.com.", 443, "allow", "docs"},
		{"pkg.example.com", 80, "deny", "default"},
		{"x.pkg.example.com", 443, "deny", "default"},
		{"evilpkg.example.com", 443, "deny", "default"},
		{"a.example.org", 443, "allow", "sub"},
		{"a.b.example.org", 443, "allow", "sub"},
		{"example.org", 443, "deny", "default"},
		{".example.org", 443, "deny", "default"},
		{"evilexample.org", 443, "deny", "default"},
		{"bad.example.org", 443, "deny", "bad"},
		{"[2606:4700:0:0::1]", 8080, "ask", "six"},
		{"", 443, "deny", "default"},
	}
	for _, tt := range tests {
		r := p.Host(tt.host, tt.port)
		if r.Verdict != tt.want || r.Rule != tt.rule {
			t.Errorf("%s:%d: %s by %s, want %s by %s", tt.host, tt.port, r.Verdict, r.Rule, tt.want, tt.rule)
		}
		if x := p.ExplainHost(tt.host, tt.port); x.Verdict != r.Verdict {
			t.Errorf("explain says %s", x.Verdict)
		}
	}
}

func TestModel(t *testing.T) {
	org := parse(t, LayerOrganisation, `models: {allow: ["anthropic/claude-*", "ollama/*"], deny: ["*/*-preview"]}`)
	user := parse(t, LayerUser, `models: {allow: ["anthropic/*"]}`)
	project := parse(t, LayerProject, `models: {deny: ["*/claude-old*"]}`)
	tests := []struct {
		name  string
		docs  []*Document
		model string
		want  countersign.Verdict
		rule  string
	}{
		{"nothing said", nil, "a/b", "deny", "default"},
		{"built-in", []*Document{BuiltIn()}, "a/b/c", "allow", "models-allow"},
		{"organisation narrows", []*Document{BuiltIn(), org}, "openai/gpt", "deny", "models-allow"},
		{"organisation allows", []*Document{BuiltIn(), org}, "Anthropic/Claude-x", "allow", "models-allow"},
		{"a model with slashes", []*Document{BuiltIn(), org}, "ollama/hf.co/x/y", "allow", "models-allow"},
		{"user cannot widen", []*Document{org, user}, "anthropic/other", "deny", "models-allow"},
		{"user narrows", []*Document{org, user}, "ollama/x", "deny", "models-allow"},
		{"deny wins", []*Document{org}, "anthropic/claude-preview", "deny", "models-deny"},
		{"project may deny", []*Document{org, project}, "anthropic/claude-old-1", "deny", "models-deny"},
		{"an empty list allows nothing", []*Document{BuiltIn(), parse(t, LayerUser, "models: {allow: []}")}, "a/b", "deny", "models-allow"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			provider, model, _ := strings.Cut(tt.model, "/")
			r := compile(t, tt.docs...).Model(provider, model)
			if r.Verdict != tt.want || r.Rule != tt.rule {
				t.Errorf("%s by %s, want %s by %s", r.Verdict, r.Rule, tt.want, tt.rule)
			}
		})
	}
}

// What gives something up is said by a rule that nothing plainer stands beside, and
// by no project.
func TestDebugsIsSaidAlone(t *testing.T) {
	p := compile(t, BuiltIn(), parse(t, LayerOrganisation, `
commands:
  - {id: gdb, verdict: ask, argv: [gdb, "..."], reason: r}
`), parse(t, LayerUser, `
commands:
  - {id: dlv, verdict: allow, argv: [dlv, "..."], debugs: true, reason: r}
  - {id: gdb-mine, verdict: ask, argv: [gdb, "..."], debugs: true, reason: r}
  - {id: strace, verdict: ask, argv: [strace, "..."], debugs: true, reason: r}
`))
	for cmd, want := range map[string]countersign.Ruling{"dlv": {Rule: "dlv", Debugs: true}, "gdb": {Rule: "gdb"}, "strace": {Rule: "strace", Debugs: true}} {
		if got := p.Exec(run(cmd, "x"), false); got.Rule != want.Rule || got.Debugs != want.Debugs {
			t.Errorf("%s: %+v", cmd, got)
		}
		if said := p.ExplainExec(run(cmd, "x")).String(); strings.Contains(said, "may trace what it starts") != want.Debugs {
			t.Errorf("%s is explained as\n%s", cmd, said)
		}
	}
	for layer, text := range map[Layer]string{
		LayerProject:      `{id: a, verdict: ask, argv: [dlv], debugs: true, reason: r}`,
		LayerUser:         `{id: a, verdict: deny, argv: [dlv], debugs: true, reason: r}`,
		LayerOrganisation: `{id: a, verdict: ask, argv: [dlv], debugs: true, alone: true, reason: r}`,
	} {
		if _, err := Parse(layer, "p.yaml", []byte("version: 1\ncommands: ["+text+"]\n")); err == nil || !strings.Contains(err.Error(), "debugs") {
			t.Errorf("%s: %s: %v", layer, text, err)
		}
	}
}

// What covers wins among allows, what does not among asks.
func TestAloneCoversNothing(t *testing.T) {
	p := compile(t, BuiltIn(), parse(t, LayerOrganisation, `
commands:
  - {id: look, verdict: allow, argv: [git, status], alone: true, reason: r}
  - {id: look-all, verdict: allow, argv: [git, log], alone: true, reason: r}
  - {id: push, verdict: ask, argv: [git, push], reason: r}
`), parse(t, LayerUser, `
commands:
  - {id: log, verdict: allow, argv: [git, log], reason: r}
  - {id: push-alone, verdict: ask, argv: [git, push], alone: true, reason: r}
`))
	for cmd, want := range map[string]countersign.Ruling{
		"status": {Rule: "look", Alone: true}, "log": {Rule: "log"}, "push": {Rule: "push-alone", Alone: true}, "gc": {Rule: "default"},
	} {
		if got := p.Exec(run("git", cmd), false); got.Rule != want.Rule || got.Alone != want.Alone {
			t.Errorf("git %s: %+v", cmd, got)
		}
	}
}
