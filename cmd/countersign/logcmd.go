package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/cmd/countersign/reading"
	"github.com/countersign/countersign/ledger"
	"github.com/spf13/cobra"
)

func (a *app) logCmd() *cobra.Command {
	var f reading.Filter
	var since string
	var follow bool
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "log",
		Short: "Read the record",
		Long:  "Read the record. Reading writes nothing. With --json each line is a record as it lies in the ledger (schema v1).",
		Example: `  countersign log --type file.denied,net.denied,sandbox.denied --since 24h
  countersign log --session 7k2mfpaz --type 'exec.*'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if f.Since, err = reading.Since(since, a.Now()); err != nil {
				return err
			}
			return a.printLog(cmd.Context(), f, follow)
		},
	})
	fl := cmd.Flags()
	fl.StringVar(&f.Session, "session", "", "only this `SESSION`")
	fl.StringSliceVar(&f.Types, "type", nil, "only these `TYPES`; a trailing * matches the rest")
	fl.StringVar(&since, "since", "", "only since this `TIME`: RFC 3339, or a duration like 2h")
	fl.StringVar(&f.Grep, "grep", "", "only records that contain this `TEXT`")
	fl.BoolVar(&follow, "follow", false, "wait for more")
	return cmd
}

func (a *app) printLog(ctx context.Context, f reading.Filter, follow bool) error {
	if err := f.Check(a.App); err != nil {
		return err
	}
	r, err := ledger.OpenReader(a.LedgerDir())
	if errors.Is(err, os.ErrNotExist) {
		a.Say("there is no ledger yet in %s", a.LedgerDir())
		return nil
	}
	if err != nil {
		return err
	}
	each := r.All()
	if follow {
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

func (a *app) printLine(line []byte, f reading.Filter) error {
	var r countersign.Record
	if err := json.Unmarshal(line, &r); err != nil {
		return fmt.Errorf("read record: %w", err)
	}
	if !f.Wants(r, line) {
		return nil
	}
	if a.JSON {
		_, err := a.Out.Write(append(bytes.TrimSpace(line), '\n'))
		return err
	}
	_, err := fmt.Fprintln(a.Out, reading.Describe(r))
	return err
}

func (a *app) verifyCmd() *cobra.Command {
	var checkpoint string
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "verify [DIR]",
		Short: "Prove offline that the record is whole and unchanged",
		Long: `Prove offline that the record is whole and unchanged: every leaf, every link, the
tree, and the signatures of the checkpoints. What it could not check is printed.
It writes nothing.

Who owns the ledger can cut its end off, or put an older copy back. That shows
against a checkpoint that was kept elsewhere: any file of "checkpoints" in the
ledger's directory is one, the last being the newest. The directory is DIR, or
countersign/ledger in XDG_STATE_HOME (~/.local/state).

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
