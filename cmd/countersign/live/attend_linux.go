//go:build amd64 || arm64

package live

import (
	"context"
	"fmt"
	"os"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/cmd/countersign/reviewing"
	"github.com/countersign/countersign/gate"
	"github.com/countersign/countersign/internal/count"
	"github.com/countersign/countersign/tui/host"
	"github.com/countersign/countersign/workspace/stage"
)

// attend lets the agent go and waits for its end, on the person's terminal if
// the session has one.
func (s *live) attend() (int, error) {
	if err := s.box.Go(); err != nil {
		return 1, s.why(err)
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
	out, _ := s.Out.(*os.File)
	row, col, early, err := host.Cursor(s.In, out)
	if err != nil {
		return 1, err
	}
	guard := s.startGuard(out)
	defer guard.Close()
	tape, stopTape := s.tape()
	err = host.Run(hostCtx, host.Options{
		Row: row, Col: col, Early: early, Guard: guard,
		Master: s.box.PTY, In: s.In, Out: out, Requests: func() []countersign.Request { return s.desk.Open(s.id) },
		Changed: s.desk.Changed(), Answer: s.answer, Now: s.Now, User: base.Who(), Agent: s.opt.Agent, Weak: s.posture.Weak(), Unwrap: s.profile.Unwrap, Tape: tape,
	})
	stopTape()
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

// answer is the person's on the session's own terminal.
func (s *live) answer(id, digest string, a countersign.Approval) error {
	return s.gate.Answer(s.ctx, id, digest, a)
}

// why names the rule that refused the start: the sandbox saw a permission
// denied, and cannot know whose.
func (s *live) why(err error) error {
	if refused := s.gate.LaunchRefused(); err != nil && refused != nil {
		return refused
	}
	return err
}

// waitBox waits for the agent, or ends it when the session is ended.
func (s *live) waitBox() (int, error) {
	stop := context.AfterFunc(s.ctx, s.box.Kill)
	defer stop()
	exit, err := s.box.Wait()
	return exit, s.why(err)
}

// watch carries the person's edits into the session and says what it cannot.
func (s *live) watch() {
	err := s.staging.Watch(s.ctx, func(e stage.Event) {
		switch e.Kind {
		case stage.Denied:
			s.newDenied(e)
		case stage.Branch:
			if err := s.shelve(); err != nil && s.ctx.Err() == nil {
				s.fail(fmt.Errorf("reading withheld git objects would not be seen: %w", err))
			}
			s.noted(e)
		case stage.Conflict, stage.Failed:
			s.noted(e)
		}
	})
	if err != nil && s.ctx.Err() == nil {
		s.log.Warn("your own edits no longer reach the session", "err", err)
	}
}

func (s *live) noted(e stage.Event) {
	if _, err := s.ledger.Append(s.ctx, s.workspaceRecord(e), false); err != nil && s.ctx.Err() == nil {
		s.fail(err)
	}
}

// workspaceRecord is what the staging layer noticed of the person's doing outside.
func (s *live) workspaceRecord(e stage.Event) countersign.Record {
	r := countersign.Record{
		Type: "workspace." + string(e.Kind), Session: s.id, Actor: &countersign.Actor{Kind: "human", ID: base.Who()}, Agent: &countersign.Agent{Name: s.opt.Agent},
		Action: &countersign.ActionRecord{Kind: countersign.KindFileWrite, Path: base.Printable(e.Path), Summary: gate.Line(e.Text)},
		Policy: s.policy.Record(""),
	}
	if e.Kind == stage.Failed {
		r.Actor = &countersign.Actor{Kind: "system"}
	}
	return r
}

// left says what the session leaves for review; it looks while the layer is open.
func (s *live) left() string {
	if s.opt.Own {
		return ""
	}
	cs, err := reviewing.HeldChangeset(context.Background(), s.App, s.kept, s.policy, s.staging)
	if err != nil {
		return fmt.Sprintf("its changes could not be counted: %v", err)
	}
	files := map[string]bool{}
	open := 0
	for _, h := range cs.Hunks {
		if h.State == countersign.Undecided || h.State == countersign.Stale {
			files[h.Path] = true
			open++
		}
	}
	if open == 0 {
		return "nothing to review"
	}
	return fmt.Sprintf("%s in %s to review: countersign review %s", count.Of(open, "hunk"), count.Of(len(files), "file"), s.id)
}

// farewell says what the session left for the person.
func (s *live) farewell(left string) {
	if s.opt.Own {
		return
	}
	if n := s.gate.Denied(); n > 0 && s.opt.Approver == "none" {
		s.Say("%s denied, nobody could be asked or a rule said so: countersign log --session %s --type exec.decided", count.Of(n, "command"), s.id)
	}
	s.Say("session %s ended: %s", s.id, left)
}
