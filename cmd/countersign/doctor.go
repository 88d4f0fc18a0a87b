package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/countersign/countersign/cmd/countersign/live"
	"github.com/spf13/cobra"
)

func (a *app) doctorCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine can enforce, and what mends the rest",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := live.Probe(cmd.Context())
			if err != nil {
				return err
			}
			if a.JSON {
				return a.Data(p)
			}
			fmt.Fprintf(a.Out, "tier %s\n", p.Tier)
			w := tabwriter.NewWriter(a.Out, 0, 4, 2, ' ', 0)
			for _, m := range p.Mechanisms {
				fmt.Fprintf(w, "  %s\t%s\t%s\n", m.Name, m.State, m.Detail)
				if m.Remedy != "" {
					fmt.Fprintf(w, "  \t\tto mend: %s\n", m.Remedy)
				}
			}
			return w.Flush()
		},
	})
}
