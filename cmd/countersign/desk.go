package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/cmd/countersign/live"
	"github.com/countersign/countersign/gate"
	"github.com/countersign/countersign/session"
	"github.com/spf13/cobra"
)

// everywhere asks every live session and hands each answer on.
func (a *app) everywhere(ctx context.Context, each func(k session.Kept, socket string) error) error {
	all, err := a.Dirs.List()
	if err != nil {
		return err
	}
	for _, k := range all {
		if k.EndedBy == "" && a.Dirs.Live(k.ID) {
			if err := each(k, a.Dirs.Socket(k.ID)); err != nil && countersign.CodeOf(err) != countersign.ENotFound {
				return err
			}
		}
	}
	return ctx.Err()
}

func (a *app) open(ctx context.Context) ([]live.OpenRequest, error) {
	out := []live.OpenRequest{}
	err := a.everywhere(ctx, func(_ session.Kept, socket string) error {
		var some []live.OpenRequest
		err := session.Ask(ctx, socket, "requests", nil, &some)
		out = append(out, some...)
		return err
	})
	return out, err
}

func (a *app) requestsCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:   "requests",
		Short: "List what waits for a person",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rs, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			if a.JSON {
				return a.Data(rs)
			}
			w := tabwriter.NewWriter(a.Out, 0, 4, 2, ' ', 0)
			for _, r := range rs {
				state := "waits"
				if !r.Pending {
					state = "timed out; an approval is good for 15 minutes"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t(%s, %s)\n", r.ID, r.Session, base.Plain(strings.Join(r.Argv, " ")), base.Plain(r.Cwd), r.Rule, state)
			}
			return w.Flush()
		},
	})
}

func (a *app) approveCmd() *cobra.Command {
	var scope, digest string
	cmd := &cobra.Command{
		Use:   "approve ID",
		Short: "Approve a request, once or for its session",
		Long:  "Approve a request. The digest that the approval binds is printed; --digest insists on it.",
		Args:  exactly(1, "a request id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s := countersign.Scope(scope)
			if s != countersign.ScopeOnce && s != countersign.ScopeSession {
				return base.Usage(fmt.Errorf("--for is once or session, not %q", scope))
			}
			return a.answer(cmd.Context(), args[0], digest, countersign.Approval{Granted: true, Scope: s})
		},
	}
	cmd.Flags().StringVar(&scope, "for", "once", "`SCOPE`: once, or session for the same command to the session's end")
	cmd.Flags().StringVar(&digest, "digest", "", "approve only if this is the request's digest")
	return cmd
}

func (a *app) denyCmd() *cobra.Command {
	var reason, digest string
	cmd := &cobra.Command{
		Use:   "deny ID",
		Short: "Deny a request",
		Args:  exactly(1, "a request id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.answer(cmd.Context(), args[0], digest, countersign.Approval{Reason: reason})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`TEXT` for the record")
	cmd.Flags().StringVar(&digest, "digest", "", "deny only if this is the request's digest")
	return cmd
}

// answer finds the request by its id or an unambiguous prefix, in whichever
// session it waits, and binds the digest it saw.
func (a *app) answer(ctx context.Context, id, digest string, ap countersign.Approval) error {
	rs, err := a.open(ctx)
	if err != nil {
		return err
	}
	var found []live.OpenRequest
	for _, r := range rs {
		if strings.HasPrefix(r.ID, id) {
			found = append(found, r)
		}
	}
	if len(found) != 1 {
		return &countersign.Error{
			Code: countersign.ENotFound, Op: "answer request", Thing: id,
			Err: fmt.Errorf("%d open requests have an id that begins so, not one", len(found)), Remedy: "`countersign requests` lists them",
		}
	}
	r := found[0]
	if digest == "" {
		digest = r.Digest
	}
	ap.By, ap.Means, ap.Shown, ap.ShownMS = base.Who(), "cli", r.Digest, r.WaitingMS
	if err := session.Ask(ctx, a.Dirs.Socket(r.Session), "answer", live.AnswerArgs{ID: r.ID, Digest: digest, Approval: ap}, nil); err != nil {
		return err
	}
	verb := "denied"
	if ap.Granted {
		verb = "approved"
	}
	fmt.Fprintf(a.Out, "%s %s %s\n  %s\n", verb, r.ID, r.Digest, base.Plain(r.Summary))
	return nil
}

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

func (a *app) listGrants(ctx context.Context) error {
	all := []gate.Grant{}
	err := a.everywhere(ctx, func(_ session.Kept, socket string) error {
		var some []gate.Grant
		err := session.Ask(ctx, socket, "grants", nil, &some)
		all = append(all, some...)
		return err
	})
	if err != nil {
		return err
	}
	if a.JSON {
		return a.Data(all)
	}
	for _, g := range all {
		fmt.Fprintf(a.Out, "%s  %s (by %s)\n", g.Reuse, base.Plain(g.Summary), g.Approval.By)
	}
	return nil
}

func (a *app) revoke(ctx context.Context, reuse string) error {
	ended := false
	err := a.everywhere(ctx, func(_ session.Kept, socket string) error {
		var ok bool
		err := session.Ask(ctx, socket, "revoke", reuse, &ok)
		ended = ended || ok
		return err
	})
	if err == nil && !ended {
		err = &countersign.Error{Code: countersign.ENotFound, Op: "revoke", Thing: reuse, Err: errors.New("no such grant"), Remedy: "`countersign grants list`"}
	}
	return err
}

func exactly(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return base.Usage(fmt.Errorf("it takes %s, not %d arguments", what, len(args)))
		}
		return nil
	}
}
