//go:build amd64 || arm64

package lending

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/gate"
	"github.com/countersign/countersign/gateway/keys"
	"github.com/countersign/countersign/internal/mask"
	"github.com/countersign/countersign/policy/lends"
	"github.com/countersign/countersign/sandbox"
	"github.com/countersign/countersign/sandbox/execgate"
)

// Lender lends the secrets of one session.
type Lender struct {
	Context context.Context // of the session
	Lends   func(*countersign.Exec) []countersign.Lend
	Judge   execgate.Judge // of the session: decides as ever
	Store   keys.Store
	Mask    *mask.Mask
	Learn   func(name, value string) // has the gateway look for a value
	Ledger  countersign.Ledger
	Record  countersign.Record // what every record of the session has
	Policy  func(rule string) *countersign.PolicyRecord
	Fail    func(error) // ends the session: what must be on record cannot be
	Spawn   func(sandbox.Command) (*sandbox.Process, error)
	// Gate is what supervises a tree, but for its listener, judge, environment and
	// launch.
	Gate     execgate.Config
	Env      []string // of the session
	Home     string   // of the agent, inside
	Writable func(string) bool
	Log      *slog.Logger
}

// Exec decides an exec, and has one that secrets are lent to run apart.
func (l *Lender) Exec(ctx context.Context, a countersign.Action) execgate.Answer {
	if !a.Exec.Launch {
		a.Exec.Lends = l.Lends(a.Exec)
	}
	ans := l.Judge.Exec(ctx, a)
	if ans.Errno != 0 || ans.Permit.Record == "" || len(a.Exec.Lends) == 0 {
		return ans
	}
	to, err := l.prepare(ctx, a, ans.Permit)
	if err != nil {
		l.Judge.Finished(ans.Permit, a, countersign.Outcome{Status: "failed", Error: l.Mask.String(err.Error())})
		return execgate.Answer{Errno: unix.EACCES}
	}
	ans.Elsewhere = to
	return ans
}

// Started, Finished and Refused are of what is not lent anything.
func (l *Lender) Started(p countersign.Permit, a countersign.Action) { l.Judge.Started(p, a) }

func (l *Lender) Finished(p countersign.Permit, a countersign.Action, o countersign.Outcome) {
	l.Judge.Finished(p, a, o)
}

func (l *Lender) Refused(a countersign.Action, call string, errno syscall.Errno, folded int) {
	l.Judge.Refused(a, call, errno, folded)
}

// prepare reads the values, puts their use on record, and has the command wait
// before its first exec.
func (l *Lender) prepare(ctx context.Context, a countersign.Action, permit countersign.Permit) (*away, error) {
	_ = ctx.Done() // from here on others are not kept waiting for this
	var values []string
	for _, x := range a.Exec.Lends {
		v, err := l.value(ctx, x)
		if err != nil {
			return nil, err
		}
		values = append(values, x.Name+"="+v)
	}
	for _, x := range a.Exec.Lends {
		if err := l.record(a, permit, x); err != nil {
			l.Fail(err)
			return nil, err
		}
	}
	env := environment(l.Env, a.Exec, l.Home, l.Writable, values)
	return l.start(a, permit, env)
}

// value reads a secret, and has it covered before anybody else has it.
func (l *Lender) value(ctx context.Context, x countersign.Lend) (string, error) {
	src, err := lends.ParseSource(x.From)
	if err != nil {
		return "", err
	}
	ref := keys.Ref{Command: src.Argv}
	switch src.Kind {
	case "env":
		ref.Env = src.Rest
	case "file":
		ref.File = src.Rest
	case "keyring":
		ref.Keyring = src.Rest
	}
	v, err := l.Store.Find(ctx, x.Name, ref)
	if err != nil {
		return "", fmt.Errorf("lend %s: %w", x.Name, errors.Unwrap(err))
	}
	if !l.Mask.Add(x.Name, v) {
		return "", fmt.Errorf("lend %s: its value is shorter than %d bytes, and could not be covered in what the command prints", x.Name, mask.Min)
	}
	for _, part := range mask.Parts(v) {
		l.Learn(x.Name, part)
	}
	return v, nil
}

func (l *Lender) record(a countersign.Action, permit countersign.Permit, x countersign.Lend) error {
	src, _ := lends.ParseSource(x.From)
	r := l.Record
	r.Type, r.Parent, r.Actor, r.Policy = "secret.lent", permit.Record, &countersign.Actor{Kind: "system"}, l.Policy(x.Rule)
	r.Action = &countersign.ActionRecord{Kind: countersign.KindExec, Digest: permit.Digest, Exe: "sha256:" + a.Exec.Exe.SHA256, Summary: l.Mask.String(gate.Summary(a))}
	r.Detail = map[string]any{"name": x.Name, "from": src.Kind}
	_, err := l.Ledger.Append(context.WithoutCancel(l.Context), r, true)
	return err
}

// start has the command wait in a tree of its own, under a supervisor of its own.
func (l *Lender) start(a countersign.Action, permit countersign.Permit, env []string) (*away, error) {
	w := &away{ended: make(chan struct{})}
	theirs, err := w.open(a.Peer.PID, a.Exec.Stdin)
	defer closeAll(theirs[:])
	if err != nil {
		return nil, err
	}
	w.p, err = l.Spawn(sandbox.Command{
		Path: a.Exec.Invoked, Argv: a.Exec.Argv, Env: env, Dir: a.Exec.Cwd, Whole: true, Inside: true, Stdin: theirs[0], Stdout: theirs[1], Stderr: theirs[2],
	})
	if err != nil {
		w.close()
		return nil, fmt.Errorf("run it apart: %w", err)
	}
	w.judge = &apart{Judge: l.Judge, want: a, permit: permit, env: env}
	cfg := l.Gate
	cfg.Listener, cfg.Judge, cfg.Env, cfg.Launch = w.p.Listener, w.judge, env, execgate.Launch{Argv: a.Exec.Argv}
	sup, err := execgate.New(cfg)
	if err != nil {
		w.close()
		return nil, err
	}
	ctx, stop := context.WithCancel(l.Context)
	w.stop, w.mask = stop, l.Mask
	go func() {
		if err := sup.Run(ctx); err != nil && ctx.Err() == nil {
			l.Log.Warn("the supervisor of a command with secrets ended", "err", err)
		}
	}()
	return w, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}
