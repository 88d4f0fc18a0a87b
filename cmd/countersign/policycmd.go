package main

import (
	"errors"
	"fmt"

	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/policy"
	"github.com/spf13/cobra"
)

func (a *app) policyCmd() *cobra.Command {
	var from base.PolicyFrom
	cmd := &cobra.Command{Use: "policy", Short: "Check the policy and ask it questions"}
	cmd.PersistentFlags().StringVar(&from.File, "policy", "", "`FILE` in place of the user's layer")
	cmd.PersistentFlags().StringVar(&from.Preset, "preset", "", "`NAME` of the preset in place of the one that layer names")
	cmd.AddCommand(a.policyCheck(&from), a.policyExplain(&from), &cobra.Command{
		Use: "show", Short: "Print a preset", Args: exactly(1, "a preset's name"),
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
	cmd.Flags().IntVar(&port, "port", 443, "with --host")
	cmd.Flags().IntVar(&publish, "publish", 0, "explain whether this `PORT` of the session's is shown on this machine's loopback")
	return cmd
}
