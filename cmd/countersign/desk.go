package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/asking"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/cmd/countersign/live"
	"github.com/countersign/countersign/session"
	"github.com/spf13/cobra"
)

// answersWithin is how long a live session may take to say what it knows.
const answersWithin = 10 * time.Second

// everywhere asks every live session. One that cannot answer, being of another
// version or stopped, keeps nobody from the others: its error comes last.
func (a *app) everywhere(ctx context.Context, each func(ctx context.Context, k session.Kept, socket string) error) error {
	all, err := a.Dirs.List()
	if err != nil {
		return err
	}
	var failed error
	for _, k := range all {
		if k.EndedBy != "" || !a.Dirs.Live(k.ID) {
			continue
		}
		within, cancel := context.WithTimeout(ctx, answersWithin)
		err := each(within, k, a.Dirs.Socket(k.ID))
		late := within.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil || countersign.CodeOf(err) == countersign.ENotFound || failed != nil:
		case late:
			failed = &countersign.Error{
				Code: countersign.EClosed, Op: "ask session", Thing: k.ID, Err: fmt.Errorf("no answer within %v", answersWithin),
				Remedy: fmt.Sprintf("if its process was stopped, `kill -CONT %d` lets it go on", k.PID),
			}
		default:
			failed = &countersign.Error{Code: countersign.CodeOf(err), Op: "ask session", Thing: k.ID, Err: err}
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return failed
}

func (a *app) open(ctx context.Context) ([]live.OpenRequest, error) {
	out := []live.OpenRequest{}
	err := a.everywhere(ctx, func(ctx context.Context, _ session.Kept, socket string) error {
		var some []live.OpenRequest
		err := session.Ask(ctx, socket, "requests", nil, &some)
		out = append(out, some...)
		return err
	})
	return out, err
}

func (a *app) requestsCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:   "requests [ID]",
		Short: "List what waits for a person, or show one of it in full",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return a.card(cmd.Context(), args[0])
			}
			rs, err := a.open(cmd.Context())
			if a.JSON {
				return errors.Join(a.Data(rs), err)
			}
			asking.List(a.Out, rs)
			return err
		},
	})
}

// card shows one request as the session's own terminal does.
func (a *app) card(ctx context.Context, id string) error {
	var c live.OpenCard
	err := a.everywhere(ctx, func(ctx context.Context, _ session.Kept, socket string) error {
		if c.ID != "" {
			return nil
		}
		return session.Ask(ctx, socket, "card", id, &c)
	})
	switch {
	case c.ID == "":
		return errors.Join(err, &countersign.Error{Code: countersign.ENotFound, Op: "show request", Thing: id, Err: errors.New("no such open request"), Remedy: "countersign requests"})
	case a.JSON:
		return a.Data(c)
	}
	asking.Card(a.Out, c)
	return nil
}

func (a *app) approveCmd() *cobra.Command {
	var scope, digest, until, confirm string
	cmd := &cobra.Command{
		Use:   "approve ID",
		Short: "Approve a request: once, for its session, or in its project until a date",
		Long: `Approve a request. The digest that the approval binds is printed; --digest insists
on it. For a session or a project the approval is good for the same command again:
the same program and content, arguments, directory, scripts and variables. It is
listed and revoked with "countersign grants".`,
		Example: `  countersign approve 7k2m
  countersign approve 7k2m --for session
  countersign approve 7k2m --for project --until 2026-12-24`,
		Args: exactly(1, "a request id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ap := countersign.Approval{Granted: true, Scope: countersign.Scope(scope), Confirmed: confirm}
			switch ap.Scope {
			case countersign.ScopeOnce, countersign.ScopeSession, countersign.ScopeProject:
			default:
				return base.Usage(fmt.Errorf("--for is once, session or project, not %q", scope))
			}
			if ap.Scope == countersign.ScopeProject && until == "" {
				return base.Usage(errors.New("--for project needs --until DATE: no approval is for ever"))
			}
			if ap.Scope == countersign.ScopeOnce && until != "" {
				return base.Usage(errors.New("--until is for --for session and --for project"))
			}
			var err error
			if ap.Until, err = a.parseUntil(until); err != nil {
				return err
			}
			return a.answer(cmd.Context(), args[0], digest, ap)
		},
	}
	cmd.Flags().StringVar(&scope, "for", "once", "`SCOPE`: once, session (the same command to the session's end) or project (in this project until a date)")
	cmd.Flags().StringVar(&until, "until", "", "`DATE` it ends: 2026-12-24 (the end of that day), RFC 3339, or a duration like 8h or 30d; at most 90 days")
	cmd.Flags().StringVar(&confirm, "confirm", "", "the `WORD` that the request asks for")
	cmd.Flags().StringVar(&digest, "digest", "", "approve only if this is the request's `DIGEST`, in full, as requests --json has it")
	return cmd
}

// parseUntil reads the end of a grant; a day means its end, here.
func (a *app) parseUntil(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, s, time.Local); err == nil {
		return day.AddDate(0, 0, 1), nil
	}
	if n, err := strconv.Atoi(strings.TrimSuffix(s, "d")); err == nil && strings.HasSuffix(s, "d") {
		return a.Now().AddDate(0, 0, n), nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return a.Now().Add(d), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, base.Usage(fmt.Errorf("--until %q is no date (2026-12-24), time (2026-12-24T18:00:00Z) or duration (8h, 30d)", s))
	}
	return t, nil
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
	cmd.Flags().StringVar(&digest, "digest", "", "deny only if this is the request's `DIGEST`, in full, as requests --json has it")
	return cmd
}

// answer finds the request by its id or an unambiguous prefix, in whichever
// session it waits, and binds the digest it saw.
func (a *app) answer(ctx context.Context, id, digest string, ap countersign.Approval) error {
	rs, err := a.open(ctx)
	r, found := one(rs, func(r live.OpenRequest) bool { return strings.HasPrefix(r.ID, id) })
	if found == 0 && err != nil {
		return err // it may wait where nothing could be asked
	}
	if found != 1 {
		return &countersign.Error{
			Code: countersign.ENotFound, Op: "answer request", Thing: id,
			Err: notOne(found, "open request"), Remedy: "`countersign requests` lists them; one may have been answered elsewhere",
		}
	}
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
	switch {
	case ap.Scope == countersign.ScopeSession:
		verb += " for the session"
	case ap.Scope == countersign.ScopeProject:
		verb += " for the project"
	}
	if !ap.Until.IsZero() {
		verb += " until " + ap.Until.Local().Format(time.DateTime)
	}
	fmt.Fprintf(a.Out, "%s %s %s\n  %s\n", verb, r.ID, r.Digest, base.Plain(r.Summary))
	return nil
}

// one returns the last element that fits, and how many do.
func one[T any](list []T, fits func(T) bool) (found T, n int) {
	for _, v := range list {
		if fits(v) {
			found, n = v, n+1
		}
	}
	return found, n
}

func notOne(n int, what string) error {
	if n == 0 {
		return fmt.Errorf("no %s begins so", what)
	}
	return fmt.Errorf("%d %ss begin so: give more of it", n, what)
}

func exactly(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return base.Usage(fmt.Errorf("it takes %s, not %d arguments", what, len(args)))
		}
		return nil
	}
}
