// Package asking shows what waits for a person, in another terminal than the
// session's: all requests, a few lines each, or one of them as the card has it.
//
// It promises: what it prints of an agent's words is printable characters only, and a
// card is, line by line, the one that the session's own terminal shows with its
// details. It asks live sessions over their sockets and writes to the stream that it
// is handed; it answers nothing.
package asking

import (
	"fmt"
	"io"

	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/cmd/countersign/live"
)

// List prints requests, oldest first of each session.
func List(out io.Writer, rs []live.OpenRequest) {
	for _, r := range rs {
		state := "waits"
		switch {
		case r.Early && r.Pending:
			state = "the model asks for it, and its answer waits"
		case !r.Pending:
			state = "timed out; an approval is good for 15 minutes"
		}
		what := base.Words(r.Argv)
		if len(r.Argv) == 0 {
			what = base.Plain(r.Summary)
		}
		fmt.Fprintf(out, "%s  session %s, in %s (rule %s; %s)\n      %s\n", r.ID, r.Session, base.Plain(r.Cwd), r.Rule, state, what)
		for _, n := range r.Lends {
			fmt.Fprintf(out, "      LENDS %s to this command\n", base.Plain(n))
		}
		if r.Debugs {
			fmt.Fprintf(out, "      WARNING: it may trace what it starts, and so change what that runs after it was looked at\n")
		}
		if r.Confirm != "" {
			fmt.Fprintf(out, "      an approval wants a word: --confirm %s\n", r.Confirm)
		}
	}
	if len(rs) > 0 {
		fmt.Fprintf(out, "All of one, scripts and hashes included: countersign requests ID\n")
	}
}

// Card prints a request as a session has rendered it, and how it is answered.
func Card(out io.Writer, c live.OpenCard) {
	for _, line := range c.Lines {
		fmt.Fprintln(out, base.Plain(line))
	}
	fmt.Fprintf(out, "\ncountersign approve %s --digest %s    or: countersign deny %s --reason TEXT\n", c.ID, c.Digest, c.ID)
}
