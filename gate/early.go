package gate

import (
	"context"
	"slices"

	countersign "github.com/countersign/countersign"
)

// Command is one that a model has asked for and its agent has not tried yet.
type Command struct {
	Argv []string // as the agent is expected to run it
	Cwd  string   // resolved; empty: where it ran its last one
	Exe  countersign.Executable
	Hops []string // from Argv[0] to Exe.Path, both included
}

// answered is an answer that came before its attempt, or after.
type answered struct {
	countersign.Approval
	basis countersign.Basis
}

// Early asks a person about a command before it is tried, and returns when it is
// answered, when ctx ends, or at once where nobody would be asked. The answer, yes
// or no, is that of the first attempt of the same command (reuse key) within
// LateFor; an attempt that is not the same is asked about like any other. The
// environment is taken to be that of the agent's last command; before it has run
// one nobody knows it, and nobody is asked.
func (g *Gate) Early(ctx context.Context, c Command) {
	last := g.lastOwn(c.Exe.Path)
	if last == nil || g.cfg.Headless || g.shut() != nil {
		return
	}
	e := *last.Exec
	e.Argv, e.Exe, e.Hops, e.Invoked, e.Scripts, e.Interp = c.Argv, c.Exe, c.Hops, c.Hops[0], nil, nil
	e.Lends = nil // what is lent makes it another command: it asks
	e.ProgramFromAgent, e.Again, e.Outlived, e.Writable = false, false, "", false
	if c.Cwd != "" {
		e.Cwd = c.Cwd
	}
	a := countersign.Action{Kind: countersign.KindExec, Session: g.cfg.Session, Peer: last.Peer, Exec: &e}
	a.Summary = Summary(a)
	ruling := g.cfg.Policy.Exec(&e, false)
	if _, unmet := g.unmet(ruling.Rule); unmet || ruling.Verdict != countersign.Ask {
		return
	}
	reuse, typed := g.reuse(a), g.cfg.Typed != nil && g.cfg.Typed(ruling.Rule)
	if g.stands(reuse, typed) {
		return
	}
	_, _, _ = g.cfg.Desk.ask(ctx, countersign.Request{
		Session: g.cfg.Session, Action: a, Digest: a.Digest(g.cfg.Key, g.secret), Reuse: reuse, Ruling: ruling,
		Since: g.cfg.Now(), Pending: true, Early: true, Confirm: word(&e, typed),
	}) // its answer waits for the attempt
}

// stands reports whether an approval already waits for this command.
func (g *Gate) stands(reuse string, typed bool) bool {
	now := g.cfg.Now()
	if by, ok := g.cfg.Desk.granted(reuse); ok && by.Good(now, typed) {
		return true
	}
	if g.cfg.Kept != nil {
		if by, ok, err := g.cfg.Kept.Find(reuse); err == nil && ok && by.Good(now, typed) {
			return true
		}
	}
	return g.cfg.Desk.waits(reuse, now)
}

// remember keeps what the agent itself runs: its own environment is known by it.
func (g *Gate) remember(a countersign.Action) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.own = slices.DeleteFunc(g.own, func(o countersign.Action) bool { return o.Exec.Exe.Path == a.Exec.Exe.Path })
	g.own = append(g.own, a)
	if len(g.own) > 16 {
		g.own = g.own[1:]
	}
}

// lastOwn is the agent's last command of this program, or else its last one.
func (g *Gate) lastOwn(exe string) *countersign.Action {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.own {
		if g.own[i].Exec.Exe.Path == exe {
			return &g.own[i]
		}
	}
	if n := len(g.own); n > 0 {
		return &g.own[n-1]
	}
	return nil
}
