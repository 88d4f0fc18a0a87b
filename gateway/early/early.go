// Package early holds the end of an answer in which a model calls a tool, so that a
// person is asked before the agent hears of the call: for agents that end a command
// sooner than a person answers.
//
// It promises: what it lets go on are whole events, in order and unchanged; nothing
// from the first event on that begins such a call goes on before Wait has returned;
// Wait returns when all is answered, when the tool's time is over or when ctx ends;
// and what is held is bounded: an answer of more than 32 MiB goes on unasked. Asking
// decides nothing: the command is decided when it is tried.
//
// It touches nothing and knows neither agents nor policy.
package early

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/countersign/countersign/gateway/wire"
)

// Asker knows which calls are asked about.
type Asker struct {
	// Wants says whether a tool is, and how long its agent awaits an answer's end.
	Wants func(tool string) (time.Duration, bool)
	// Ask returns when the person has answered, or ctx ends.
	Ask func(ctx context.Context, c wire.Call)
}

// maxHeld bounds what is held of one answer, in bytes.
const maxHeld = 32 << 20

// Hold holds one answer that a tally reads.
type Hold struct {
	asker *Asker
	tally *wire.Tally
	held  []byte
	stuck bool // a call that is asked about has begun
	free  bool // too much is held: all goes on
}

// New holds an answer; nil where nothing is asked about.
func New(a *Asker, tally *wire.Tally) *Hold {
	if a == nil {
		return nil
	}
	return &Hold{asker: a, tally: tally}
}

// Next takes bytes that the tally has read and returns those that may go on.
func (h *Hold) Next(b []byte) []byte {
	h.held = append(h.held, b...)
	if !h.stuck {
		h.stuck = h.wanted()
	}
	switch {
	case h.free || len(h.held) > maxHeld:
		h.free = true
		return h.Rest()
	case h.stuck || !h.tally.Streams(): // one JSON text calls a tool when it is whole
		return nil
	}
	n := max(after(h.held, "\n\n"), after(h.held, "\r\n\r\n"), after(h.held, "\r\r"))
	if h.tally.Lines() {
		n = after(h.held, "\n")
	}
	out := h.held[:n:n]
	h.held = h.held[n:]
	return out
}

func after(b []byte, end string) int {
	i := bytes.LastIndex(b, []byte(end))
	if i < 0 {
		return 0
	}
	return i + len(end)
}

func (h *Hold) wanted() bool {
	for tool := range h.tally.Calling() {
		if _, ok := h.asker.Wants(tool); ok {
			return true
		}
	}
	return false
}

// Rest returns all that is held.
func (h *Hold) Rest() []byte {
	out := h.held
	h.held = nil
	return out
}

// Wait asks about the calls of a whole answer, all at once. It reports whether
// there was anything to ask about.
func (h *Hold) Wait(ctx context.Context, calls []wire.Call) bool {
	if h.free {
		return false
	}
	asked := false
	var all sync.WaitGroup
	for _, c := range calls {
		d, ok := h.asker.Wants(c.Name)
		if !ok {
			continue
		}
		asked = true
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, d)
			defer cancel()
			h.asker.Ask(ctx, c)
		})
	}
	all.Wait()
	return asked
}
