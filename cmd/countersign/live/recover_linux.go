//go:build amd64 || arm64

package live

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/ledger"
	"github.com/countersign/countersign/workspace/stage"
)

// recoverLost records the end of sessions that ended without saying so.
func (s *live) recoverLost(ctx context.Context, l countersign.Ledger) error {
	lost, err := s.Dirs.Lost()
	if err != nil {
		return err
	}
	for _, k := range lost {
		open, err := s.openExecs(k.ID)
		if err != nil {
			return err
		}
		for _, e := range open {
			r := countersign.Record{Type: "exec.finished", Session: k.ID, Parent: e.Parent, Actor: e.Actor, Agent: e.Agent, Action: e.Action, Policy: e.Policy, Cov: e.Cov, Outcome: &countersign.Outcome{Status: "orphaned", Error: "its session was lost"}}
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
			Type: "session.ended", Session: k.ID, Actor: &countersign.Actor{Kind: "system"}, Agent: &countersign.Agent{Name: k.Agent}, Policy: &countersign.PolicyRecord{Bundle: k.Policy},
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

// openExecs finds the starts of a session's commands that have no outcome.
func (s *live) openExecs(id string) ([]countersign.Record, error) {
	r, err := ledger.OpenReader(s.LedgerDir())
	if err != nil {
		return nil, err
	}
	var order []countersign.Record
	open := map[string]bool{}
	for line, err := range r.All() {
		if err != nil {
			return nil, err
		}
		rec, ok := ofSession(line, id)
		switch {
		case !ok:
		case rec.Type == "exec.started":
			order, open[rec.Parent] = append(order, rec), true
		case rec.Type == "exec.finished":
			delete(open, rec.Parent)
		}
	}
	var out []countersign.Record
	for _, started := range order {
		if open[started.Parent] {
			out = append(out, started)
		}
	}
	return out, nil
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

// ofSession decodes a record if it belongs to the session.
func ofSession(line []byte, id string) (countersign.Record, bool) {
	var r countersign.Record
	err := json.Unmarshal(line, &r)
	return r, err == nil && r.Session == id
}
