package main

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/cmd/countersign/posture"
	"github.com/countersign/countersign/sandbox/apparmor"
)

func (a *app) doctorCmd() *cobra.Command {
	armor := false
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine can enforce, and what mends the rest",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if armor {
				return a.armor()
			}
			p, err := posture.Probe(cmd.Context())
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
	cmd.Flags().BoolVar(&armor, "apparmor", false, "print the AppArmor profile that lets this program make user namespaces")
	return cmd
}

// armor prints the profile of this very program, wherever it lies.
func (a *app) armor() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	text, err := apparmor.Profile(self)
	if err != nil {
		return err
	}
	_, err = io.WriteString(a.Out, text)
	return err
}
