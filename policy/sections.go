package policy

import (
	"strings"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/goccy/go-yaml/ast"
)

// document reads the top level. What each field means stands in
// docs/policy.md; schema.json lists the same fields and is kept equal by test.
func (r *reader) document(n ast.Node) {
	version := 0
	d := r.d
	r.mapping(n, "policy", []field{
		{"version", func(n ast.Node) {
			version = r.number(n, "version", 1, 1)
		}},
		{"preset", func(n ast.Node) { d.Preset, d.presetPos = r.text(n, "preset"), posOf(n) }},
		{"files", r.files},
		{"commands", func(n ast.Node) {
			for _, v := range r.list(n, "commands") {
				d.Cmds = append(d.Cmds, r.command(v))
			}
		}},
		{"network", func(n ast.Node) {
			for _, v := range r.list(n, "network") {
				d.Net = append(d.Net, r.host(v))
			}
		}},
		{"models", r.models},
		{"mcp", func(n ast.Node) {
			// Nothing enforces MCP rules yet, and a rule that is not enforced
			// must not look as if it were.
			r.mapping(n, "mcp", nil)
		}},
		{"approvals", r.approvals},
		{"posture", r.posture},
	})
	if r.err == nil && version == 0 {
		r.fail(n, "begin with: version: 1", "no version")
	}
}

func (r *reader) files(n ast.Node) {
	f := &r.d.Files
	r.mapping(n, "files", []field{
		{"deny", func(n ast.Node) {
			for _, v := range r.list(n, "files.deny") {
				f.Deny = append(f.Deny, r.fileRule(v, "files.deny"))
			}
		}},
		{"except", func(n ast.Node) {
			for _, v := range r.list(n, "files.except") {
				f.Except = append(f.Except, r.except(v))
			}
		}},
		{"high_risk", func(n ast.Node) {
			for _, v := range r.list(n, "files.high_risk") {
				f.HighRisk = append(f.HighRisk, r.fileRule(v, "files.high_risk"))
			}
		}},
		{"write", func(n ast.Node) { f.Write, f.writePos = r.oneOf(n, "files.write", "review", "allow"), posOf(n) }},
	})
}

func (r *reader) fileRule(n ast.Node, what string) FileRule {
	out := FileRule{Layer: r.d.Layer, at: posOf(n), Pos: r.d.pos(posOf(n))}
	r.mapping(n, what, []field{
		{"id", func(n ast.Node) { out.ID = r.id(n) }},
		{"paths", func(n ast.Node) { out.Paths = r.paths(n, what+".paths") }},
		{"only", func(n ast.Node) { out.Only = r.oneOf(n, what+".only", "files") }},
		{"reason", func(n ast.Node) { out.Reason = r.reason(n) }},
		{"match", func(n ast.Node) { out.Match = r.texts(n, "match") }},
		{"not_match", func(n ast.Node) { out.NotMatch = r.texts(n, "not_match") }},
	})
	r.need(n, what, "id", out.ID != "")
	r.need(n, what, "paths", len(out.Paths) > 0)
	r.need(n, what, "reason", out.Reason != "")
	return out
}

func (r *reader) except(n ast.Node) Except {
	out := Except{Layer: r.d.Layer, at: posOf(n), Pos: r.d.pos(posOf(n))}
	r.mapping(n, "files.except", []field{
		{"id", func(n ast.Node) { out.ID = r.id(n) }},
		{"rule", func(n ast.Node) { out.Rule = r.id(n) }},
		{"paths", func(n ast.Node) { out.Paths = r.paths(n, "files.except.paths") }},
		{"reason", func(n ast.Node) { out.Reason = r.reason(n) }},
		{"match", func(n ast.Node) { out.Match = r.texts(n, "match") }},
		{"not_match", func(n ast.Node) { out.NotMatch = r.texts(n, "not_match") }},
	})
	r.need(n, "files.except", "id", out.ID != "")
	r.need(n, "files.except", "rule", out.Rule != "")
	r.need(n, "files.except", "paths", len(out.Paths) > 0)
	r.need(n, "files.except", "reason", out.Reason != "")
	return out
}

func (r *reader) command(n ast.Node) Command {
	out := Command{Layer: r.d.Layer, at: posOf(n), Pos: r.d.pos(posOf(n))}
	r.mapping(n, "commands", []field{
		{"id", func(n ast.Node) { out.ID = r.id(n) }},
		{"verdict", func(n ast.Node) { out.Verdict = r.verdict(n) }},
		{"argv", func(n ast.Node) { out.Argv = r.argv(n) }},
		{"at", func(n ast.Node) { out.At = r.oneOf(n, "at", "any-depth") }},
		{"script", func(n ast.Node) {
			out.Script = r.text(n, "script")
			if _, err := compileScript(out.Script); r.err == nil && err != nil {
				r.fail(n, "", "script: %v", err)
			}
		}},
		{"sha256", func(n ast.Node) { out.SHA256 = r.sha256(n) }},
		{"env", func(n ast.Node) { out.Env = r.envNames(n) }},
		{"reason", func(n ast.Node) { out.Reason = r.reason(n) }},
		{"approvers", func(n ast.Node) { out.Approvers = r.number(n, "approvers", 1, 9) }},
		{"passkey", func(n ast.Node) { out.Passkey = r.boolean(n, "passkey") }},
		{"match", func(n ast.Node) { out.Match = r.examples(n, "match") }},
		{"not_match", func(n ast.Node) { out.NotMatch = r.examples(n, "not_match") }},
	})
	r.need(n, "commands", "id", out.ID != "")
	r.need(n, "commands", "verdict", out.Verdict != "")
	r.need(n, "commands", "argv", len(out.Argv) > 0)
	r.need(n, "commands", "reason", out.Reason != "")
	r.sense(n, out)
	return out
}

