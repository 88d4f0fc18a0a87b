package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/gate"
	"github.com/countersign/countersign/gate/grants"
	"github.com/countersign/countersign/session"
	"github.com/spf13/cobra"
)

// grantLine is one element of `grants list --json`: a contract.
type grantLine struct {
	Session string            `json:"session"` // empty for a project's
	Project string            `json:"project"`
	Key     string            `json:"key"`
	Summary string            `json:"summary"`
	By      string            `json:"by"`
	Means   string            `json:"means"`
	Scope   countersign.Scope `json:"scope"`
	Given   time.Time         `json:"given,omitzero"`
	Until   time.Time         `json:"until,omitzero"`
	Expired bool              `json:"expired,omitempty"` // its date has passed; it ends, on record, at the next session's start
	Record  string            `json:"record,omitempty"`  // id of its grant.given

	grant grants.Grant
	file  grants.File
}

// shownKey is how much of a grant's key the list for people shows; `revoke`
// takes any beginning that means one grant.
const shownKey = len("reuse:") + 12

func (a *app) grantsCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "grants", Short: "Standing approvals: of live sessions, and of projects until a date"}
	cmd.AddCommand(a.jsonFlag(&cobra.Command{
		Use: "list", Short: "List standing approvals", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.listGrants(cmd.Context()) },
	}), a.jsonFlag(&cobra.Command{
		Use: "revoke KEY", Short: "End a standing approval", Args: exactly(1, "a grant's key"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.revoke(cmd.Context(), args[0]) },
	}))
	return cmd
}

func line(g grants.Grant, session, project string, now time.Time) grantLine {
	return grantLine{
		Session: session, Project: project, Key: g.Key, Summary: g.Summary, By: g.By, Means: g.Means, Scope: g.Scope,
		Given: g.Given, Until: g.Until, Expired: g.Over(now), Record: g.Record, grant: g,
	}
}

// grants are those of live sessions and those kept for projects. What cannot be
// asked or read keeps nobody from the others: its error comes last.
func (a *app) grants(ctx context.Context) ([]grantLine, error) {
	out := []grantLine{}
	failed := a.everywhere(ctx, func(ctx context.Context, k session.Kept, socket string) error {
		var some []grants.Grant
		err := session.Ask(ctx, socket, "grants", nil, &some)
		for _, g := range some {
			out = append(out, line(g, k.ID, k.Project, a.Now()))
		}
		return err
	})
	files, _ := filepath.Glob(filepath.Join(a.Dirs.State, "projects", "*", "grants.json"))
	for _, path := range files {
		f, all, err := grants.Open(path)
		failed = errors.Join(failed, err)
		for _, g := range all {
			l := line(g, "", f.Project, a.Now())
			l.file = f
			out = append(out, l)
		}
	}
	return out, failed
}

func (a *app) listGrants(ctx context.Context) error {
	all, err := a.grants(ctx)
	if a.JSON {
		return errors.Join(a.Data(all), err)
	}
	w := tabwriter.NewWriter(a.Out, 0, 4, 2, ' ', 0)
	for _, g := range all {
		where := "session " + g.Session
		if g.Scope == countersign.ScopeProject {
			where = base.Plain(g.Project)
		}
		until := "to its end"
		if !g.Until.IsZero() {
			until = "until " + g.Until.Local().Format(time.DateTime)
		}
		if g.Expired {
			until += " (passed)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t(by %s, %s)\n", g.Key[:min(len(g.Key), shownKey)], where, until, base.Plain(g.Summary), base.Plain(g.By), g.Means)
	}
	return errors.Join(w.Flush(), err)
}

// revoke ends the grants of the one command that key is the beginning of: several
// sessions and the project may have one each. That each is to end is on record
// first.
func (a *app) revoke(ctx context.Context, key string) error {
	all, err := a.grants(ctx)
	found := map[string]bool{}
	ends := slices.DeleteFunc(all, func(g grantLine) bool {
		hit := strings.HasPrefix(g.Key, key) || strings.HasPrefix(g.Key, "reuse:"+key)
		found[g.Key] = found[g.Key] || hit
		return !hit
	})
	maps.DeleteFunc(found, func(_ string, hit bool) bool { return !hit })
	if len(found) == 0 && err != nil {
		return err
	}
	if len(found) != 1 {
		return &countersign.Error{Code: countersign.ENotFound, Op: "revoke", Thing: key, Err: notOne(len(found), "grant's key"), Remedy: "`countersign grants list`"}
	}
	for _, g := range ends {
		if err := a.end(ctx, g); err != nil {
			return err
		}
	}
	if a.JSON {
		return a.Data(ends)
	}
	fmt.Fprintf(a.Out, "revoked %s\n  %s\n", ends[0].Key, base.Plain(ends[0].Summary))
	return nil
}

func (a *app) end(ctx context.Context, g grantLine) error {
	r := gate.Ended(g.grant, "grant.revoked", "")
	r.Session, r.Actor = g.Session, a.Human()
	if g.Session != "" {
		if err := a.Note(ctx, r); err != nil {
			return err
		}
		return session.Ask(ctx, a.Dirs.Socket(g.Session), "revoke", g.Key, nil)
	}
	return g.file.End(ctx, func(x grants.Grant) string {
		if x.Key != g.Key {
			return ""
		}
		return "revoked"
	}, func(grants.Grant, string) error { return a.Note(ctx, r) })
}
