package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gate"
	"github.com/countersign/countersign/session"
	"github.com/countersign/countersign/tui/host"
	"github.com/countersign/countersign/workspace/stage"
)

// attend lets the agent go and waits for its end, on the person's terminal if
// the session has one.
func (s *live) attend() (int, error) {
	if err := s.box.Go(); err != nil {
		return 1, err
	}
	if s.box.PTY == nil {
		return s.waitBox()
	}
	ended := make(chan struct{})
	var exit int
	var werr error
	hostCtx, stopHost := context.WithCancel(s.ctx)
	defer stopHost()
	go func() {
		exit, werr = s.waitBox()
		close(ended)
		stopHost()
	}()
	out, _ := s.out.(*os.File)
	row, col, early, err := host.Cursor(s.in, out)
	if err != nil {
		return 1, err
	}
	guard := s.startGuard(out)
	defer guard.Close()
	err = host.Run(hostCtx, host.Options{
		Row: row, Col: col, Early: early, Guard: guard,
		Master: s.box.PTY, In: s.in, Out: out, Requests: func() []countersign.Request { return s.desk.Open(s.id) },
		Changed: s.desk.Changed(), Answer: s.desk.Answer, Now: s.now, User: who(), Agent: s.opt.agent,
		Typed: func(r countersign.Request) bool { return s.policy.Demands(r.Ruling.Rule).Typed },
	})
	if err != nil && hostCtx.Err() == nil {
		return 1, err
	}
	select {
	case <-ended:
	case <-s.ctx.Done():
		s.box.Kill()
		<-ended
	}
	return exit, werr
}

// waitBox waits for the agent, or ends it when the session is ended.
func (s *live) waitBox() (int, error) {
	stop := context.AfterFunc(s.ctx, s.box.Kill)
	defer stop()
	return s.box.Wait()
}

// watch carries the person's edits into the session and says what it cannot.
func (s *live) watch() {
	err := s.staging.Watch(s.ctx, func(e stage.Event) {
		switch e.Kind {
		case stage.Denied:
			s.newDenied(e)
		case stage.Conflict, stage.Branch, stage.GitRefused, stage.Failed:
			_, err := s.ledger.Append(s.ctx, countersign.Record{
				Type: "workspace." + string(e.Kind), Session: s.id, Actor: &countersign.Actor{Kind: "human", ID: who()},
				Action: &countersign.ActionRecord{Kind: countersign.KindFileWrite, Path: printable(e.Path), Summary: e.Text},
			}, false)
			if err != nil && s.ctx.Err() == nil {
				s.fail(err)
			}
		}
	})
	if err != nil && s.ctx.Err() == nil {
		s.log.Warn("your own edits no longer reach the session", "err", err)
	}
}

// handlers answer other terminals.
func (s *live) handlers() map[string]session.Handler {
	h := deskHandlers(s.desk, s.now)
	h["status"] = func(context.Context, json.RawMessage, []*os.File) (any, error) { return s.status(), nil }
	h["stop"] = func(_ context.Context, raw json.RawMessage, _ []*os.File) (any, error) {
		var by string
		if err := json.Unmarshal(raw, &by); err != nil {
			return nil, err
		}
		s.mu.Lock()
		s.stopped = by
		s.mu.Unlock()
		s.end(fmt.Errorf("stopped by %s", by))
		return true, nil
	}
	h["shell"] = s.shellHandler
	maps.Copy(h, s.layerHandlers())
	return h
}

func (s *live) status() statusOf {
	out := statusOf{
		Session: s.id, Agent: s.opt.agent, Project: s.project.Root, Backend: s.kept.Backend, Posture: s.posture,
		Policy: s.policy.Bundle(), Waiting: len(s.desk.Open(s.id)), Processes: []processOf{},
	}
	for _, p := range s.sup.Covered() {
		out.Processes = append(out.Processes, processOf{PID: p.PID, Summary: gate.Summary(p.Action), Covered: p.Covered})
	}
	return out
}

// farewell says what the session left for the person.
func (s *live) farewell() {
	if s.opt.own {
		return
	}
	cs, err := s.changeset(context.Background(), s.kept)
	if err != nil {
		s.say("session %s ended; its changes could not be counted: %v", s.id, err)
		return
	}
	files := map[string]bool{}
	open := 0
	for _, h := range cs.Hunks {
		if h.State == countersign.Undecided || h.State == countersign.Stale {
			files[h.Path] = true
			open++
		}
	}
	if open > 0 {
		s.say("session %s ended: %s in %s to review: countersign review %s", s.id, counted(open, "hunk"), counted(len(files), "file"), s.id)
	} else {
		s.say("session %s ended: nothing to review", s.id)
	}
}

// counted is a number and its noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
