package main

import (
	"errors"
	"fmt"

	"github.com/countersign/countersign/cmd/countersign/advising"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/cmd/countersign/reading"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/sandbox/seatbelt"
	"github.com/spf13/cobra"
)

func (a *app) policyCmd() *cobra.Command {
	var from base.PolicyFrom
	cmd := &cobra.Command{Use: "policy", Short: "Check the policy and ask it questions"}
	cmd.PersistentFlags().StringVar(&from.File, "policy", "", "`FILE` in place of the user's layer")
	cmd.PersistentFlags().StringVar(&from.Preset, "preset", "", "`NAME` of the preset in place of the one that layer names")
	cmd.AddCommand(a.policyCheck(&from), a.policyExplain(&from), a.policyTest(&from), a.policySimulate(&from), a.policySuggest(&from), a.policyDiff(), a.policySeatbelt(&from), &cobra.Command{
		Use: "show PRESET", Short: "Print a preset: strict, standard or trusted-workspace", Args: exactly(1, "strict, standard or trusted-workspace"),
		RunE: func(_ *cobra.Command, args []string) error {
			src, err := policy.PresetSource(args[0])
			if err == nil {
				_, err = a.Out.Write(src)
			}
			return err
		},
	})
	return cmd
}

// loadHere puts the policy together that holds in the working directory.
func (a *app) loadHere(from base.PolicyFrom) (*policy.Policy, error) {
	from.Project = a.ProjectRoot()
	p, _, err := a.ReadPolicy(from)
	return p, err
}

func (a *app) policyCheck(from *base.PolicyFrom) *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check every layer, and the examples of every rule",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				from.File = args[0]
			}
			p, err := a.loadHere(*from)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "ok %s preset %s\n", p.Bundle(), p.Preset())
			return nil
		},
	}
}

func (a *app) policyExplain(from *base.PolicyFrom) *cobra.Command {
	var path, host string
	var port, publish int
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "explain [--path PATH | --host HOST [--port N] | --publish PORT | -- COMMAND…]",
		Short: "Say what the policy answers, by which rule, and why",
		Example: `  countersign policy explain -- git push origin main
  countersign policy explain --path .env
  countersign policy explain --host pkg.example.com
  countersign policy explain --host localhost --port 5432`,
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := a.loadHere(*from)
			if err != nil {
				return err
			}
			var e policy.Explanation
			switch {
			case path != "":
				e = p.ExplainPath(a.relative(path))
			case host != "":
				e = p.ExplainHost(host, port)
			case publish != 0:
				e = p.ExplainPublish(publish)
			case len(args) > 0:
				e = p.ExplainExec(a.execFacts(args))
			default:
				return base.Usage(errors.New("nothing to explain: give a command after --, or --path, --host or --publish"))
			}
			if a.JSON {
				return a.Data(e)
			}
			fmt.Fprintln(a.Out, base.PlainLines(e.String()))
			return nil
		},
	})
	cmd.Flags().StringVar(&path, "path", "", "explain this `PATH`")
	cmd.Flags().StringVar(&host, "host", "", "explain a connection to this `HOST`")
	cmd.Flags().IntVar(&port, "port", 443, "its `PORT`, with --host")
	cmd.Flags().IntVar(&publish, "publish", 0, "explain whether this `PORT` of the session's is shown on this machine's loopback")
	return cmd
}

func (a *app) policyTest(from *base.PolicyFrom) *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:   "test [FILE]",
		Short: "Try every example of every layer, and say which fail",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				from.File = args[0]
			}
			from.Project = a.ProjectRoot()
			return advising.Test(a.App, *from)
		},
	})
}

// ofRecord are the flags that say which part of the record is meant.
func (a *app) ofRecord(cmd *cobra.Command, all *bool, since *string) {
	cmd.Flags().StringVar(since, "since", "", "only since this `TIME`: RFC 3339, or a duration like 720h")
	cmd.Flags().BoolVar(all, "all", false, "of every project, not only of this one")
}

func (a *app) policySimulate(from *base.PolicyFrom) *cobra.Command {
	var of advising.Of
	var since string
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "simulate [FILE]",
		Short: "Hold a policy against what has been, and say what it would have changed",
		Long: `Ask a policy again about each action on record, with FILE in place of the user's
layer, and print what would have been answered otherwise. Nothing is run.`,
		Example: `  countersign policy simulate proposed.yaml --since 720h
  countersign policy simulate --preset standard`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) (err error) {
			if len(args) == 1 {
				from.File = args[0]
			}
			from.Project = a.ProjectRoot()
			of.PolicyFrom = *from
			if of.Since, err = reading.Since(since, a.Now()); err != nil {
				return err
			}
			return advising.Simulate(a.App, of)
		},
	})
	a.ofRecord(cmd, &of.All, &since)
	return cmd
}

func (a *app) policySuggest(from *base.PolicyFrom) *cobra.Command {
	var of advising.Of
	var since string
	var least int
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "suggest",
		Short: "Propose rules from what you have approved; nothing is adopted",
		Long: `Propose allow rules for commands that were approved again and again and never
denied, each with what it would have covered and what it would not. It prints a
policy; nothing of it is in force until you put it into yours.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) (err error) {
			if least < 2 {
				return base.Usage(errors.New("--least is 2 or more: one approval is no habit"))
			}
			from.Project = a.ProjectRoot()
			of.PolicyFrom = *from
			if of.Since, err = reading.Since(since, a.Now()); err != nil {
				return err
			}
			return advising.Suggest(a.App, of, least)
		},
	})
	a.ofRecord(cmd, &of.All, &since)
	cmd.Flags().IntVar(&least, "least", 3, "propose what was approved at least `N` times")
	return cmd
}

func (a *app) policyDiff() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "diff A B", Short: "Compare two policy files, rule by rule", Args: exactly(2, "two policy files"),
		RunE: func(_ *cobra.Command, args []string) error { return advising.Diff(a.App, args[0], args[1]) },
	})
}

func (a *app) policySeatbelt(from *base.PolicyFrom) *cobra.Command {
	s := seatbelt.Session{}
	cmd := &cobra.Command{
		Use:   "seatbelt",
		Short: "Print the policy as a profile of macOS's sandbox; countersign does not run it",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if from.Project == "" {
				from.Project = a.ProjectRoot()
			}
			return advising.Seatbelt(a.App, *from, s)
		},
	}
	f := cmd.Flags()
	f.StringVar(&from.Project, "project", "", "the project's `DIR` (default: the one here)")
	f.StringVar(&s.ID, "session", "preview", "`NAME` by which refusals are found in the log")
	f.StringVar(&s.Project, "tree", "", "`DIR` of the copy that the agent works on")
	f.StringVar(&s.Home, "home", "", "`DIR` that is the agent's home")
	f.StringVar(&s.Temp, "temp", "", "`DIR` for temporary files")
	f.StringArrayVar(&s.Read, "read", nil, "`DIR` that may be read too; may be repeated")
	f.StringArrayVar(&s.Programs, "program", nil, "`FILE` that may be executed; may be repeated")
	f.StringVar(&s.Shims, "shims", "", "`DIR` of programs that may be executed")
	f.StringVar(&s.Terminal, "terminal", "", "the agent's `TERMINAL`, /dev/ttysNNN")
	f.IntVar(&s.Gateway, "gateway", 0, "`PORT` of the models' gateway on the loopback")
	f.IntVar(&s.Door, "door", 0, "`PORT` of the network's proxy on the loopback")
	return cmd
}
