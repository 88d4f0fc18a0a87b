// Package host owns the person's terminal while an agent runs behind it.
package host

import (
	"context"
	"os"
	"time"

	"github.com/countersign/countersign"
)

// Options is what a host is handed. All fields but the marked ones are needed.
type Options struct {
	// Master is the controlling side of the agent's terminal.
	Master *os.File
	// In and Out are the person's terminal.
	In, Out *os.File
	// Requests lists what waits, oldest first.
	Requests func() []countersign.Request
	// Changed is sent to, or closed and replaced by the caller's own means,
	// whenever the list may have changed.
	Changed <-chan struct{}
	// Answer answers a request; its error is shown to the person.
	Answer func(id, digest string, a countersign.Approval) error
	// Now is the clock.
	Now func() time.Time
	// User is the name that approvals carry.
	User string
	// Agent is the name shown on the card.
	Agent string
	// Typed reports that a request needs its first word typed (optional).
	Typed func(countersign.Request) bool
	// Stopped is sent to when the agent has suspended itself (optional): the
	// host then suspends too, as the agent alone would have.
	Stopped <-chan struct{}
	// Continue is called after the person has taken the host back to the
	// foreground (optional): it lets the agent go on.
	Continue func()
	// Guard, if set, gets "ok" when the terminal was given back in order
	// (see Guard).
	Guard *os.File
}

// Run stands between the agent and the terminal until the agent's side of
// Master closes or ctx ends, and gives the terminal back as it was.
func Run(ctx context.Context, o Options) error { return run(ctx, o) }

func run(context.Context, Options) error { panic("todo") }
