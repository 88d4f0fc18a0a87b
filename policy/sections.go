package policy

import (
	"math"
	"strings"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/strictyaml"
	"github.com/countersign/countersign/policy/hosts"
	"github.com/countersign/countersign/policy/lends"
	"github.com/goccy/go-yaml/ast"
)

// document reads the top level. What each field means stands in
// docs/policy.md; schema.json lists the same fields and is kept equal by test.
func (r *reader) document(n ast.Node) {
	version := 0
	d := r.d
	r.Mapping(n, "policy", append([]strictyaml.Field{
		{Name: "version", Read: func(n ast.Node) {
			if version = r.Number(n, "version", 1, math.MaxInt32); version > 1 {
				r.Fail(n, "use a newer countersign for this file, or write version: 1", "version %d is newer than this program knows, which is 1", version)
			}
		}},
		{Name: "preset", Read: func(n ast.Node) { d.Preset, d.presetPos = r.Text(n, "preset"), strictyaml.PosOf(n) }},
		{Name: "files", Read: r.files},
		{Name: "commands", Read: func(n ast.Node) {
			for _, v := range r.List(n, "commands") {
				d.Cmds = append(d.Cmds, r.command(v))
			}
		}},
		{Name: "lend", Read: func(n ast.Node) {
			d.Lend = lends.Words{Reader: &r.Reader, ID: r.id, Reason: r.reason, Argv: r.argv, Env: r.envNames, Layer: string(d.Layer), Pos: d.pos}.Read(n)
		}},
		{Name: "models", Read: func(n ast.Node) { d.Models.Read(&r.Reader, n, r.id) }},
		{Name: "mcp", Read: func(n ast.Node) {
			// Nothing enforces MCP rules yet, and a rule that is not enforced
			// must not look as if it were.
			r.Mapping(n, "mcp", nil)
		}},
		{Name: "approvals", Read: r.approvals},
		{Name: "posture", Read: r.posture},
	}, d.Net.Fields(hosts.Words{Reader: &r.Reader, ID: r.id, Reason: r.reason, Layer: string(d.Layer), Pos: d.pos})...))
	if r.Err == nil && version == 0 {
		r.Fail(n, "begin with: version: 1", "no version")
	}
}

func (r *reader) files(n ast.Node) {
	f := &r.d.Files
	r.Mapping(n, "files", []strictyaml.Field{
		{Name: "deny", Read: func(n ast.Node) {
			for _, v := range r.List(n, "files.deny") {
				f.Deny = append(f.Deny, r.fileRule(v, "files.deny"))
			}
		}},
		{Name: "except", Read: func(n ast.Node) {
			for _, v := range r.List(n, "files.except") {
				f.Except = append(f.Except, r.except(v))
			}
		}},
		{Name: "high_risk", Read: func(n ast.Node) {
			for _, v := range r.List(n, "files.high_risk") {
				f.HighRisk = append(f.HighRisk, r.fileRule(v, "files.high_risk"))
			}
		}},
		{Name: "write", Read: func(n ast.Node) {
			f.Write, f.writePos = r.OneOf(n, "files.write", "review", "allow"), strictyaml.PosOf(n)
		}},
	})
}

func (r *reader) fileRule(n ast.Node, what string) FileRule {
	out := FileRule{Layer: r.d.Layer, at: strictyaml.PosOf(n), Pos: r.d.pos(strictyaml.PosOf(n))}
	r.Mapping(n, what, []strictyaml.Field{
		{Name: "id", Read: func(n ast.Node) { out.ID = r.id(n) }},
		{Name: "paths", Read: func(n ast.Node) { out.Paths = r.paths(n, what+".paths") }},
		{Name: "only", Read: func(n ast.Node) { out.Only = r.OneOf(n, what+".only", "files") }},
		{Name: "reason", Read: func(n ast.Node) { out.Reason = r.reason(n) }},
		{Name: "match", Read: func(n ast.Node) { out.Match = r.texts(n, "match") }},
		{Name: "not_match", Read: func(n ast.Node) { out.NotMatch = r.texts(n, "not_match") }},
	})
	r.need(n, what, "id", out.ID != "")
	r.need(n, what, "paths", len(out.Paths) > 0)
	r.need(n, what, "reason", out.Reason != "")
	return out
}

func (r *reader) except(n ast.Node) Except {
	out := Except{Layer: r.d.Layer, at: strictyaml.PosOf(n), Pos: r.d.pos(strictyaml.PosOf(n))}
	r.Mapping(n, "files.except", []strictyaml.Field{
		{Name: "id", Read: func(n ast.Node) { out.ID = r.id(n) }},
		{Name: "rule", Read: func(n ast.Node) {
			if _, list := n.(*ast.SequenceNode); list {
				out.Rules, _ = r.ids(n, "files.except.rule")
			} else {
				out.Rules = []string{r.id(n)}
			}
		}},
		{Name: "paths", Read: func(n ast.Node) { out.Paths = r.paths(n, "files.except.paths") }},
		{Name: "reason", Read: func(n ast.Node) { out.Reason = r.reason(n) }},
		{Name: "match", Read: func(n ast.Node) { out.Match = r.texts(n, "match") }},
		{Name: "not_match", Read: func(n ast.Node) { out.NotMatch = r.texts(n, "not_match") }},
	})
	r.need(n, "files.except", "id", out.ID != "")
	r.need(n, "files.except", "rule", len(out.Rules) > 0)
	r.need(n, "files.except", "paths", len(out.Paths) > 0)
	r.need(n, "files.except", "reason", out.Reason != "")
	return out
}

