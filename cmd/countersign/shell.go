package main

import (
	"context"
	"fmt"
	"os"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/tui/host"
	"github.com/creack/pty"
	"golang.org/x/term"

	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/cmd/countersign/live"
	"github.com/countersign/countersign/session"
	"github.com/spf13/cobra"
)

func (a *app) shellCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "shell [SESSION] [-- COMMAND…]",
		Short: "Your own shell in the staged tree, confined like the agent",
		Long: `Your own shell in the staged tree, confined like the agent: build and test what it
changed before you accept it. What you run there is yours: it is recorded and not
asked, but for deny rules. Denied files stay closed, and your own tree unchanged.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, argv := "", args
			if dash := cmd.ArgsLenAtDash(); dash >= 0 {
				argv = args[dash:]
				args = args[:dash]
			} else {
				argv = nil
			}
			if len(args) > 1 {
				return base.Usage(fmt.Errorf("one session, not %d; a command follows --", len(args)))
			}
			if len(args) == 1 {
				id = args[0]
			}
			return a.shell(cmd.Context(), id, argv)
		},
	}
	return cmd
}

// shell joins a live session, or starts a sandbox of its own on the layer that
// an ended one left.
func (a *app) shell(ctx context.Context, id string, argv []string) error {
	k, err := a.reviewed(id)
	if err != nil {
		return err
	}
	if len(argv) == 0 {
		if argv = []string{a.Getenv("SHELL")}; argv[0] == "" {
			argv[0] = "/bin/sh"
		}
	}
	if a.Dirs.Live(k.ID) {
		return a.joinShell(ctx, a.Dirs.Socket(k.ID), argv)
	}
	if err := os.Chdir(k.Project); err != nil {
		return err
	}
	o := live.Options{Agent: "shell", From: k.ID, Own: true, Argv: argv, Policy: a.PinnedPolicy(k.ID), Preset: k.Preset}
	if !a.hasLayer(k.ID) {
		o.From = "" // it left nothing that differs from the real tree
	}
	return a.startRun(ctx, o)
}

// joinShell runs a command in a live session. What runs there never gets the
// person's own terminal: on a terminal it gets one made for it, and everything
// passes through the same filter as an agent's.
func (a *app) joinShell(ctx context.Context, socket string, argv []string) error {
	ask := func(tty bool, files ...*os.File) error {
		var exit int
		err := session.Ask(ctx, socket, "shell", live.ShellArgs{Argv: argv, Term: a.Getenv("TERM"), TTY: tty}, &exit, files...)
		if err == nil && exit != 0 {
			err = base.ExitCode(exit)
		}
		return err
	}
	out, ok := a.Out.(*os.File)
	if !ok || !term.IsTerminal(int(a.In.Fd())) || !term.IsTerminal(int(out.Fd())) {
		return ask(false, a.In, os.Stdout, os.Stderr)
	}
	master, slave, err := pty.Open()
	if err != nil {
		return err
	}
	defer master.Close()
	defer slave.Close()
	row, col, early, err := host.Cursor(a.In, out)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	shown := make(chan error, 1)
	go func() {
		shown <- host.Run(ctx, host.Options{
			Master: master, In: a.In, Out: out, Row: row, Col: col, Early: early, Now: a.Now, User: base.Who(), Agent: "shell",
			Requests: func() []countersign.Request { return nil }, Changed: make(chan struct{}),
			Answer: func(string, string, countersign.Approval) error { return nil },
		})
	}()
	err = ask(true, slave, slave, slave)
	cancel()
	<-shown
	return err
}
