package gate

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gate/grants"
	"github.com/countersign/countersign/internal/redact"
)

// approval is one that was given before the attempt it is good for.
type approval struct {
	grant grants.Grant
	late  *countersign.Approval
	basis countersign.Basis
}

// reuse finds what is the same command again.
func (g *Gate) reuse(a countersign.Action) string {
	if a.Exec != nil && g.cfg.Same != nil {
		e := *a.Exec
		e.Argv = g.cfg.Same(e.Argv)
		a.Exec = &e
	}
	return a.ReuseKey(g.cfg.Key, g.secret)
}

// standing finds an approval that is already good for this command. A late one is
// used up by it; one that was given without the word is none where a word is
// wanted. With an error there may be one that could not be read.
func (g *Gate) standing(ctx context.Context, reuse string, typed bool) (*approval, error) {
	now := g.cfg.Now()
	if by, ok := g.cfg.Desk.granted(reuse); ok {
		if by.Good(now, typed) {
			return &approval{grant: by, basis: countersign.ByGrant}, nil
		}
		if by.Over(now) && g.cfg.Desk.Revoke(reuse) {
			if err := g.ended(ctx, by, expired); err != nil {
				return nil, err
			}
		}
	}
	var failed error
	if g.cfg.Kept != nil {
		by, ok, err := g.cfg.Kept.Find(reuse)
		if ok && by.Good(now, typed) {
			return &approval{grant: by, basis: countersign.ByGrant}, nil
		}
		if ok && by.Over(now) {
			err = g.drop(ctx, func(x grants.Grant) string { return over(x, now) })
		}
		failed = err
	}
	if ap, ok := g.cfg.Desk.lateFor(reuse, now); ok {
		return &approval{late: &ap.Approval, basis: ap.basis}, failed
	}
	return nil, failed
}

// byStanding is the decision that an approval given before makes.
func (g *Gate) byStanding(d countersign.Decision, by approval) countersign.Decision {
	d.Verdict, d.Basis, d.Reason, d.Approval = countersign.Allow, by.basis, "", by.late
	switch {
	case by.late != nil && !by.late.Granted:
		d.Verdict, d.Reason = countersign.Deny, by.late.Reason
	case by.late == nil:
		x := by.grant
		d.Grant = x.Record
		d.Approval = &countersign.Approval{
			Granted: true, By: x.By, Means: x.Means, Shown: x.Shown, ShownMS: x.ShownMS, Scope: x.Scope, Until: x.Until, Confirmed: x.Confirmed,
		}
	}
	return d
}

const expired = "its date has passed"

func over(x grants.Grant, now time.Time) string {
	if x.Over(now) {
		return expired
	}
	return ""
}

// Sweep ends the project's grants whose date has passed, and those that the policy
// in force denies.
func (g *Gate) Sweep(ctx context.Context) error {
	now := g.cfg.Now()
	return g.drop(ctx, func(x grants.Grant) string {
		if why := over(x, now); why != "" {
			return why
		}
		return denied(g.cfg.Policy.Exec(x.Command.Exec(), false))
	})
}

func denied(r countersign.Ruling) string {
	if r.Verdict != countersign.Deny {
		return ""
	}
	return "policy denies it now, by rule " + r.Rule
}

// withdraw ends the grants of a command that policy denies.
func (g *Gate) withdraw(ctx context.Context, a countersign.Action, r countersign.Ruling) {
	if g.cfg.Kept == nil || a.Exec == nil {
		return
	}
	reuse := ""
	// What cannot be read grants nothing, and what cannot be recorded closes the gate.
	_ = g.drop(ctx, func(x grants.Grant) string {
		if reuse == "" { // only where there are grants at all
			reuse = g.reuse(a)
		}
		if x.Key != reuse {
			return ""
		}
		return denied(r)
	})
}

func (g *Gate) drop(ctx context.Context, why func(grants.Grant) string) error {
	if g.cfg.Kept == nil {
		return nil
	}
	return g.cfg.Kept.End(ctx, why, func(x grants.Grant, reason string) error { return g.ended(ctx, x, reason) })
}

// ended puts on record that a grant is over.
func (g *Gate) ended(ctx context.Context, x grants.Grant, reason string) error {
	typ := "grant.ended"
	if reason == expired {
		typ = "grant.expired"
	}
	r := Ended(x, typ, reason)
	r.Session, r.Agent, r.Policy, r.Actor = g.cfg.Session, &g.cfg.Agent, g.cfg.Policy.Record(""), &countersign.Actor{Kind: "system"}
	_, err := g.cfg.Ledger.Append(context.WithoutCancel(ctx), r, true)
	if err != nil {
		g.Close(err)
	}
	return err
}

// Ended is the record of a grant's end, without who ended it.
func Ended(x grants.Grant, typ, reason string) countersign.Record {
	r := countersign.Record{
		Type: typ, Parent: x.Record, Action: &countersign.ActionRecord{Kind: countersign.KindExec, Summary: x.Summary},
		Detail: map[string]any{"key": x.Key, "scope": string(x.Scope)},
	}
	if !x.Until.IsZero() {
		r.Detail["until"] = x.Until.UTC().Format(time.RFC3339)
	}
	if reason != "" {
		r.Detail["reason"] = trim(reason, maxText)
	}
	return r
}

