package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	countersign "github.com/countersign/countersign"
)

// runOptions are the words of `countersign run`.
type runOptions struct {
	agent    string
	policy   string
	approver string
	backend  string
	from     string
	fresh    bool
	own      bool // the person's own shell, not an agent
	argv     []string
}

const runHelp = `Run a command under the umbrella: in a sandbox of its own, with every command it
starts asked, every change staged, every denied file closed, and all of it recorded.

Headless (--approver none, the default without a terminal) every ask is a deny.
The agent's own exit code is passed through. With --json the last line on stderr
says who ended the session: {"ended_by": "agent"|"countersign", …}.

EXIT STATUS
  the agent's own, when it ended the session by itself · else 1 error · 2 usage ·
  3 denied · 130 interrupted; those carry "countersign:" on stderr`

func (a *app) runCmd() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARG…]",
		Short: "Run an agent under the umbrella, in this terminal",
		Long:  runHelp,
		Example: `  countersign run -- claude
  countersign run --policy ci.yaml --approver none -- bash agent.sh`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(errors.New("there is no command: countersign run -- COMMAND"))
			}
			o.argv = args
			return a.startRun(cmd.Context(), o)
		},
	}
	cmd.Flags().SetInterspersed(false)
	f := cmd.Flags()
	f.StringVar(&o.agent, "agent", "", "`NAME` of the agent for the record and its settings (default: the command's)")
	f.StringVar(&o.policy, "policy", "", "`FILE` in place of the user's layer, pinned at the start")
	f.StringVar(&o.approver, "approver", "", "who is asked: `tty` or none (default: tty where there is one)")
	f.StringVar(&o.backend, "backend", "", "staging `KIND`: snapshot or overlay (default: by the size of the tree)")
	f.StringVar(&o.from, "from", "", "go on from this `SESSION`'s staging layer")
	f.BoolVar(&o.fresh, "fresh", false, "start from the real tree, whatever waits for review")
	return a.jsonFlag(cmd)
}

// startRun checks what can be checked before anything starts, runs the session,
// and turns its end into this process's.
func (a *app) startRun(ctx context.Context, o runOptions) error {
	exit, by, err := 1, "countersign", a.settle(&o)
	if err == nil {
		exit, by, err = a.runSession(ctx, o)
	}
	if err != nil {
		exit = a.report(err)
	}
	if a.json { // after all talk: scripts read the last line
		line, _ := json.Marshal(map[string]any{"ended_by": by, "exit": exit, "error": errText(err)})
		fmt.Fprintln(a.err, string(line))
	}
	if exit != 0 {
		return exitCode(exit)
	}
	return nil
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// settle fills in the defaults and refuses what cannot work.
func (a *app) settle(o *runOptions) error {
	tty := term.IsTerminal(int(a.in.Fd()))
	switch o.approver {
	case "":
		o.approver = "none"
		if tty {
			o.approver = "tty"
		}
	case "tty":
		if !tty {
			return &countersign.Error{Code: countersign.EUsage, Op: "ask on the terminal", Err: errors.New("standard input is no terminal"), Remedy: "--approver none denies what would be asked"}
		}
	case "none":
	default:
		return usage(fmt.Errorf("--approver is tty or none, not %q", o.approver))
	}
	if o.backend != "" && o.backend != "snapshot" && o.backend != "overlay" {
		return usage(fmt.Errorf("--backend is snapshot or overlay, not %q", o.backend))
	}
	path, err := exec.LookPath(o.argv[0])
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return &countersign.Error{
			Code: countersign.ENotFound, Op: "run", Thing: o.argv[0], Err: errors.New("command not found"),
			Remedy: "check the name, or give its path; PATH is " + a.getenv("PATH"),
		}
	}
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	if o.agent == "" {
		o.agent = agentName(o.argv)
	}
	o.argv = append([]string{native(o.agent, path)}, o.argv[1:]...)
	return nil
}

// projectRoot is the root of the project the command was started in.
func (a *app) projectRoot() string {
	if p, err := a.project(); err == nil {
		return p.Root
	}
	dir, _ := os.Getwd()
	return dir
}

// noKeyHint says in three lines what a first run without a model key needs.
func (a *app) noKeyHint() {
	a.say("no model provider is set up, so the agent reaches no model yet. What is needed is one of:")
	a.say("  a company key (a consumer subscription's login stays outside): countersign keys set anthropic, and a provider in %s", filepath.Join(a.dirs.Config, "gateway.yaml"))
	a.say("  or a local model: a provider with wire openai and base_url http://127.0.0.1:11434/v1 (Ollama) or :1234/v1 (LM Studio) in the same file")
}

func hasPrefix(env []string, name string) bool {
	for _, kv := range env {
		if strings.HasPrefix(kv, name+"=") {
			return true
		}
	}
	return false
}
