//go:build amd64 || arm64

package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/cmd/countersign/knowing"
	"github.com/countersign/countersign/cmd/countersign/posture"
	"github.com/countersign/countersign/cmd/countersign/reviewing"
	"github.com/countersign/countersign/egress"
	"github.com/countersign/countersign/gate"
	"github.com/countersign/countersign/gate/grants"
	"github.com/countersign/countersign/gateway/budget"
	"github.com/countersign/countersign/internal/mask"
	"github.com/countersign/countersign/ledger"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/profile"
	"github.com/countersign/countersign/sandbox"
	"github.com/countersign/countersign/sandbox/execgate"
	"github.com/countersign/countersign/sandbox/execgate/names"
	"github.com/countersign/countersign/sandbox/tripwire"
	"github.com/countersign/countersign/session"
	"github.com/countersign/countersign/workspace/gitview"
	"github.com/countersign/countersign/workspace/review"
	"github.com/countersign/countersign/workspace/stage"
	"github.com/countersign/countersign/workspace/tree"
)

// live is one session while it runs: every concrete part, made in order and
// undone in reverse.
type live struct {
	*base.App
	opt     Options
	id      string
	ctx     context.Context
	end     context.CancelCauseFunc
	parts   session.Closers // what is undone before the end is on record
	closers session.Closers // what that needs: the ledger and the session's lock
	log     *slog.Logger

	profile    *profile.Profile // of the agent
	policy     *policy.Policy
	pinned     []byte // the policy file that took the place of the user's layer
	posture    countersign.Posture
	trial      *posture.Trial
	proof      posture.Proof // of the trial
	reach      func() (*ledger.Client, error)
	ledger     *ledger.Client
	key        *countersign.Keyer
	kept       session.Kept
	project    *gitview.Project
	budgets    *budget.Book // nil where the policy has none
	staging    *stage.Staging
	env        []string
	removed    []string // names of variables that were not passed on
	token      string
	home       string // the agent's private home on the host
	toolchains []string
	desk       *gate.Desk
	gate       *gate.Gate
	mask       mask.Mask // what was lent
	box        *sandbox.Sandbox
	trips      *tripwire.Server
	egress     *egress.Door // nil where the policy has none
	sup        *execgate.Supervisor
	homeLaid   chan error // how layHome went
	denied     *knowing.Content
	supervised chan struct{} // closed when the supervisor has ended

	mu      sync.Mutex
	stopped string            // base.Who stopped it, if a person did
	nodes   map[string]uint64 // tripwires by path inside
	shelved map[string]int    // shelves by path inside: how many files stand there
	nextID  uint64
	names   *names.Set // the guarded names of the view
	texts   map[string]*laidText
	failed  error
	unkept  error                  // why the staging layer could not be closed
	staged  map[string]*tree.State // by path: the changes that a review asked for last
	steps   map[string]*tree.State // by SHA-256: what the steps of those hold
}

// errLedgerGone ends a session whose ledger died: nothing goes on unrecorded.
var errLedgerGone = errors.New("the ledger process is gone or cannot write")

// While a session starts, and one that is over sooner, the collector runs at 36 MiB
// instead of at 4 (runtime/debug, SetGCPercent), eight times on 3,000 files.
const (
	rarely = 800
	starts = time.Second
)

// Run runs one session from start to end. It returns the agent's exit
// code and who ended the session.
func Run(ctx context.Context, a *base.App, o Options) (exit int, by string, err error) {
	s := &live{App: a, opt: o, id: base.NewID(8), log: slog.New(slog.NewTextHandler(a.Err, &slog.HandlerOptions{Level: slog.LevelWarn})), nodes: map[string]uint64{}, shelved: map[string]int{}, names: names.NewSet(), texts: map[string]*laidText{}, trial: posture.NewTrial(), supervised: make(chan struct{})}
	s.ctx, s.end = context.WithCancelCause(ctx)
	defer s.end(nil)
	collect := debug.SetGCPercent(rarely)
	defer time.AfterFunc(starts, func() { debug.SetGCPercent(collect) }).Stop()
	defer s.closers.Close()
	defer s.parts.Close()
	for _, step := range []func() error{s.check, s.openLedger, s.hold, s.prepareEnv, s.beginBox, s.stage, s.openGate, s.startBox, s.startDoors, s.prove, s.announce} {
		if err := step(); err != nil {
			if s.box != nil {
				s.box.Kill() // before its layer is closed
			}
			s.parts.Close()
			err = s.withUnkept(err)
			s.closed("countersign", nil, err)
			return 1, "countersign", err
		}
	}
	return s.work()
}

