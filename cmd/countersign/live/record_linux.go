//go:build amd64 || arm64

package live

import (
	"context"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/tui/cast"
)

// recordWait is how long a part may take that the ledger is to keep.
const recordWait = 5 * time.Second

// tape records the session's terminal into the ledger. Its end returns when all of
// it is on record; a recording that cannot be kept ends the session.
func (s *live) tape() (t *cast.Recorder, end func()) {
	rows, cols := s.terminalSize()
	tick := time.NewTicker(cast.Every)
	t = cast.New(cast.Header{
		Width: int(cols), Height: int(rows), Title: base.Printable(s.opt.Agent) + ", session " + s.id, Env: map[string]string{"TERM": base.Printable(s.Getenv("TERM"))},
	}, s.Now, tick.C, func(p cast.Part) error {
		// The end of a session does not take its last words.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), recordWait)
		defer cancel()
		_, err := s.ledger.Append(ctx, s.terminalRecord(p), false)
		if err != nil {
			s.fail(err)
		}
		return err
	})
	return t, func() {
		tick.Stop()
		_ = t.Close() // its error has ended the session already
	}
}

func (s *live) terminalRecord(p cast.Part) countersign.Record {
	return countersign.Record{
		Type: "terminal.recorded", Session: s.id, Actor: &countersign.Actor{Kind: "system"}, Agent: &countersign.Agent{Name: s.opt.Agent},
		Policy:   s.policy.Record(""),
		Payloads: []countersign.Payload{{Role: base.Terminal, Media: cast.Media, Plain: p.Data}},
		Detail: map[string]any{
			"part": p.N, "started": p.Start.UTC().Format(time.RFC3339Nano),
			"from_ms": p.From.Milliseconds(), "to_ms": p.To.Milliseconds(), "lost_bytes": p.Lost,
		},
	}
}
