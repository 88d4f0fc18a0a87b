package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/cmd/countersign/proving"
	"github.com/countersign/countersign/session"
	"github.com/spf13/cobra"
)

// app is one run of the program.
type app struct {
	*base.App
	dir string // -C
}

// Main runs one command line and returns its exit code.
func Main(ctx context.Context, args []string, in *os.File, out, errw io.Writer, getenv func(string) string) int {
	a := &app{App: &base.App{In: in, Out: out, Err: errw, Getenv: getenv, Now: time.Now}}
	dirs, err := session.XDG(getenv)
	if err == nil {
		a.Dirs = dirs
		root := a.root()
		root.SetArgs(spread(args, a.isSession))
		root.SetOut(out)
		root.SetErr(errw)
		root.SetIn(in)
		err = root.ExecuteContext(ctx)
	}
	if ctx.Err() != nil && err == nil {
		return 130
	}
	return a.report(err)
}

func (a *app) root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "countersign",
		Short:         "Run coding agents under approval, with a record",
		Long:          rootHelp,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if a.dir == "" {
				return nil
			}
			if err := os.Chdir(a.dir); err != nil {
				return &countersign.Error{Code: countersign.EUsage, Op: "go to", Thing: a.dir, Err: errors.Unwrap(err), Remedy: "check the path after -C"}
			}
			return nil
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return base.Usage(err) })
	cmd.PersistentFlags().StringVarP(&a.dir, "directory", "C", "", "run as if started in `DIR`")
	cmd.AddCommand(
		a.runCmd(), a.requestsCmd(), a.approveCmd(), a.denyCmd(), a.grantsCmd(), a.agentsCmd(),
		a.reviewCmd(), a.shellCmd(), a.stopCmd(), a.sessionsCmd(), a.statusCmd(),
		a.logCmd(), a.replayCmd(), a.exportCmd(), a.verifyCmd(), a.policyCmd(), a.keysCmd(), a.gatewayCmd(), a.modelsCmd(), a.doctorCmd(), proving.Command(a.App), a.versionCmd(),
	)
	return cmd
}

const rootHelp = `Countersign runs a coding agent in a sandbox: every command it wants to run waits
for you, every change it makes is reviewed hunk by hunk before your files change,
credential files do not open, and all of it is on a tamper-evident record.

  countersign run -- claude          an agent in this terminal
  countersign requests               what waits for you
  countersign approve ID             answer it from any terminal
  countersign review                 the changes, hunk by hunk
  countersign log                    the record
  countersign replay SESSION         the agent's terminal, with cards and decisions
  countersign verify                 prove that nobody touched it
  countersign doctor                 what this machine can enforce
  countersign selftest               attack it, and record what came of it

EXIT STATUS
  0 ok · 1 error · 2 usage · 3 denied · 4 authentication needed · 5 decision
  pending · 6 verification failed · 7 partly applied · 130 interrupted`

// exits maps the kinds of error to exit codes; everything else is 1.
var exits = map[countersign.Code]int{
	countersign.EUsage: 2, countersign.EDenied: 3, countersign.EAuth: 4,
	countersign.EPending: 5, countersign.EVerify: 6, countersign.EPartly: 7,
}

// report prints an error the way every command does and returns its exit code.
func (a *app) report(err error) int {
	if err == nil {
		return 0
	}
	var code base.ExitCode
	if errors.As(err, &code) {
		return int(code)
	}
	if errors.Is(err, context.Canceled) {
		return 130
	}
	var known *countersign.Error
	if !errors.As(err, &known) && strings.HasPrefix(err.Error(), "unknown ") {
		err = base.Usage(err)
	}
	fmt.Fprintf(a.Err, "countersign: error: %v\n", err)
	for _, line := range strings.Split(remedy(err), "\n") {
		if line != "" {
			fmt.Fprintf(a.Err, "countersign: hint: %s\n", line)
		}
	}
	if n, ok := exits[countersign.CodeOf(err)]; ok {
		return n
	}
	return 1
}

// remedy is the error's own, or what mends its cause wherever it came up.
func remedy(err error) string {
	own := countersign.RemedyOf(err)
	switch {
	case own != "":
	case errors.Is(err, syscall.ENOSPC):
		return "free some disk; `countersign sessions` shows what old sessions hold, `countersign sessions discard SESSION` frees it"
	case errors.Is(err, syscall.ENAMETOOLONG):
		return "this path is longer than the system takes: `countersign review --reject` its hunk, and the rest can be applied"
	}
	return own
}

func (a *app) jsonFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&a.JSON, "json", false, "print JSON, a documented contract")
	return cmd
}
