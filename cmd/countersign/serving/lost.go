package serving

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/internal/filelock"
)

// A gateway holds a lock on a file of its name as long as it lives, and removes
// the file after its end is on record. A file without a holder is a gateway that
// was killed.

func (s *service) held(id string) string {
	return filepath.Join(s.Dirs.State, "gateway", id+".lock")
}

// hold takes this gateway's lock and records the end of those that were lost.
func (s *service) hold(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(s.Dirs.State, "gateway"), 0o700); err != nil {
		return err
	}
	if err := s.recoverLost(ctx); err != nil {
		return err
	}
	unlock, err := filelock.Lock(ctx, s.held(s.id))
	if err == nil {
		s.closers = append(s.closers, unlock)
	}
	return err
}

func (s *service) release() { _ = os.Remove(s.held(s.id)) }

func (s *service) recoverLost(ctx context.Context) error {
	files, err := filepath.Glob(s.held("gw*"))
	if err != nil {
		return err
	}
	now, cancel := context.WithCancel(ctx)
	cancel() // a lock that another holds is not waited for
	for _, f := range files {
		unlock, err := filelock.Lock(now, f)
		if errors.Is(err, filelock.ErrBusy) {
			continue
		}
		if err == nil {
			err = s.recordLost(ctx, strings.TrimSuffix(filepath.Base(f), ".lock"))
			unlock()
		}
		if err == nil {
			err = os.Remove(f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// recordLost gives each request that was let go an answer's record, and the
// gateway its end.
func (s *service) recordLost(ctx context.Context, id string) error {
	open, err := s.OpenCalls(id)
	if err != nil {
		return err
	}
	for _, c := range open {
		if _, err := s.ledger.Append(ctx, base.OrphanedCall(c, "its gateway was lost"), false); err != nil {
			return err
		}
	}
	_, err = s.ledger.Append(ctx, countersign.Record{
		Type: "gateway.ended", Session: id, Actor: &countersign.Actor{Kind: "system"},
		Outcome: &countersign.Outcome{Status: "orphaned", Error: "the gateway's process ended without a word"},
		Detail:  map[string]any{"ended_by": "lost", "orphaned": len(open)},
	}, true)
	if err == nil {
		s.Say("gateway %s had ended without a word (killed, or the machine stopped): recorded", id)
	}
	return err
}
