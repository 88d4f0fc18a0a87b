package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/gate"
	"github.com/countersign/countersign/session"
	"github.com/spf13/cobra"
)

// grantLine is one element of `grants list --json`: a contract.
type grantLine struct {
	Session string            `json:"session"`
	Key     string            `json:"key"`
	Summary string            `json:"summary"`
	By      string            `json:"by"`
	Means   string            `json:"means"`
	Scope   countersign.Scope `json:"scope"`
}

// shownKey is how much of a grant's key the list for people shows; `revoke`
// takes any beginning that means one grant.
const shownKey = len("reuse:") + 12

func (a *app) grantsCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "grants", Short: "Standing approvals of live sessions"}
	cmd.AddCommand(a.jsonFlag(&cobra.Command{
		Use: "list", Short: "List standing approvals", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.listGrants(cmd.Context()) },
	}), &cobra.Command{
		Use: "revoke KEY", Short: "End a standing approval", Args: exactly(1, "a grant's key"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.revoke(cmd.Context(), args[0]) },
	})
	return cmd
}

func (a *app) grants(ctx context.Context) ([]grantLine, error) {
	out := []grantLine{}
	err := a.everywhere(ctx, func(ctx context.Context, k session.Kept, socket string) error {
		var some []gate.Grant
		err := session.Ask(ctx, socket, "grants", nil, &some)
		for _, g := range some {
			out = append(out, grantLine{k.ID, g.Reuse, g.Summary, g.Approval.By, g.Approval.Means, g.Approval.Scope})
		}
		return err
	})
	return out, err
}

func (a *app) listGrants(ctx context.Context) error {
	all, err := a.grants(ctx)
	if a.JSON {
		return errors.Join(a.Data(all), err)
	}
	w := tabwriter.NewWriter(a.Out, 0, 4, 2, ' ', 0)
	for _, g := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t(by %s, %s)\n", g.Key[:min(len(g.Key), shownKey)], g.Session, base.Plain(g.Summary), g.By, g.Means)
	}
	return errors.Join(w.Flush(), err)
}

// revoke ends the one grant that key is the beginning of. That it is to end is
// on record first.
func (a *app) revoke(ctx context.Context, key string) error {
	all, err := a.grants(ctx)
	g, found := one(all, func(g grantLine) bool {
		return strings.HasPrefix(g.Key, key) || strings.HasPrefix(g.Key, "reuse:"+key)
	})
	if found == 0 && err != nil {
		return err
	}
	if found != 1 {
		return &countersign.Error{Code: countersign.ENotFound, Op: "revoke", Thing: key, Err: notOne(found, "grant's key"), Remedy: "`countersign grants list`"}
	}
	if err := a.Note(ctx, countersign.Record{Type: "grant.revoked", Session: g.Session, Actor: a.Human(), Detail: map[string]any{"key": g.Key}}); err != nil {
		return err
	}
	if err := session.Ask(ctx, a.Dirs.Socket(g.Session), "revoke", g.Key, nil); err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "revoked %s\n  %s\n", g.Key, base.Plain(g.Summary))
	return nil
}