// check does what can fail without a trace: policy and posture.
func (s *live) check() error {
	var err error
	if withCgo {
		return &countersign.Error{Code: countersign.EPosture, Op: "start a session", Err: errors.New("this binary was built with cgo"), Remedy: "build it with CGO_ENABLED=0: one static binary"}
	}
	if err := s.Dirs.Make(); err != nil {
		return err
	}
	// The machine is probed and the ledger reached while the policy is read.
	probe := sync.OnceValues(func() (countersign.Posture, error) { return posture.Probe(s.ctx) })
	go probe()
	if s.project, err = s.App.Project(); err != nil {
		return err
	}
	s.project.Ahead(s.ctx)
	if s.profile, err = profile.For(s.opt.Agent); err != nil {
		return err
	}
	own, err := base.Housekeeping(s.profile, s.project.Root)
	if err != nil {
		return err
	}
	if s.policy, s.pinned, err = s.ReadPolicy(base.PolicyFrom{File: s.opt.Policy, Preset: s.opt.Preset, Project: s.project.Root, Agent: own, Said: s.opt.Lend}); err != nil {
		return err
	}
	if err := s.projectIsOne(); err != nil {
		return err
	}
	s.reach = sync.OnceValues(func() (*ledger.Client, error) { return s.App.Ledger(s.ctx) })
	s.closers.Add(func() {
		if l, err := s.reach(); err == nil {
			l.Close()
		}
	})
	go s.reach()
	if s.posture, err = probe(); err != nil {
		return err
	}
	s.posture.Mechanisms = append(append(s.posture.Mechanisms, posture.Confined(s.policy)...), doorMechanism(s.policy)...)
	return posture.Check(s.posture, s.policy)
}

func (s *live) openLedger() error {
	l, err := s.reach()
	if err != nil {
		return err
	}
	l.Canary = s.opt.Selftest != nil
	s.ledger = l
	go func() {
		select {
		case <-l.Closed():
			s.fail(s.ledgerLost(l.Err()))
		case <-s.ctx.Done():
		}
	}()
	key, err := s.DigestKey()
	if err != nil {
		return err
	}
	s.key = countersign.NewKeyer(key)
	if err := s.recoverLost(s.ctx, l); err != nil {
		return err
	}
	return s.RecoverApply(s.ctx, s.project.Root, l)
}

// ledgerLost says why the ledger cannot go on. A process that died of a full
// disk may not have had the time to tell this connection.
func (s *live) ledgerLost(err error) error {
	var fs unix.Statfs_t
	if unix.Statfs(s.LedgerDir(), &fs) == nil && fs.Bavail*uint64(fs.Bsize) < 4<<20 {
		err = fmt.Errorf("no space left on the disk of %s: %w", s.LedgerDir(), err)
	}
	return fmt.Errorf("%w: %w", errLedgerGone, err)
}

// fail closes the gate and ends the session: what it was asked to guard cannot
// be recorded or watched any more.
func (s *live) fail(err error) {
	s.mu.Lock()
	if s.failed == nil {
		s.failed = err
	}
	g := s.gate
	s.mu.Unlock()
	if g != nil {
		g.Close(err)
	}
	s.end(err)
}

// hold takes the session's lock and puts its first word on disk.
func (s *live) hold() error {
	lock, err := s.Dirs.Hold(s.id)
	if err != nil {
		return err
	}
	s.closers.Add(func() { lock.Close() })
	s.kept = session.Kept{Session: countersign.Session{
		ID: s.id, Agent: s.opt.Agent, Project: s.project.Root, Argv: s.opt.Argv, Started: s.Now().UTC(),
		PID: os.Getpid(), Policy: s.policy.Bundle(), Preset: s.policy.Preset(), Posture: s.posture, Backend: s.opt.Backend,
	}}
	return nil
}

