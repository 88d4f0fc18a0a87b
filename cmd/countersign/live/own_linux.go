//go:build amd64 || arm64

package live

import (
	"context"
	"os"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/gate"
	"github.com/countersign/countersign/sandbox"
	"github.com/countersign/countersign/sandbox/execgate"
)

// spawnOwn starts the person's own command beside the agent: its own filter,
// its own supervisor, and a gate whose launch covers what it starts. The
// person's descriptors are the command's.
func (s *live) spawnOwn(ctx context.Context, args ShellArgs, files []*os.File) (int, error) {
	p, err := s.box.Spawn(sandbox.Command{Argv: args.Argv, Env: s.ownEnv(args.Term), Dir: s.project.Root, Stdin: files[0], Stdout: files[1], Stderr: files[2], Ctty: args.TTY})
	if err != nil {
		return 1, err
	}
	own := gate.New(gate.Config{
		Policy: s.policy, Ledger: s.ledger, Session: s.id, Agent: countersign.Agent{Name: "shell"}, Tier: s.posture.Tier,
		Own: true, Headless: true, Timeout: s.policy.Approvals().Timeout, Unmet: s.policy.Unmet,
		Now: s.Now, NewID: func() string { return base.UUIDv7(s.Now()) }, Key: s.key, Desk: s.desk,
	})
	sup, err := execgate.New(execgate.Config{
		Listener: p.Listener, Judge: judge{own, s.fail, s.trial}, Seals: execgate.NewSeals(pinner{s.box}), Session: s.id, Env: s.ownEnv(args.Term),
		Writable: s.writable, Launch: execgate.Launch{Argv: args.Argv}, Names: s.names, Rewrite: s.staging.Git().Texts.Rewrite, Now: s.Now, Log: s.log,
	})
	if err != nil {
		return 1, err
	}
	runCtx, stop := context.WithCancel(s.ctx)
	defer stop()
	go func() {
		if err := sup.Run(runCtx); err != nil && runCtx.Err() == nil {
			s.log.Warn("the shell's supervisor ended", "err", err)
		}
	}()
	if err := p.Go(); err != nil {
		return 1, err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
	}
	exit, err := p.Wait()
	own.Settle(500 * time.Millisecond) // the reports of what has just ended
	own.Orphan("the shell ended")
	return exit, err
}

// ownEnv is the session's environment with the person's terminal.
func (s *live) ownEnv(term string) []string {
	env := append([]string(nil), s.env...)
	if term != "" {
		env = append(env, "TERM="+term)
	}
	return env
}
