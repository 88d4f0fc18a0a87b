package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/ledger"
	"github.com/spf13/cobra"
)

// logFilter is which records `log` shows.
type logFilter struct {
	session, grep string
	types         []string
	since         time.Time
	follow        bool
}

func (a *app) logCmd() *cobra.Command {
	var f logFilter
	var since string
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "log",
		Short: "Read the record",
		Long:  "Read the record. Reading writes nothing. With --json each line is a record as it lies in the ledger (schema v1).",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if f.since, err = a.parseSince(since); err != nil {
				return err
			}
			return a.printLog(cmd.Context(), f)
		},
	})
	fl := cmd.Flags()
	fl.StringVar(&f.session, "session", "", "only this `SESSION`")
	fl.StringSliceVar(&f.types, "type", nil, "only these `TYPES`; a trailing * matches the rest")
	fl.StringVar(&since, "since", "", "only since this `TIME`: RFC 3339, or a duration like 2h")
	fl.StringVar(&f.grep, "grep", "", "only records that contain this `TEXT`")
	fl.BoolVar(&f.follow, "follow", false, "wait for more")
	return cmd
}

func (a *app) parseSince(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return a.Now().Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, base.Usage(fmt.Errorf("--since %q is neither a time (2026-01-31T12:00:00Z) nor a duration (2h)", s))
	}
	return t, nil
}

func (a *app) printLog(ctx context.Context, f logFilter) error {
	r, err := ledger.OpenReader(a.LedgerDir())
	if errors.Is(err, os.ErrNotExist) {
		a.Say("there is no ledger yet in %s", a.LedgerDir())
		return nil
	}
	if err != nil {
		return err
	}
	each := r.All()
	if f.follow {
		each = r.Follow(ctx)
	}
	for line, err := range each {
		if err != nil {
			return err
		}
		if err := a.printLine(line, f); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) printLine(line []byte, f logFilter) error {
	var r countersign.Record
	if err := json.Unmarshal(line, &r); err != nil {
		return fmt.Errorf("read record: %w", err)
	}
	if !f.wants(r, line) {
		return nil
	}
	if a.JSON {
		_, err := a.Out.Write(append(bytes.TrimSpace(line), '\n'))
		return err
	}
	_, err := fmt.Fprintln(a.Out, describeRecord(r))
	return err
}

func (f logFilter) wants(r countersign.Record, line []byte) bool {
	if f.session != "" && !strings.HasPrefix(r.Session, f.session) {
		return false
	}
	if f.grep != "" && !bytes.Contains(line, []byte(f.grep)) {
		return false
	}
	if !f.since.IsZero() {
		if t, err := time.Parse(time.RFC3339Nano, r.T.Wall); err != nil || t.Before(f.since) {
			return false
		}
	}
	if len(f.types) == 0 {
		return true
	}
	for _, t := range f.types {
		if r.Type == t || strings.HasSuffix(t, "*") && strings.HasPrefix(r.Type, strings.TrimSuffix(t, "*")) {
			return true
		}
	}
	return false
}

// describeRecord is one record for a person.
func describeRecord(r countersign.Record) string {
	when := r.T.Wall
	if t, err := time.Parse(time.RFC3339Nano, r.T.Wall); err == nil {
		when = t.Local().Format("2006-01-02 15:04:05.000")
	}
	parts := []string{fmt.Sprintf("%6d  %s  %-18s", r.Seq, when, r.Type)}
	if d := r.Decision; d != nil {
		by := string(d.Basis)
		if d.By != "" {
			by += " " + d.By
		}
		parts = append(parts, fmt.Sprintf("%s (%s)", d.Verdict, by))
	}
	if o := r.Outcome; o != nil {
		s := o.Status
		if o.Exit != nil {
			s = fmt.Sprintf("%s %d", s, *o.Exit)
		}
		parts = append(parts, s)
	}
	if r.Action != nil && r.Action.Summary != "" {
		parts = append(parts, r.Action.Summary)
	}
	parts = append(parts, spent(r)...)
	if p := r.Policy; p != nil && p.Rule != "" {
		parts = append(parts, "["+p.Rule+"]")
	}
	return base.Plain(strings.Join(parts, "  "))
}

// spent is what an answer used and cost.
func spent(r countersign.Record) []string {
	var out []string
	if u := r.Usage; u != nil {
		out = append(out, fmt.Sprintf("%d in, %d cached, %d out", u.Input, u.CacheRead+u.CacheWrite, u.Output))
	}
	switch c := r.Cost; {
	case c == nil:
	case c.NanoUSD == nil:
		out = append(out, "cost unknown: "+c.Unknown)
	case c.Estimated:
		out = append(out, "about $"+c.USD)
	default:
		out = append(out, "$"+c.USD)
	}
	return out
}

func (a *app) verifyCmd() *cobra.Command {
	var checkpoint string
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "verify [DIR]",
		Short: "Prove offline that the record is whole and unchanged",
		Long: `Prove offline that the record is whole and unchanged: every leaf, every link, the
tree, and the signatures of the checkpoints. What it could not check is printed.
It writes nothing.

EXIT STATUS
  0 proven · 6 something was changed, and at which record`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := a.LedgerDir()
			if len(args) == 1 {
				dir = args[0]
			} else if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
				return &countersign.Error{Code: countersign.ENotFound, Op: "verify", Thing: dir, Err: errors.New("there is no ledger yet"), Remedy: "the first session begins one; another directory can be named"}
			}
			var opts ledger.VerifyOptions
			if checkpoint != "" {
				b, err := os.ReadFile(checkpoint)
				if err != nil {
					return base.Usage(err)
				}
				opts.Checkpoint = b
			}
			return a.verify(dir, opts)
		},
	})
	cmd.Flags().StringVar(&checkpoint, "checkpoint", "", "a checkpoint `FILE` kept elsewhere, which the ledger must contain")
	return cmd
}

func (a *app) verify(dir string, opts ledger.VerifyOptions) error {
	rep, err := ledger.Verify(dir, opts)
	if a.JSON {
		if derr := a.Data(rep); derr != nil {
			return derr
		}
		return err
	}
	if err == nil {
		fmt.Fprintf(a.Out, "ok: %d records in %d segments, root %s\n", rep.Records, rep.Segments, rep.Root)
	}
	for _, s := range rep.NotChecked {
		fmt.Fprintf(a.Out, "not checked: %s\n", s)
	}
	return err
}