// stage prepares the staged tree, going on from the newest layer of the project
// unless a fresh one is asked for.
func (s *live) stage() error {
	from, err := s.continueFrom()
	if err != nil {
		return err
	}
	s.staging, err = stage.New(s.ctx, stage.Options{
		Project: s.project, StateDir: s.Dirs.State, SessionDir: s.Dirs.Session(s.id),
		Denied: base.DeniedBy(s.policy), Notable: base.NotableBy(s.policy), Backend: s.opt.Backend, Fresh: s.opt.Fresh, From: from, Now: s.Now,
	})
	if err != nil {
		return err
	}
	s.parts.Add(func() { s.unkept = s.staging.Close() })
	s.kept.Backend, s.kept.Notes = s.staging.Backend(), reviewing.Notes(s.staging.Notes())
	if !s.project.Git && !s.opt.Own {
		s.Say("%s is no git repository: all that changes in it is staged and reviewed, nothing is left out as ignored; `git init` makes it one, and -C DIR names another", base.Plain(s.project.Root))
	}
	s.SayNotes(s.kept.Notes, "countersign status lists all")
	if from != "" {
		if err := review.Inherit(from, s.Dirs.Session(s.id)); err != nil {
			return err
		}
		s.kept.From = filepath.Base(from)
		s.Say("going on with what session %s left for review (`run --fresh` starts from the real tree)", s.kept.From)
	}
	if err := s.Dirs.Save(s.kept); err != nil || s.opt.Policy == "" {
		return err
	}
	return s.PinPolicy(s.pinned, s.id)
}

// openGate makes the desk and the gate behind it.
func (s *live) openGate() error {
	s.desk = gate.NewDesk(s.Now, func() string { return base.NewID(4) })
	timeout := s.policy.Approvals().Timeout
	s.mu.Lock()
	s.gate = gate.New(gate.Config{
		Policy: s.policy, Ledger: s.ledger, Session: s.id, Agent: countersign.Agent{Name: s.opt.Agent},
		Tier: s.posture.Tier, Headless: s.opt.Approver == "none", Own: s.opt.Own, Timeout: timeout,
		Unmet: s.policy.Unmet, Now: s.Now, NewID: func() string { return base.UUIDv7(s.Now()) }, Key: s.key, Desk: s.desk,
		Typed: func(rule string) bool { return s.policy.Demands(rule).Typed },
		Same:  s.profile.Same,
		Mask:  &s.mask,
		Kept:  &grants.File{Path: s.GrantsFile(s.project.Root), Project: s.project.Root},
	})
	s.mu.Unlock()
	if s.opt.Selftest != nil {
		go s.selfAnswer(s.desk.Changed())
	}
	return nil
}

// announce puts the session on record; only then may anything of it start.
func (s *live) announce() error {
	for _, r := range []countersign.Record{s.policyRecord(), s.proofRecord(), s.startRecord()} {
		if _, err := s.ledger.Append(s.ctx, r, !r.Canary); err != nil {
			return err
		}
	}
	if err := s.gate.Sweep(s.ctx); err != nil {
		s.Say("%v: what it granted is asked again", err)
	}
	return nil
}

func (s *live) policyRecord() countersign.Record {
	return countersign.Record{
		Type: "policy.activated", Session: s.id, Actor: s.Human(),
		Policy: s.policy.Record(""),
	}
}

func (s *live) startRecord() countersign.Record {
	return countersign.Record{
		Type: "session.started", Session: s.id, Actor: s.Human(), Agent: &countersign.Agent{Name: s.opt.Agent},
		Policy: s.policy.Record(""),
		Cov:    &countersign.Coverage{Tier: s.posture.Tier, Isolation: "same-uid"},
		Action: &countersign.ActionRecord{Kind: countersign.KindExec, Argv: gate.Argv(base.Redacted(s.opt.Argv)), Cwd: s.project.Root, Summary: gate.Line(base.Summary(s.opt.Argv))},
		Detail: map[string]any{
			"profile": map[string]any{"name": s.profile.Name, "digest": s.profile.Digest}, "posture": s.posture.Mechanisms, "backend": s.kept.Backend, "approver": s.opt.Approver, "env_removed": s.removed,
			"notes": s.kept.Notes[:min(len(s.kept.Notes), 40)], "note_count": len(s.kept.Notes),
		},
	}
}

