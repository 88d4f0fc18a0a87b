//go:build amd64 || arm64

package live

import (
	"context"
	"net"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/lending"
	"github.com/countersign/countersign/cmd/countersign/posture"
	"github.com/countersign/countersign/gate"
	"github.com/countersign/countersign/internal/sockowner"
	"github.com/countersign/countersign/internal/trial"
	"github.com/countersign/countersign/sandbox/execgate"
	"github.com/countersign/countersign/sandbox/tripwire"
	"golang.org/x/sys/unix"
)

// judge lets the supervisor ask the gate: it translates, nothing more.
type judge struct {
	gate  *gate.Gate
	fail  func(error) // ends the session: a refusal could not be recorded
	trial *posture.Trial
}

// Exec decides one exec. Whatever goes wrong is a refusal.
func (j judge) Exec(ctx context.Context, a countersign.Action) execgate.Answer {
	p, err := j.gate.Exec(ctx, launcher(a))
	if err != nil {
		if countersign.CodeOf(err) == countersign.EClosed {
			j.fail(err)
		}
		return execgate.Answer{Errno: unix.EACCES}
	}
	return execgate.Answer{Permit: p}
}

// launcher names who starts the agent: init, whose executable has no path inside.
func launcher(a countersign.Action) countersign.Action {
	if a.Exec.Launch {
		a.Peer.Exe = "countersign"
	}
	return a
}

// Started records that the verified image runs.
func (j judge) Started(p countersign.Permit, a countersign.Action) { j.gate.Started(p, launcher(a)) }

// Finished records the end of a permitted command, or what differed at its exec stop.
func (j judge) Finished(p countersign.Permit, a countersign.Action, o countersign.Outcome) {
	j.gate.Finished(p, a, o)
}

// Refused records a call that the sandbox answered by itself.
func (j judge) Refused(a countersign.Action, call string, errno unix.Errno, folded int) {
	if j.trial.Took(call) {
		return
	}
	r := countersign.Ruling{Verdict: countersign.Deny, Rule: "sandbox", Reason: "the sandbox has no such door: " + call, Layer: "built-in"}
	switch {
	case a.Kind == countersign.KindFileWrite:
		if r.Rule, r.Reason = a.File.Rule, whyRefused(a.File.Rule); a.Summary != "" {
			r.Reason += ": " + gate.Line(a.Summary)
		}
	case a.Kind == countersign.KindNet:
		r.Rule = "no-network"
	default:
		a.Kind = countersign.KindTamper
		a.File = &countersign.File{Op: call, Rule: r.Rule}
	}
	if err := j.gate.Refused(a, r, unix.ErrnoName(errno), folded); err != nil {
		j.fail(err)
	}
}

// lender is the judge of a session that may lend secrets.
func (s *live) lender(cfg execgate.Config) execgate.Judge {
	store := s.KeyStore()
	store.Avoid = []string{s.project.Root}
	return &lending.Lender{
		Context: s.ctx, Lends: s.policy.Lends, Judge: cfg.Judge, Store: store, Mask: &s.mask,
		Learn:  s.denied.Lent,
		Ledger: s.ledger, Policy: s.policy.Record, Fail: s.fail,
		Record: countersign.Record{Session: s.id, Agent: &countersign.Agent{Name: s.opt.Agent}, Cov: &countersign.Coverage{Tier: s.posture.Tier, Isolation: "same-uid"}},
		Spawn:  s.box.Spawn, Gate: cfg, Env: s.env, Home: s.Getenv("HOME"), Writable: s.writable, Log: s.log,
	}
}

const whyDenied = "the path is on the deny-list"

// The rules of what may be looked at inside and not changed; gitConfig is of what
// git itself may change, as far as that starts nothing; gitDir of what is free inside
// and stays where it is.
const (
	frozen    = "sandbox"
	gitConfig = "git-config"
	gitDir    = "git-dir"
)

func whyRefused(rule string) string {
	switch rule {
	case frozen:
		return "git's hooks and the session's own objects cannot be changed from inside"
	case gitConfig:
		return "git's configuration takes from inside what git itself writes there, and of that no key that starts a program"
	case gitDir:
		return "git's own directories stay where they are: the session's are mounted there"
	}
	return whyDenied
}

// tripped records an attempt on a denied file, or on what git holds of it.
func (s *live) tripped(e tripwire.Event) {
	if s.trial.Took(trial.Open) {
		return
	}
	a := countersign.Action{
		Kind: e.Kind(), Session: s.id, Peer: e.Peer,
		File: &countersign.File{Path: e.Path, Op: e.Op, Rule: e.Rule},
	}
	r := countersign.Ruling{Verdict: countersign.Deny, Rule: e.Rule, Reason: whyRefused(e.Rule), Layer: "built-in"}
	errno := "EACCES"
	if e.Rule == frozen || e.Rule == gitConfig {
		errno = "EPERM"
	}
	if e.Op == tripwire.OpWithheld {
		r.Reason, errno = whyDenied+": a line that says so was read in place of its git object", ""
	}
	if err := s.gate.Refused(a, r, errno, e.Count); err != nil {
		s.fail(err)
	}
}

// askedName records a name that a process of the session asked the resolver for.
func (s *live) askedName(from net.Addr, name, typ string) {
	var peer countersign.Peer
	if udp, ok := from.(*net.UDPAddr); ok {
		peer = sockowner.Of(s.box.InitPID, -1).UDP(udp.Port)
	}
	a := countersign.Action{Kind: countersign.KindNet, Session: s.id, Peer: peer, Net: &countersign.Net{Proto: "dns", Host: name, Port: 53}}
	r := countersign.Ruling{Verdict: countersign.Deny, Rule: "no-network", Reason: "names are not resolved inside: asked for " + typ, Layer: "built-in"}
	if err := s.gate.Refused(a, r, "NXDOMAIN", 1); err != nil {
		s.fail(err)
	}
}
