package execgate

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"syscall"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/sandbox/execgate/names"
)

// Answer is what the Judge says to an exec.
type Answer struct {
	Permit countersign.Permit
	Errno  syscall.Errno // what the caller sees; 0: it may run
	// Elsewhere has the permitted command run in another tree of processes: the
	// caller's own image is verified, and then only stands in for it. Nil: it runs.
	Elsewhere Elsewhere
}

// Elsewhere is a permitted command that is ready to run in another tree.
type Elsewhere interface {
	// Run runs it, and returns when it and all that it started have ended, with the
	// exit status for process pid, which stands still meanwhile. Whoever supervises
	// the other tree reports start and end.
	Run(pid int) int
	// Signal hands on a signal that process pid got; SIGKILL: it was killed.
	Signal(sig syscall.Signal)
	// Drop says that it will not be run.
	Drop()
}

// Judge decides, and keeps the records. Its methods are called from many
// threads at once.
type Judge interface {
	// Exec decides an exec that waits; it blocks while a person is asked. The
	// context ends when the caller dies meanwhile. For an action with a Root the
	// permit says by its Basis whether it is covered (ByCover or empty) or was
	// decided by itself.
	Exec(ctx context.Context, a countersign.Action) Answer
	// Started says that the verified image is about to run.
	Started(p countersign.Permit, a countersign.Action)
	// Finished says how it ended: a decided command, or any that the kernel did
	// not start or that was killed because it was not what was permitted.
	Finished(p countersign.Permit, a countersign.Action, o countersign.Outcome)
	// Refused reports a call that was refused without asking; folded is how many
	// equal ones this report stands for.
	Refused(a countersign.Action, call string, errno syscall.Errno, folded int)
}

// Pinner lays sealed copies over files inside the session's view.
type Pinner interface {
	Pin(path string, content []byte) (Pin, error)
}

// Pin is a sealed copy in place; Dev and Ino are what fstat shows inside.
type Pin struct {
	Dev, Ino uint64
	Release  func()
}

// Launch is the command that starts the agent. The first exec under the filter
// must be exactly this one; anything else is asked.
type Launch struct {
	Argv []string
	Cwd  string // resolved, as seen inside; empty: any
}

// Config is what a Supervisor works with.
type Config struct {
	Listener *os.File
	Judge    Judge
	Seals    *Seals // one for all supervisors of a view; nil: scripts in writable places cannot be decided, only covered
	Session  string
	Env      []string               // the session's baseline environment
	Writable func(path string) bool // whether the session can write at a path of the view; nil: everywhere
	Launch   Launch                 // Argv nil: no exec is a launch
	// Closely says of a covered exec whether it is looked at as one that somebody is
	// asked about; nil: none is.
	Closely func(*countersign.Exec) bool
	Names   *names.Set // what is guarded against unlink, rename and link; nil: nothing
	// Rewrite decides the bytes that a rename would put in a guarded text's place, and
	// puts them there. EBUSY is for the caller, any other error is EPERM; each is
	// reported, in its own words. nil: none.
	Rewrite func(ctx context.Context, path string, text []byte) error
	// Restarts says that the filter could not be installed with
	// WAIT_KILLABLE_RECV (before Linux 5.19): signals restart waiting calls.
	Restarts bool
	Now      func() time.Time
	Log      *slog.Logger
}

// Process is a live process that a decided command started, or is.
type Process struct {
	PID     int
	Start   uint64
	Action  countersign.Action
	Permit  countersign.Permit
	Root    *countersign.CoverRoot // nil: it gives and has no cover
	Covered bool                   // it runs under the approval of another command
	Orphan  bool                   // that command has ended: what it starts is asked
}

var errNoListener = errors.New("execgate: no listener or no judge")
