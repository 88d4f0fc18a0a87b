package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gate"
	"github.com/countersign/countersign/session"
	"github.com/countersign/countersign/tui/visible"
)

// openRequest is one line of `requests --json`: a contract.
type openRequest struct {
	ID        string   `json:"id"`
	Session   string   `json:"session"`
	Kind      string   `json:"kind"`
	Summary   string   `json:"summary"`
	Argv      []string `json:"argv"`
	Cwd       string   `json:"cwd"`
	Rule      string   `json:"rule"`
	Reason    string   `json:"reason"`
	Digest    string   `json:"digest"`
	Exe       string   `json:"exe,omitempty"`
	Pending   bool     `json:"pending"` // the attempt still waits; else a late approval is good for 15 minutes
	WaitingMS int64    `json:"waiting_ms"`
}

type answerArgs struct {
	ID       string               `json:"id"`
	Digest   string               `json:"digest"`
	Approval countersign.Approval `json:"approval"`
}

// deskHandlers are the desk's side of the control socket. Argv goes to the
// person in full: it is the person's own machine and what they approve.
func deskHandlers(desk *gate.Desk, now func() time.Time) map[string]session.Handler {
	return map[string]session.Handler{
		"requests": func(context.Context, json.RawMessage, []*os.File) (any, error) {
			out := []openRequest{}
			for _, r := range desk.Open("") {
				out = append(out, describe(r, now()))
			}
			return out, nil
		},
		"answer": func(_ context.Context, raw json.RawMessage, _ []*os.File) (any, error) {
			var args answerArgs
			if err := json.Unmarshal(raw, &args); err != nil {
				return nil, err
			}
			return nil, desk.Answer(args.ID, args.Digest, args.Approval)
		},
		"grants": func(context.Context, json.RawMessage, []*os.File) (any, error) { return desk.Grants(), nil },
		"revoke": func(_ context.Context, raw json.RawMessage, _ []*os.File) (any, error) {
			var reuse string
			if err := json.Unmarshal(raw, &reuse); err != nil {
				return nil, err
			}
			return desk.Revoke(reuse), nil
		},
	}
}

func describe(r countersign.Request, now time.Time) openRequest {
	o := openRequest{
		ID: r.ID, Session: r.Session, Kind: string(r.Action.Kind), Summary: gate.Summary(r.Action),
		Rule: r.Ruling.Rule, Reason: r.Ruling.Reason, Digest: r.Digest, Pending: r.Pending,
		WaitingMS: now.Sub(r.Since).Milliseconds(), Argv: []string{},
	}
	if e := r.Action.Exec; e != nil {
		o.Argv, o.Cwd, o.Exe = e.Argv, e.Cwd, e.Exe.Path
	}
	return o
}

// everywhere asks every live session and hands each answer on.
func (a *app) everywhere(ctx context.Context, each func(k session.Kept, socket string) error) error {
	all, err := a.dirs.List()
	if err != nil {
		return err
	}
	for _, k := range all {
		if k.EndedBy == "" && a.dirs.Live(k.ID) {
			if err := each(k, a.dirs.Socket(k.ID)); err != nil && countersign.CodeOf(err) != countersign.ENotFound {
				return err
			}
		}
	}
	return ctx.Err()
}

func (a *app) open(ctx context.Context) ([]openRequest, error) {
	out := []openRequest{}
	err := a.everywhere(ctx, func(_ session.Kept, socket string) error {
		var some []openRequest
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
			if a.json {
				return a.data(rs)
			}
			w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
			for _, r := range rs {
				state := "waits"
				if !r.Pending {
					state = "timed out; an approval is good for 15 minutes"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t(%s, %s)\n", r.ID, r.Session, plain(strings.Join(r.Argv, " ")), plain(r.Cwd), r.Rule, state)
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
				return usage(fmt.Errorf("--for is once or session, not %q", scope))
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
	var found []openRequest
	for _, r := range rs {
		if strings.HasPrefix(r.ID, id) {
			found = append(found, r)
		}
	}
	if len(found) != 1 {
		return &countersign.Error{
			Code: countersign.ENotFound, Op: "answer request", Thing: id,
			Err: fmt.Errorf("%d open requests begin so", len(found)), Remedy: "`countersign requests` lists them",
		}
	}
	r := found[0]
	if digest == "" {
		digest = r.Digest
	}
	ap.By, ap.Means, ap.Shown, ap.ShownMS = who(), "cli", r.Digest, r.WaitingMS
	if err := session.Ask(ctx, a.dirs.Socket(r.Session), "answer", answerArgs{r.ID, digest, ap}, nil); err != nil {
		return err
	}
	verb := "denied"
	if ap.Granted {
		verb = "approved"
	}
	fmt.Fprintf(a.out, "%s %s %s\n  %s\n", verb, r.ID, r.Digest, plain(r.Summary))
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
	if a.json {
		return a.data(all)
	}
	for _, g := range all {
		fmt.Fprintf(a.out, "%s  %s (by %s)\n", g.Reuse, plain(g.Summary), g.Approval.By)
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

// plain makes hostile text harmless on a terminal.
func plain(s string) string {
	out, _ := visible.String(s)
	return out
}

func exactly(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return usage(fmt.Errorf("it takes %s, not %d arguments", what, len(args)))
		}
		return nil
	}
}
