// Package host owns the person's terminal while an agent runs behind it, and
// shows the card when a request waits.
//
// It promises that the agent's bytes reach the terminal at once and in order,
// less what is dangerous (see judge); that while a card stands nothing of the
// agent reaches the terminal and no key reaches the agent; that the agent's
// screen then comes back as it was, with what it wrote meanwhile; and that the
// terminal is given back sane however Run ends. It touches the terminal, the
// master it is handed, and the signals of the terminal (SIGWINCH, SIGTSTP,
// SIGCONT, SIGHUP, SIGTERM, SIGINT, while it runs). It decides nothing and starts
// nothing.
package host

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/tui/visible"
)

// Options is what a host is handed. All fields but those marked optional are
// needed.
type Options struct {
	// Master is the controlling side of the agent's terminal.
	Master *os.File
	// In and Out are the person's terminal.
	In, Out *os.File
	// Requests lists what waits, oldest first.
	Requests func() []countersign.Request
	// Changed gets a value whenever the list may have changed. One that comes
	// while the host is busy must not be lost: give it a buffer of one.
	Changed <-chan struct{}
	// Answer answers a request; its error is shown to the person.
	Answer func(id, digest string, a countersign.Approval) error
	// Now is the clock.
	Now func() time.Time
	// User is the name that approvals carry.
	User string
	// Agent is the name shown on the card (optional).
	Agent string
	// Weak is what of the session's posture is less than whole, for the card; empty:
	// nothing.
	Weak string
	// Unwrap finds the command that the agent's own wrapper was put around, and what
	// that does (optional); it is for the card alone.
	Unwrap func(argv []string) (command, does string, ok bool)
	// Stopped gets a value when the agent has suspended itself (optional): the
	// host then suspends too, as the agent alone would have.
	Stopped <-chan struct{}
	// Continue is called after the person has taken the host to the foreground
	// again (optional): it lets the agent go on.
	Continue func()
	// Row and Col are where the terminal's cursor stands at the start, counted
	// from 1 (see Cursor); 0: at the top left. Early was typed before Run and is
	// the agent's (all optional).
	Row, Col int
	Early    []byte
	// Guard gets "ok" when the terminal has been given back in order
	// (optional): the other end of Guard's pipe.
	Guard io.Writer
	// Tape hears what the agent's terminal got (optional).
	Tape Tape
}

// Tape hears, in order and piece by piece, what came through the filter for the
// agent's terminal, whether a card stands before it or not; not what asks a
// terminal something. What it is handed it must not keep. It must not wait.
type Tape interface {
	Text(b []byte)                  // printable characters, UTF-8
	Control(raw []byte, still bool) // one control or whole sequence; still: the cursor stays
	Resize(w, h int)                // columns and rows, also at the start
}

// Run stands between the agent and the terminal until the agent's side of
// Master closes, ctx ends (what the agent has still written is shown), or the
// process is told to end by SIGHUP, SIGTERM or SIGINT, which is an *Ended
// error.
func Run(ctx context.Context, o Options) error { return run(ctx, o) }

// Ended says which signal ended a host.
type Ended struct{ Signal os.Signal }

// Error names the signal.
func (e *Ended) Error() string { return "ended by signal: " + e.Signal.String() }

// Say writes a message of Countersign itself: each line with a prefix and
// nothing in it that a terminal acts on. It is for before and after Run, never
// for the agent's screen.
func Say(w io.Writer, format string, args ...any) {
	for _, line := range strings.Split(fmt.Sprintf(format, args...), "\n") {
		out, _ := visible.String(line)
		fmt.Fprintf(w, "countersign: %s\n", out) //nolint:errcheck // there is nowhere else to say it
	}
}
