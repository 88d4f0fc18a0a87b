package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/agents"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/cmd/countersign/lending"
	"github.com/countersign/countersign/cmd/countersign/live"
	"github.com/countersign/countersign/profile"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

const runHelp = `Run a command under the umbrella: in a sandbox of its own, with every command it
starts asked, every change staged, every denied file closed, and all of it recorded.

An agent that is known by name (countersign agents) is found where it is installed
and has its own settings, home and housekeeping; any other program asks for all.

Headless (--approver none, the default without a terminal) every ask is a deny.
The agent's own exit code is passed through. With --json the last line on stderr
says who ended the session: {"ended_by": "agent"|"countersign", …}.

EXIT STATUS
  the agent's own, when it ended the session by itself · else 1 error · 2 usage ·
  3 denied · 130 interrupted; those carry "countersign:" on stderr`

func (a *app) runCmd() *cobra.Command {
	var o live.Options
	var lend, lendTo []string
	cmd := &cobra.Command{
		Use:   "run [flags] NAME|COMMAND [ARG…]",
		Short: "Run an agent under the umbrella, in this terminal",
		Long:  runHelp,
		Example: `  countersign run claude
  countersign run --policy ci.yaml --approver none -- bash agent.sh`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return base.Usage(errors.New("there is no command: countersign run -- COMMAND"))
			}
			o.Argv = args
			var err error
			if o.Lend, err = lending.Document(lend, lendTo); err != nil {
				return err
			}
			return a.startRun(cmd.Context(), o)
		},
	}
	cmd.Flags().SetInterspersed(false)
	f := cmd.Flags()
	f.StringVar(&o.Agent, "agent", "", "`NAME` of a known agent, for the record and its settings (default: the command's)")
	f.StringVar(&o.Policy, "policy", "", "`FILE` in place of the user's layer, pinned at the start")
	f.StringVar(&o.Preset, "preset", "", "`NAME` of the preset in place of the one your layer names: strict, standard, trusted-workspace")
	f.StringVar(&o.Approver, "approver", "", "`WHO` is asked: tty or none (default: tty where there is one)")
	f.StringVar(&o.Backend, "backend", "", "staging `KIND`: snapshot or overlay (default: by the size of the tree)")
	f.StringVar(&o.From, "from", "", "go on from this `SESSION`'s staging layer")
	f.StringArrayVar(&lend, "lend", nil, "`NAME=SOURCE` of a secret (cmd:COMMAND, env:NAME, file:PATH, keyring:NAME) that the commands of --lend-to get, and nobody else")
	f.StringArrayVar(&lendTo, "lend-to", nil, "`COMMAND` that gets the secrets of --lend, as 'npm run migrate'; it is asked for as ever")
	f.BoolVar(&o.Fresh, "fresh", false, "start from the real tree, whatever waits for review")
	return a.jsonFlag(cmd)
}

// startRun checks what can be checked before anything starts, runs the session,
// and turns its end into this process's.
func (a *app) startRun(ctx context.Context, o live.Options) error {
	exit, by, err := 1, "countersign", a.settle(&o)
	if err == nil {
		exit, by, err = live.Run(ctx, a.App, o)
	}
	if errors.Is(err, context.Canceled) {
		a.Say("interrupted by a signal")
	}
	if err != nil {
		exit = a.report(err)
	}
	if a.JSON { // after all talk: scripts read the last line
		line, _ := json.Marshal(map[string]any{"ended_by": by, "exit": exit, "error": errText(err)})
		fmt.Fprintln(a.Err, string(line))
	}
	if exit != 0 {
		return base.ExitCode(exit)
	}
	return nil
}

func errText(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.Canceled):
		return "interrupted by a signal"
	}
	return err.Error()
}

// settle fills in the defaults and refuses what cannot work.
func (a *app) settle(o *live.Options) error {
	tty := term.IsTerminal(int(a.In.Fd()))
	switch o.Approver {
	case "":
		o.Approver = "none"
		if tty {
			o.Approver = "tty"
		}
	case "tty":
		if !tty {
			return &countersign.Error{Code: countersign.EUsage, Op: "ask on the terminal", Err: errors.New("standard input is no terminal"), Remedy: "--approver none denies what would be asked"}
		}
	case "none":
	default:
		return base.Usage(fmt.Errorf("--approver is tty or none, not %q", o.Approver))
	}
	if o.Backend != "" && o.Backend != "snapshot" && o.Backend != "overlay" {
		return base.Usage(fmt.Errorf("--backend is snapshot or overlay, not %q", o.Backend))
	}
	if o.Agent != "" && !o.Own {
		if err := agents.Known(o.Agent); err != nil {
			return err
		}
	}
	path, err := a.program(o.Argv[0], exec.LookPath)
	if known := (*countersign.Error)(nil); errors.As(err, &known) {
		return err
	}
	if errors.Is(err, fs.ErrPermission) && strings.Contains(o.Argv[0], "/") {
		return &countersign.Error{Code: countersign.EInvalid, Op: "run", Thing: o.Argv[0], Err: errors.New("it is no program that may be executed"), Remedy: "name a program; `chmod +x` makes a script one"}
	}
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return &countersign.Error{
			Code: countersign.ENotFound, Op: "run", Thing: o.Argv[0], Err: errors.New("command not found"),
			Remedy: "check the name, or give its path; `countersign agents` lists those that are here; PATH is " + a.Getenv("PATH"),
		}
	}
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	if o.Agent == "" {
		o.Agent = profile.NameOf(o.Argv[0])
	}
	known, err := profile.For(o.Agent)
	if err != nil {
		return err
	}
	o.Argv = append(agents.Native(known, path), o.Argv[1:]...)
	return nil
}

func hasPrefix(env []string, name string) bool {
	for _, kv := range env {
		if strings.HasPrefix(kv, name+"=") {
			return true
		}
	}
	return false
}
