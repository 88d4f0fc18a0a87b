package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/cmd/countersign/replaying"
	"github.com/countersign/countersign/tui/replay"
	"github.com/spf13/cobra"
)

func (a *app) replayCmd() *cobra.Command {
	var o replay.Options
	var dump bool
	cmd := &cobra.Command{
		Use:   "replay SESSION",
		Short: "Show a session's terminal again, with the cards and the decisions",
		Long: `Show a session's terminal again, with the cards and the decisions at their time.
Space pauses, left and right go back and forth by 5 seconds, up and down change the
speed, g and G go to either end, q quits. Where standard output is no terminal, it
prints the cards, the decisions, and the last screen.

Secrets were masked before the recording was written; what was typed is not in it.
A session without a terminal (--approver none) has no recording.`,
		Args: exactly(1, "a session id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.Speed <= 0 || o.Speed > 1000:
				return base.Usage(fmt.Errorf("--speed is above 0 and at most 1000, not %v", o.Speed))
			case o.Seek < 0 || o.Idle < 0:
				return base.Usage(errors.New("--seek and --idle are not negative"))
			}
			t, err := replaying.Load(a.App, args[0])
			if err != nil {
				return err
			}
			if dump {
				return t.Dump(a.App)
			}
			return t.Show(cmd.Context(), a.App, o)
		},
	}
	fl := cmd.Flags()
	fl.Float64Var(&o.Speed, "speed", 1, "how many times as fast as it was, `N`")
	fl.DurationVar(&o.Seek, "seek", 0, "begin at this `TIME` of the recording, such as 1m30s")
	fl.DurationVar(&o.Idle, "idle", 2*time.Second, "let nothing happen for no longer than this `TIME`; 0: as long as it did")
	fl.BoolVar(&dump, "dump", false, "write the recording to standard output, as asciicast v2")
	return cmd
}
