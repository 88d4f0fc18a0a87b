package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"text/tabwriter"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/cmd/countersign/live"
	"github.com/countersign/countersign/cmd/countersign/reviewing"
	"github.com/countersign/countersign/session"
	"github.com/spf13/cobra"
)

// sessionLine is one element of `sessions --json`: a contract.
type sessionLine struct {
	session.Kept
	State     string `json:"state"` // running, ended, lost
	Undecided int    `json:"undecided"`
	DiskBytes int64  `json:"disk_bytes"`
	Problem   string `json:"problem,omitempty"` // why its changes cannot be read
}

// worthFreeing is how many bytes of ended sessions are worth a word.
const worthFreeing = 64 << 20

func (a *app) sessionsCmd() *cobra.Command {
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "sessions",
		Short: "List sessions, what they hold and the disk they use",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.listSessions(cmd.Context()) },
	})
	cmd.AddCommand(&cobra.Command{
		Use:   "discard SESSION",
		Short: "Remove an ended session's staging layer for good",
		Args:  exactly(1, "a session id"),
		RunE:  func(cmd *cobra.Command, args []string) error { return a.discard(cmd.Context(), args[0]) },
	})
	return cmd
}

func (a *app) lines(ctx context.Context) ([]sessionLine, error) {
	all, err := a.Dirs.List()
	if err != nil {
		return nil, err
	}
	out := []sessionLine{}
	for _, k := range all {
		l := sessionLine{Kept: k, State: "ended", DiskBytes: session.DiskUse(a.Dirs.Session(k.ID))}
		switch {
		case a.Dirs.Live(k.ID):
			l.State = "running"
		case k.EndedBy == "":
			l.State = "lost"
		}
		if cs, err := reviewing.Changeset(ctx, a.App, k); err == nil {
			for _, h := range cs.Hunks {
				if h.State == countersign.Undecided || h.State == countersign.Stale {
					l.Undecided++
				}
			}
		} else if ctx.Err() == nil {
			l.Problem = err.Error()
		}
		out = append(out, l)
	}
	return out, nil
}

func (a *app) listSessions(ctx context.Context) error {
	lines, err := a.lines(ctx)
	if err != nil {
		return err
	}
	if a.JSON {
		return a.Data(lines)
	}
	if len(lines) == 0 {
		a.Say("no session has run yet: `countersign run -- COMMAND` starts one")
		return nil
	}
	w := tabwriter.NewWriter(a.Out, 0, 4, 2, ' ', 0)
	var idle int64
	for _, l := range lines {
		undecided := fmt.Sprint(l.Undecided)
		if l.Problem != "" {
			undecided = "?"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s undecided\t%s\t%s\n", l.ID, l.State, l.Agent, l.Started.Local().Format(time.DateTime), undecided, size(l.DiskBytes), base.Plain(l.Project))
		if l.State == "ended" && l.Undecided == 0 && l.Problem == "" {
			idle += l.DiskBytes
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if idle >= worthFreeing {
		a.Say("%s lie in ended sessions with nothing to review: `countersign sessions discard SESSION` frees them", size(idle))
	}
	return nil
}

func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

func (a *app) discard(ctx context.Context, id string) error {
	k, err := a.Dirs.Load(id)
	if err != nil {
		return err
	}
	if k.ID != id {
		return &countersign.Error{Code: countersign.EUsage, Op: "discard session", Thing: id, Err: errors.New("what is thrown away is named in full"), Remedy: "`countersign sessions discard " + k.ID + "`"}
	}
	if a.Dirs.Live(k.ID) {
		return &countersign.Error{Code: countersign.EInvalid, Op: "discard session", Thing: k.ID, Err: errors.New("it is running"), Remedy: "`countersign stop " + k.ID + "` first"}
	}
	if err := a.Note(ctx, countersign.Record{Type: "session.discarded", Session: k.ID, Actor: a.Human()}); err != nil {
		return err
	}
	if err := removeTree(a.Dirs.Session(k.ID)); err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "discarded %s\n", k.ID)
	return nil
}

func (a *app) stopCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "stop SESSION",
		Short: "End a session and everything it runs; its staging layer stays",
		Args:  exactly(1, "a session id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := a.Dirs.Load(args[0])
			if err != nil {
				return err
			}
			err = session.Ask(cmd.Context(), a.Dirs.Socket(k.ID), "stop", base.Who(), nil)
			if countersign.CodeOf(err) == countersign.ENotFound {
				return &countersign.Error{Code: countersign.ENotFound, Op: "stop session", Thing: k.ID, Err: errors.New("it has ended"), Remedy: "`countersign sessions` lists what it left"}
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "stopped %s\n", k.ID)
			return nil
		},
	}
}

func (a *app) statusCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:   "status",
		Short: "What runs now, and what is enforced",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all := []live.Status{}
			err := a.everywhere(cmd.Context(), func(ctx context.Context, _ session.Kept, socket string) error {
				var s live.Status
				err := session.Ask(ctx, socket, "status", nil, &s)
				if err == nil {
					all = append(all, s)
				}
				return err
			})
			if a.JSON {
				return errors.Join(a.Data(all), err)
			}
			for _, s := range all {
				fmt.Fprintf(a.Out, "%s  %s  %s\n  posture tier %s, preset %s, %s back end, %d waiting\n", s.Session, s.Agent, base.Plain(s.Project), s.Posture.Tier, s.Preset, s.Backend, s.Waiting)
				for _, p := range s.Processes {
					fmt.Fprintf(a.Out, "  pid %d  %s\n", p.PID, base.Plain(p.Summary))
				}
				for _, l := range s.Budgets {
					fmt.Fprintf(a.Out, "  budget %s\n", base.Plain(l.String()))
				}
				for _, n := range s.Notes {
					fmt.Fprintf(a.Out, "  not the same in the session: %s %s\n", base.Plain(n.Path), base.Plain(n.Text))
				}
			}
			if len(all) == 0 && err == nil {
				a.Say("no session runs: `countersign run -- COMMAND` starts one, `countersign sessions` lists those that ended")
			}
			return err
		},
	})
}

// version is set at release time with -ldflags "-X main.version=…".
var version = ""

// built is the version of this program and the revision it was built from.
func built() (v, rev string) {
	v = version
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v, ""
	}
	if v == "" {
		v = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			rev = s.Value
		}
	}
	return v, rev
}

func (a *app) versionCmd() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:   "version",
		Short: "Print the version of this program and of its formats",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v, rev := built()
			if a.JSON {
				return a.Data(map[string]any{"version": v, "revision": rev, "record": 1, "control": session.ProtocolVersion})
			}
			fmt.Fprintf(a.Out, "countersign %s %s (record schema 1, control protocol %d)\n", v, rev, session.ProtocolVersion)
			return nil
		},
	})
}
