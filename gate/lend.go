package gate

import (
	"slices"
	"strings"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/redact"
)

// unlendable says why a command can be lent no secret, whoever would approve it:
// empty if it can. What the agent may still say to it, nobody approved.
func unlendable(e *countersign.Exec) string {
	switch {
	case e == nil || len(e.Lends) == 0:
		return ""
	case e.ProgramFromAgent:
		return "no secret is lent to a command that reads its program from the agent while it runs"
	case e.Again:
		return "no secret is lent to the agent itself"
	}
	return ""
}

// asLent is a command as policy has to look at it: one that gets secrets gets
// the session's environment, and of the attempt's own only what the rules pass on.
func asLent(e *countersign.Exec) *countersign.Exec {
	if len(e.Lends) == 0 {
		return e
	}
	out := *e
	out.Delta = nil
	for _, d := range e.Delta {
		if slices.ContainsFunc(e.Lends, func(l countersign.Lend) bool { return slices.Contains(l.Env, d.Name) }) {
			out.Delta = append(out.Delta, d)
		}
	}
	return &out
}

// granted is an action as the list of grants has it: with what it is lent.
func (g *Gate) granted(a countersign.Action) string {
	s := Summary(g.masked(a))
	if a.Exec != nil && len(a.Exec.Lends) > 0 {
		s += " (lends " + strings.Join(countersign.LendNames(a.Exec.Lends), ", ") + ")"
	}
	return s
}

// secret reports whether an argument enters digests as a keyed hash.
func (g *Gate) secret(s string) bool { return redact.Secret(s) || g.cfg.Mask.Any(s) }

// masked is an action as records may have it, before anything of it is cut: what
// was lent to a command often stands in the arguments of what that starts.
func (g *Gate) masked(a countersign.Action) countersign.Action {
	if g.cfg.Mask.Empty() {
		return a
	}
	one := g.cfg.Mask.String
	all := func(in []string) []string {
		out := slices.Clone(in)
		for i, s := range out {
			out[i] = one(s)
		}
		return out
	}
	a.Summary, a.Peer.Exe, a.Peer.Argv = one(a.Summary), one(a.Peer.Exe), all(a.Peer.Argv)
	if a.Exec != nil {
		e := *a.Exec
		e.Argv, e.Cwd, e.Invoked, e.Exe.Path, e.Hops = all(e.Argv), one(e.Cwd), one(e.Invoked), one(e.Exe.Path), all(e.Hops)
		e.Interp, e.Scripts = slices.Clone(e.Interp), slices.Clone(e.Scripts)
		for i := range e.Interp {
			e.Interp[i].Path = one(e.Interp[i].Path)
		}
		for i := range e.Scripts {
			e.Scripts[i].Path = one(e.Scripts[i].Path)
		}
		a.Exec = &e
	}
	if a.File != nil {
		f := *a.File
		f.Path = one(f.Path)
		a.File = &f
	}
	if a.Net != nil {
		n := *a.Net
		n.Host = one(n.Host)
		a.Net = &n
	}
	return a
}
