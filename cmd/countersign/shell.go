package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/session"
)

// shellArgs is what `countersign shell` asks of a live session.
type shellArgs struct {
	Argv []string `json:"argv"`
	Term string   `json:"term"`
}

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
				return usage(fmt.Errorf("one session, not %d; a command follows --", len(args)))
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
		if argv = []string{a.getenv("SHELL")}; argv[0] == "" {
			argv[0] = "/bin/sh"
		}
	}
	if a.dirs.Live(k.ID) {
		var exit int
		err := session.Ask(ctx, a.dirs.Socket(k.ID), "shell", shellArgs{Argv: argv, Term: a.getenv("TERM")}, &exit, a.in, os.Stdout, os.Stderr)
		if err == nil && exit != 0 {
			err = exitCode(exit)
		}
		return err
	}
	if err := os.Chdir(k.Project); err != nil {
		return err
	}
	return a.startRun(ctx, runOptions{agent: "shell", from: k.ID, own: true, argv: argv})
}

// shellHandler starts the person's shell beside the agent.
func (s *live) shellHandler(ctx context.Context, raw json.RawMessage, files []*os.File) (any, error) {
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	var args shellArgs
	if err := json.Unmarshal(raw, &args); err != nil {
		return nil, err
	}
	if len(files) != 3 || len(args.Argv) == 0 {
		return nil, &countersign.Error{Code: countersign.EUsage, Op: "open a shell", Err: errors.New("it needs a command and three descriptors")}
	}
	return s.spawnOwn(ctx, args, files)
}