// work lets the agent go, waits for its end, and closes the books.
func (s *live) work() (exit int, by string, err error) {
	exit, err = s.attend()
	by = "agent"
	s.mu.Lock()
	stopped, failed := s.stopped, s.failed
	s.mu.Unlock()
	switch {
	case failed != nil:
		by, exit = "countersign", 1
		err = &countersign.Error{Code: countersign.EClosed, Op: "go on with session", Thing: s.id, Err: failed, Remedy: "nothing of it runs any more; its staging layer stays: `countersign review " + s.id + "`"}
	case stopped != "":
		by, exit, err = "countersign", 130, nil
		s.Say("session %s was stopped by %s", s.id, stopped)
	case s.ctx.Err() != nil:
		by, exit, err = "countersign", 130, context.Canceled
	case err != nil: // the sandbox or the terminal failed, not the agent
		by = "countersign"
	}
	s.box.Kill()
	looked := make(chan struct{})
	go func() { // what it changed is looked for while its last reports come
		defer close(looked)
		s.staging.Rest()
		_, _ = s.staging.Changes(context.Background()) // an error comes again to who asks
	}()
	s.settle()
	s.gate.Orphan("the session ended")
	<-looked
	left := s.left()
	s.parts.Close()
	if s.unkept != nil {
		by, exit, err = "countersign", 1, s.withUnkept(err)
	}
	s.closed(by, &exit, err)
	s.farewell(left)
	return exit, by, err
}

// withUnkept adds that the staging layer could not be closed to what ended the
// session.
func (s *live) withUnkept(err error) error {
	if s.unkept == nil {
		return err
	}
	return errors.Join(err, &countersign.Error{
		Code: countersign.EInternal, Op: "close the staging layer of session", Thing: s.id, Err: s.unkept,
		Remedy: "what the session changed stays in " + s.Dirs.Session(s.id) + ": mend the cause, then see whether `countersign review " + s.id + " --list` has all of it",
	})
}

// settle waits, shortly, for the last reports of what is dead now: nothing of a
// session is on record behind its end.
func (s *live) settle() {
	if s.trips != nil {
		s.trips.Close()
	}
	if s.egress != nil {
		s.egress.Close()
	}
	select {
	case <-s.supervised:
	case <-time.After(500 * time.Millisecond):
	}
	s.gate.Settle(500 * time.Millisecond)
}

// closed writes the session's end, on record and on disk.
func (s *live) closed(by string, exit *int, err error) {
	if s.ledger == nil || s.kept.ID == "" {
		return
	}
	o := &countersign.Outcome{Status: "ok", Exit: exit}
	if exit != nil && *exit != 0 {
		o.Status = "failed"
	}
	if err != nil {
		o.Status, o.Error = "failed", gate.Line(err.Error())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, lerr := s.ledger.Append(ctx, countersign.Record{
		Type: "session.ended", Session: s.id, Actor: &countersign.Actor{Kind: "system"}, Agent: &countersign.Agent{Name: s.opt.Agent},
		Policy: &countersign.PolicyRecord{Bundle: s.kept.Policy, Preset: s.kept.Preset}, Outcome: o, Detail: map[string]any{"ended_by": by},
	}, true)
	if lerr != nil {
		return // it stays open on disk: the next start finds and records it
	}
	if s.staging != nil {
		s.kept.Notes = reviewing.Notes(s.staging.Notes())
	}
	if _, serr := os.Stat(filepath.Join(s.Dirs.Session(s.id), "session.json")); serr == nil {
		_ = s.Dirs.Close(s.kept, by, exit, s.Now())
	}
}