// Answer answers a request on the desk. What a person says to one whose attempt
// has ended, as no decision waits to say it, and each grant, is on record before
// it counts.
func (g *Gate) Answer(ctx context.Context, id, digest string, ap countersign.Approval) error {
	if ap.Scope == "" || !ap.Granted {
		ap.Scope = countersign.ScopeOnce
	}
	if err := g.allowed(id, ap); err != nil {
		return err
	}
	req, err := g.cfg.Desk.claim(id, digest, ap)
	if err != nil {
		return err
	}
	var given *grants.Grant
	switch {
	case ap.Granted && ap.Scope == countersign.ScopeProject && req.Action.Exec == nil:
		err = &countersign.Error{Code: countersign.EInvalid, Op: "answer request", Thing: id, Err: errors.New("only a command is approved for a project"), Remedy: "`countersign approve ID --for session`, or a rule of your policy"}
	case ap.Granted && ap.Scope != countersign.ScopeOnce:
		given, err = g.give(ctx, req, ap)
	case !req.Pending || req.Early:
		_, err = g.note(ctx, "request.answered", req, ap)
	}
	if err != nil {
		g.cfg.Desk.release(id)
		return err
	}
	g.cfg.Desk.finish(id, ap, given)
	return nil
}

// allowed refuses a grant without an end.
func (g *Gate) allowed(id string, ap countersign.Approval) error {
	bad := func(format string, args ...any) error {
		return &countersign.Error{Code: countersign.EInvalid, Op: "answer request", Thing: id, Err: fmt.Errorf(format, args...), Remedy: "`countersign approve ID --for project --until DATE`, at most 90 days from now"}
	}
	until := ap.Until.Sub(g.cfg.Now())
	switch {
	case ap.Scope != countersign.ScopeOnce && ap.Scope != countersign.ScopeSession && ap.Scope != countersign.ScopeProject:
		return bad("there is no scope %q", ap.Scope)
	case ap.Scope == countersign.ScopeProject && g.cfg.Kept == nil:
		return bad("this session keeps no grants")
	case ap.Scope == countersign.ScopeProject && ap.Until.IsZero():
		return bad("an approval for a project needs a date")
	case !ap.Until.IsZero() && (until <= 0 || until > grants.Longest):
		return bad("it would end at %s, which is not within the next 90 days", ap.Until.Format(time.RFC3339))
	}
	return nil
}

// give puts a grant on record and then, if it is the project's, in its file.
func (g *Gate) give(ctx context.Context, req countersign.Request, ap countersign.Approval) (*grants.Grant, error) {
	if req.Action.Exec == nil && ap.Scope == countersign.ScopeProject {
		return nil, &countersign.Error{
			Code: countersign.EInvalid, Op: "answer request", Thing: req.ID, Err: errors.New("only commands are approved for a project"),
			Remedy: "approve it for the session, or write a rule of `network`, which has no end",
		}
	}
	record, err := g.note(ctx, "grant.given", req, ap)
	if err != nil {
		return nil, err
	}
	x := grants.Grant{
		Key: req.Reuse, Summary: g.granted(req.Action), By: ap.By, Means: ap.Means, Shown: ap.Shown, ShownMS: ap.ShownMS, Scope: ap.Scope,
		Confirmed: ap.Confirmed, Given: g.cfg.Now().UTC(), Until: ap.Until.UTC(), Record: record, Rule: req.Ruling.Rule,
	}
	if e := g.masked(req.Action).Exec; e != nil {
		x.Command = grants.Command{Argv: redact.Argv(e.Argv), Cwd: e.Cwd, Invoked: e.Invoked, Exe: e.Exe, Interp: e.Interp, Hops: e.Hops, Scripts: e.Scripts, Writable: e.Writable}
		for _, c := range e.Delta {
			x.Command.Env = append(x.Command.Env, c.Name)
		}
	}
	if ap.Scope == countersign.ScopeProject {
		return &x, g.cfg.Kept.Put(ctx, x)
	}
	return &x, nil
}

// note writes down what a person says, before it counts.
func (g *Gate) note(ctx context.Context, typ string, req countersign.Request, ap countersign.Approval) (id string, err error) {
	d := countersign.Decision{Verdict: countersign.Deny, Basis: countersign.ByPerson, Ruling: req.Ruling, Approval: &ap}
	switch {
	case req.Early:
		d.Basis = countersign.ByEarly
	case !req.Pending:
		d.Basis = countersign.ByLate
	}
	if ap.Granted {
		d.Verdict = countersign.Allow
	}
	r := g.record(typ, req.Action, req.Digest, d)
	if typ == "grant.given" {
		r.Actor = &countersign.Actor{Kind: "human", ID: ap.By}
		if r.Detail == nil {
			r.Detail = map[string]any{}
		}
		r.Detail["key"] = req.Reuse
	}
	receipt, err := g.cfg.Ledger.Append(context.WithoutCancel(ctx), r, true)
	if err != nil {
		_, err = g.fail(req.Action, err)
	}
	return receipt.ID, err
}

// word is what a typed confirmation asks for: the command's first word, or "yes"
// where that could not be typed.
func word(e *countersign.Exec, typed bool) string {
	if !typed {
		return ""
	}
	w := ""
	if e != nil && len(e.Argv) > 0 {
		w = path.Base(e.Argv[0])
	}
	if len(w) > 64 || strings.Trim(w, "._-") == "" || strings.Trim(strings.ToLower(w), "abcdefghijklmnopqrstuvwxyz0123456789._+-") != "" {
		return "yes"
	}
	return w
}
