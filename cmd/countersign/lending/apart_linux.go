//go:build amd64 || arm64

package lending

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/sandbox/execgate"
)

// apart judges the tree of a command with secrets: the command itself goes under
// the permit that it has, if it is what was approved, and what it starts is judged as ever,
// with the command as its root.
type apart struct {
	execgate.Judge
	want   countersign.Action
	permit countersign.Permit
	env    []string

	seen    atomic.Bool // the command itself, which is the first
	dropped atomic.Bool // nothing of it may run any more
	over    sync.Once
}

// Exec lets the approved command go, once; what it starts is the session's judge's.
func (j *apart) Exec(ctx context.Context, a countersign.Action) execgate.Answer {
	if !a.Exec.Launch || j.seen.Swap(true) {
		a.Exec.Launch = false // what a launch does next is the agent's start, and this is none
		return j.Judge.Exec(ctx, a)
	}
	if j.dropped.Load() {
		return execgate.Answer{Errno: unix.EACCES}
	}
	if why := j.differs(a.Exec); why != "" {
		j.end(countersign.Outcome{Status: "failed", Error: why})
		return execgate.Answer{Errno: unix.EACCES}
	}
	return execgate.Answer{Permit: j.permit}
}

// differs says what of an exec is not what was approved.
func (j *apart) differs(e *countersign.Exec) string {
	want := j.want.Exec
	same := func(a, b countersign.Script) bool { return a.Path == b.Path && a.SHA256 == b.SHA256 }
	switch {
	case !slices.Equal(e.Argv, want.Argv):
		return "its arguments are others than approved"
	case e.Cwd != want.Cwd:
		return "its working directory is another than approved"
	case e.Exe != want.Exe || !slices.Equal(e.Interp, want.Interp):
		return "its program is another than approved"
	case !slices.EqualFunc(e.Scripts, want.Scripts, same):
		return "its script is another than approved"
	case !slices.Equal(e.Env, j.env):
		return "its environment is another than it was given"
	case e.ProgramFromAgent:
		return "no secret is lent to a command that reads its program from the agent while it runs"
	}
	return ""
}

// Started and Finished speak of the command as it was approved.
func (j *apart) Started(p countersign.Permit, a countersign.Action) {
	if p.Record == j.permit.Record {
		a = j.want
	}
	j.Judge.Started(p, a)
}

func (j *apart) Finished(p countersign.Permit, a countersign.Action, o countersign.Outcome) {
	if p.Record == j.permit.Record {
		j.end(o)
		return
	}
	j.Judge.Finished(p, a, o)
}

// end reports the command's end once, whoever learns of it first.
func (j *apart) end(o countersign.Outcome) {
	j.over.Do(func() { j.Judge.Finished(j.permit, j.want, o) })
}
