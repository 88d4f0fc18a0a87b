//go:build amd64 || arm64

package live

import (
	"context"
	"errors"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/workspace/stage"
)

// recoverLost records the end of sessions that ended without saying so.
func (s *live) recoverLost(ctx context.Context, l countersign.Ledger) error {
	lost, err := s.Dirs.Lost()
	if err != nil {
		return err
	}
	for _, k := range lost {
		open, ended, err := s.openExecs(k.ID)
		if err != nil {
			return err
		}
		if ended != nil { // on record; the session's own file could not say so, for want of disk or time
			by, _ := ended.Detail["ended_by"].(string)
			if err := s.Dirs.Close(k, by, ended.Outcome.Exit, s.Now()); err != nil {
				return err
			}
			continue
		}
		for _, e := range open {
			typ := "exec.finished"
			if e.Type == "net.decided" {
				typ = "net.finished"
			}
			r := countersign.Record{Type: typ, Session: k.ID, Parent: e.Parent, Actor: e.Actor, Agent: e.Agent, Action: e.Action, Policy: e.Policy, Cov: e.Cov, Outcome: &countersign.Outcome{Status: "orphaned", Error: "its session was lost"}}
			if _, err := l.Append(ctx, r, false); err != nil {
				return err
			}
		}
		calls, err := s.OpenCalls(k.ID)
		if err != nil {
			return err
		}
		for _, c := range calls {
			if _, err := l.Append(ctx, base.OrphanedCall(c, "its session was lost"), false); err != nil {
				return err
			}
		}
		r := countersign.Record{
			Type: "session.ended", Session: k.ID, Actor: &countersign.Actor{Kind: "system"}, Agent: &countersign.Agent{Name: k.Agent}, Policy: &countersign.PolicyRecord{Bundle: k.Policy, Preset: k.Preset},
			Outcome: &countersign.Outcome{Status: "orphaned", Error: "the session's process ended without a word"}, Detail: map[string]any{"ended_by": "lost", "orphaned": len(open)},
		}
		if _, err := l.Append(ctx, r, true); err != nil {
			return err
		}
		if err := s.Dirs.Close(k, "lost", nil, s.Now()); err != nil {
			return err
		}
		s.Say("session %s had ended without a word (killed, or the machine stopped): recorded; its staging layer stays", k.ID)
	}
	return nil
}

// openExecs finds the starts of a session's commands, and its connections, that
// have no outcome, and the session's end, if that is on record.
func (s *live) openExecs(id string) (out []countersign.Record, ended *countersign.Record, err error) {
	var order []countersign.Record
	open := map[string]bool{}
	for rec, err := range s.OfSession(id) {
		switch {
		case err != nil:
			return nil, nil, err
		case rec.Type == "session.ended" && rec.Outcome != nil:
			ended = &rec
		case rec.Type == "exec.started":
			order, open[rec.Parent] = append(order, rec), true
		case rec.Type == "net.decided":
			rec.Parent = rec.ID
			order, open[rec.ID] = append(order, rec), true
		case rec.Type == "exec.finished", rec.Type == "net.finished", rec.Type == "net.denied":
			delete(open, rec.Parent)
		}
	}
	for _, started := range order {
		if open[started.Parent] {
			out = append(out, started)
		}
	}
	return out, ended, nil
}

// continueFrom finds the layer that a new session on this project goes on from.
func (s *live) continueFrom() (string, error) {
	if s.opt.From != "" {
		k, err := s.Dirs.Load(s.opt.From)
		if err != nil {
			return "", err
		}
		if k.Project != s.project.Root {
			return "", &countersign.Error{Code: countersign.EInvalid, Op: "go on from session", Thing: k.ID, Err: errors.New("it belongs to " + k.Project), Remedy: "start it there"}
		}
		return s.Dirs.Session(k.ID), nil
	}
	if s.opt.Fresh {
		return "", nil
	}
	for _, l := range stage.Layers(s.Dirs.State, s.project.Root) {
		if !l.Live && l.Changes != 0 && (s.opt.Backend == "" || s.opt.Backend == l.Backend) {
			return l.SessionDir, nil
		}
	}
	return "", nil
}
