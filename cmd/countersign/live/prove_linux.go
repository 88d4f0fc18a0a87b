//go:build amd64 || arm64

package live

import (
	"context"
	"strings"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/gate"
)

// prove has the sandbox refuse what it must, on the agent's own thread before its
// first exec. One that does not is on record, and its agent does not start.
func (s *live) prove() error {
	answers, err := s.box.Try(s.trial.Denied)
	if err == nil {
		s.proof, err = s.trial.End(s.ctx, answers, s.trips != nil && s.trial.Denied != "")
	}
	if len(s.proof.Failed) > 0 {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), 5*time.Second)
		defer cancel()
		if _, lerr := s.ledger.Append(ctx, s.proofRecord(), true); lerr != nil {
			return lerr
		}
	}
	return err
}

// proofRecord says what the sandbox refused before the agent was there.
func (s *live) proofRecord() countersign.Record {
	state, status, got := "blocked", "ok", "refused and noted, every one"
	if len(s.proof.Failed) > 0 {
		state, status, got = "not as it must be", "failed", gate.Line(strings.Join(s.proof.Failed, "; "))
	}
	return countersign.Record{
		Type: "canary.result", Session: s.id, Canary: true, Actor: &countersign.Actor{Kind: "system"}, Agent: &countersign.Agent{Name: s.opt.Agent},
		Policy: s.policy.Record(""), Cov: &countersign.Coverage{Tier: s.posture.Tier, Isolation: "same-uid"},
		Action:  &countersign.ActionRecord{Kind: countersign.KindTamper, Summary: "calls that the sandbox must refuse, before its agent starts"},
		Outcome: &countersign.Outcome{Status: status},
		Detail: map[string]any{
			"row": "start", "control": "AC-19", "invariant": 8, "expected": "refused and noted, every one", "got": got,
			"state": state, "blocked": status == "ok", "tried": s.proof.Tried,
		},
	}
}