func (r *reader) command(n ast.Node) Command {
	out := Command{Layer: r.d.Layer, at: strictyaml.PosOf(n), Pos: r.d.pos(strictyaml.PosOf(n))}
	r.Mapping(n, "commands", []strictyaml.Field{
		{Name: "id", Read: func(n ast.Node) { out.ID = r.id(n) }},
		{Name: "verdict", Read: func(n ast.Node) { out.Verdict = r.verdict(n) }},
		{Name: "argv", Read: func(n ast.Node) { out.Argv = r.argv(n) }},
		{Name: "at", Read: func(n ast.Node) { out.At = r.OneOf(n, "at", "any-depth") }},
		{Name: "script", Read: func(n ast.Node) {
			out.Script = r.Text(n, "script")
			if _, err := compileScript(out.Script); r.Err == nil && err != nil {
				r.Fail(n, "", "script: %v", err)
			}
		}},
		{Name: "sha256", Read: func(n ast.Node) { out.SHA256 = r.sha256(n) }},
		{Name: "env", Read: func(n ast.Node) { out.Env = r.envNames(n) }},
		{Name: "alone", Read: func(n ast.Node) { out.Alone = r.Boolean(n, "alone") }},
		{Name: "debugs", Read: func(n ast.Node) { out.Debugs = r.Boolean(n, "debugs") }},
		{Name: "options", Read: func(n ast.Node) { out.Options = r.options(n) }},
		{Name: "reason", Read: func(n ast.Node) { out.Reason = r.reason(n) }},
		{Name: "approvers", Read: func(n ast.Node) { out.Approvers = r.Number(n, "approvers", 1, 9) }},
		{Name: "passkey", Read: func(n ast.Node) { out.Passkey = r.Boolean(n, "passkey") }},
		{Name: "match", Read: func(n ast.Node) { out.Match = r.examples(n, "match") }},
		{Name: "not_match", Read: func(n ast.Node) { out.NotMatch = r.examples(n, "not_match") }},
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
	if r.Err != nil {
		return
	}
	switch {
	case c.Verdict == countersign.Allow && c.At != "":
		r.Fail(n, "remove at", "rule %s: at: any-depth is for deny and ask; an allow speaks of the agent's own commands", c.ID)
	case c.Verdict != countersign.Allow && len(c.Env) > 0:
		r.Fail(n, "remove env", "rule %s: env is for allow rules; deny and ask hold whatever the environment", c.ID)
	case c.Verdict != countersign.Allow && c.SHA256 != "":
		r.Fail(n, "remove sha256", "rule %s: sha256 is for allow rules; a deny or ask by content is evaded by one changed byte", c.ID)
	case c.Verdict == countersign.Deny && c.Alone:
		r.Fail(n, "remove alone", "rule %s: alone is for allow and ask rules; nothing runs here", c.ID)
	case c.Debugs && (c.Verdict == countersign.Deny || c.Alone):
		r.Fail(n, "remove debugs", "rule %s: debugs is for allow and ask rules that cover what they start", c.ID)
	case c.Debugs && r.d.Layer == LayerProject:
		r.Fail(n, "put the rule into your own layer", "rule %s: a project only tightens, and debugs gives something up", c.ID)
	case c.Options != nil && (c.Verdict != countersign.Allow || c.Argv[len(c.Argv)-1] != "..."):
		r.Fail(n, `write verdict: allow, and an argv that ends in "..."`, `rule %s: options are what an allow lets stand in the place of "..."`, c.ID)
	case c.Verdict != countersign.Ask && (c.Approvers > 1 || c.Passkey):
		r.Fail(n, "write verdict: ask", "rule %s: approvers and passkey are for ask rules; nobody is asked here", c.ID)
	case c.Verdict == countersign.Allow && strings.Trim(c.Argv[0], "*/") == "":
		r.Fail(n, "name the program", "rule %s: an allow must name its program; there is no blanket grant", c.ID)
	}
}

func (r *reader) approvals(n ast.Node) {
	a := &r.d.Appr
	r.Mapping(n, "approvals", []strictyaml.Field{
		{Name: "timeout", Read: func(n ast.Node) {
			s := r.Text(n, "approvals.timeout")
			t, err := time.ParseDuration(s)
			if r.Err == nil && (err != nil || t < time.Second || t > 24*time.Hour) {
				r.Fail(n, "write it as 15m, from 1s to 24h", "approvals.timeout: %q is no time in range", s)
			}
			a.Timeout, a.timeoutPos = t, strictyaml.PosOf(n)
		}},
		{Name: "typed_confirmation", Read: func(n ast.Node) { a.TypedConfirmation, a.typedPos = r.ids(n, "approvals.typed_confirmation") }},
		{Name: "passkey", Read: func(n ast.Node) { a.Passkey, a.passkeyPos = r.ids(n, "approvals.passkey") }},
	})
}

func (r *reader) posture(n ast.Node) {
	p := &r.d.Post
	r.Mapping(n, "posture", []strictyaml.Field{
		{Name: "require", Read: func(n ast.Node) {
			p.set, p.pos = true, strictyaml.PosOf(n)
			for _, v := range r.List(n, "posture.require") {
				p.Require = append(p.Require, r.OneOf(v, "posture.require", mechanisms...))
			}
		}},
	})
}

func (r *reader) verdict(n ast.Node) countersign.Verdict {
	return countersign.Verdict(r.OneOf(n, "verdict", "deny", "ask", "allow"))
}

func (r *reader) need(n ast.Node, what, name string, have bool) {
	if r.Err == nil && !have {
		r.Fail(n, "add "+name, "%s: a rule needs %s", what, name)
	}
}
