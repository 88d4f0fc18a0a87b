package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/gateway"
	"github.com/countersign/countersign/gateway/budget"
	"github.com/countersign/countersign/policy"
	"github.com/spf13/cobra"
)

const modelsHelp = `List the models that agents may ask, and those they may not: of every provider in
gateway.yaml, and of Ollama and LM Studio if they run on this machine. Each
provider is asked with its key, and each of these calls is on record.

An agent names a model as it is listed here; the part before the slash chooses
the provider, and is not sent on.`

func (a *app) modelsCmd() *cobra.Command {
	policy := ""
	cmd := a.jsonFlag(&cobra.Command{
		Use: "models", Short: "List the models that are allowed and reachable", Long: modelsHelp, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.listModels(cmd.Context(), policy) },
	})
	cmd.Flags().StringVar(&policy, "policy", "", "`FILE` in place of the user's layer")
	return cmd
}

func (a *app) listModels(ctx context.Context, file string) error {
	p, err := a.LoadPolicy(file, a.ProjectRoot())
	if err != nil {
		return err
	}
	cfg, err := gateway.Load(a.GatewayFile())
	if err != nil {
		return err
	}
	l, err := a.Ledger(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	door := a.Door(cfg, l, p)
	door.Agent = "countersign"
	lists := gateway.Survey(ctx, door)
	if err := a.sayBudgets(p); err != nil {
		return err
	}
	if a.JSON {
		return a.Data(lists)
	}
	if len(lists) == 0 {
		a.Say("no provider is in %s, and neither Ollama nor LM Studio runs on this machine", a.GatewayFile())
		return nil
	}
	w := tabwriter.NewWriter(a.Out, 0, 4, 2, ' ', 0)
	for _, l := range lists {
		a.printListing(w, l)
	}
	return w.Flush()
}

func (a *app) printListing(w *tabwriter.Writer, l gateway.Listing) {
	if !l.Reachable {
		a.Say("%s: %s", l.Provider, base.Plain(strings.TrimPrefix(l.Error, "Countersign: ")))
		return
	}
	if len(l.Models) == 0 {
		a.Say("%s: it has no model", l.Provider)
	}
	for _, m := range l.Models {
		word := "allowed"
		if !m.Allowed {
			word = "denied: " + m.Reason + " [" + m.Rule + "]"
		}
		where := l.BaseURL
		if l.Found {
			where += " (found on this machine)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", base.Plain(l.Provider+"/"+m.ID), word, where)
	}
}

// sayBudgets says what is left of the budgets that are not of one session.
func (a *app) sayBudgets(p *policy.Policy) error {
	b, err := a.Budgets(p)
	if err != nil || b == nil {
		return err
	}
	defer b.Close()
	left, err := b.Left(budget.Who{Project: a.ProjectRoot(), User: base.Who()})
	for _, l := range left {
		if l.Per != "session" {
			a.Say("budget %s", base.Plain(l.String()))
		}
	}
	return err
}