// sense refuses what could not mean what its writer thinks.
func (r *reader) sense(n ast.Node, c Command) {
	if r.err != nil {
		return
	}
	switch {
	case c.Verdict == countersign.Allow && c.At != "":
		r.fail(n, "remove at", "rule %s: at: any-depth is for deny and ask; an allow speaks of the agent's own commands", c.ID)
	case c.Verdict != countersign.Allow && len(c.Env) > 0:
		r.fail(n, "remove env", "rule %s: env is for allow rules; deny and ask hold whatever the environment", c.ID)
	case c.Verdict != countersign.Allow && c.SHA256 != "":
		r.fail(n, "remove sha256", "rule %s: sha256 is for allow rules; a deny or ask by content is evaded by one changed byte", c.ID)
	case c.Verdict != countersign.Ask && (c.Approvers > 1 || c.Passkey):
		r.fail(n, "write verdict: ask", "rule %s: approvers and passkey are for ask rules; nobody is asked here", c.ID)
	case c.Verdict == countersign.Allow && strings.Trim(c.Argv[0], "*/") == "":
		r.fail(n, "name the program", "rule %s: an allow must name its program; there is no blanket grant", c.ID)
	}
}

func (r *reader) host(n ast.Node) HostRule {
	out := HostRule{Layer: r.d.Layer, at: posOf(n), Pos: r.d.pos(posOf(n))}
	r.mapping(n, "network", []field{
		{"id", func(n ast.Node) { out.ID = r.id(n) }},
		{"verdict", func(n ast.Node) { out.Verdict = r.verdict(n) }},
		{"host", func(n ast.Node) {
			out.Host = r.text(n, "host")
			if err := checkHostPattern(out.Host); r.err == nil && err != nil {
				r.fail(n, "write a name, *.name, or an address", "host: %v", err)
			}
		}},
		{"port", func(n ast.Node) { out.Port = r.number(n, "port", 1, 65535) }},
		{"reason", func(n ast.Node) { out.Reason = r.reason(n) }},
		{"match", func(n ast.Node) { out.Match = r.texts(n, "match") }},
		{"not_match", func(n ast.Node) { out.NotMatch = r.texts(n, "not_match") }},
	})
	r.need(n, "network", "id", out.ID != "")
	r.need(n, "network", "verdict", out.Verdict != "")
	r.need(n, "network", "host", out.Host != "")
	r.need(n, "network", "reason", out.Reason != "")
	if r.err == nil && out.Verdict == countersign.Allow {
		if out.Port == 0 {
			r.fail(n, "add port: 443", "rule %s: an allow names its port", out.ID)
		} else if out.Host == "*" {
			r.fail(n, "name the host", "rule %s: an allow must name its host; there is no blanket grant", out.ID)
		}
	}
	return out
}

func (r *reader) models(n ast.Node) {
	m := &r.d.Models
	r.mapping(n, "models", []field{
		{"allow", func(n ast.Node) {
			m.Allow, m.allowSet, m.allowPos = r.modelPatterns(n, "models.allow"), true, posOf(n)
		}},
		{"deny", func(n ast.Node) { m.Deny, m.denyPos = r.modelPatterns(n, "models.deny"), posOf(n) }},
	})
}

func (r *reader) modelPatterns(n ast.Node, what string) []string {
	out := []string{}
	for _, v := range r.list(n, what) {
		s := r.text(v, what)
		provider, model, ok := strings.Cut(s, "/")
		if r.err == nil && (!ok || provider == "" || model == "") {
			r.fail(v, `write provider/model, for example "anthropic/claude-*"`, "%s: %q names no provider and model", what, s)
		}
		out = append(out, s)
	}
	return out
}

func (r *reader) approvals(n ast.Node) {
	a := &r.d.Appr
	r.mapping(n, "approvals", []field{
		{"timeout", func(n ast.Node) {
			s := r.text(n, "approvals.timeout")
			t, err := time.ParseDuration(s)
			if r.err == nil && (err != nil || t < time.Second || t > 24*time.Hour) {
				r.fail(n, "write it as 15m, from 1s to 24h", "approvals.timeout: %q is no time in range", s)
			}
			a.Timeout, a.timeoutPos = t, posOf(n)
		}},
		{"typed_confirmation", func(n ast.Node) { a.TypedConfirmation, a.typedPos = r.ids(n, "approvals.typed_confirmation") }},
		{"passkey", func(n ast.Node) { a.Passkey, a.passkeyPos = r.ids(n, "approvals.passkey") }},
	})
}

func (r *reader) posture(n ast.Node) {
	p := &r.d.Post
	r.mapping(n, "posture", []field{
		{"require", func(n ast.Node) {
			p.set, p.pos = true, posOf(n)
			for _, v := range r.list(n, "posture.require") {
				p.Require = append(p.Require, r.oneOf(v, "posture.require", mechanisms...))
			}
		}},
	})
}

func (r *reader) need(n ast.Node, what, name string, have bool) {
	if r.err == nil && !have {
		r.fail(n, "add "+name, "%s: a rule needs %s", what, name)
	}
}

func (r *reader) verdict(n ast.Node) countersign.Verdict {
	return countersign.Verdict(r.oneOf(n, "verdict", "deny", "ask", "allow"))
}
