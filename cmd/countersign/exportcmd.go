package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/cmd/countersign/reading"
	"github.com/countersign/countersign/export"
	"github.com/countersign/countersign/internal/filelock"
	"github.com/countersign/countersign/ledger"
	"github.com/spf13/cobra"
)

const exportHelp = `Hand the records to a receiver: a SIEM (--format jsonl, each record a line as it
lies in the ledger), or an OpenTelemetry collector (--format otlp: a log record
for each, and a span with the GenAI attributes for each answer of a model).

With --cursor FILE it goes on where it stopped: the cursor moves only after the
receiver has said that it has a batch. After an interruption a batch may come
twice, with the same ids. A receiver that is busy is asked again; one that
refuses ends the export, and nothing is skipped. Prompts and answers stay here.`

// exporting is the words of `countersign export`.
type exporting struct {
	format, to, cursor, headers, since string
	filter                             reading.Filter
	follow                             bool
}

func (a *app) exportCmd() *cobra.Command {
	var e exporting
	cmd := &cobra.Command{
		Use: "export --format jsonl|otlp", Short: "Hand the record to a SIEM or a collector", Long: exportHelp, Args: cobra.NoArgs,
		Example: `  countersign export --format jsonl --cursor siem.cursor --follow --to https://siem.example.com/in --header-file siem.headers
  countersign export --format otlp --cursor otel.cursor --to http://127.0.0.1:4318`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.export(cmd.Context(), e) },
	}
	f := cmd.Flags()
	f.StringVar(&e.format, "format", "", "`FORMAT`: jsonl or otlp")
	f.StringVar(&e.to, "to", "-", "`RECEIVER`: an address (of otlp without /v1/logs), a file to append to, or - for standard output")
	f.StringVar(&e.cursor, "cursor", "", "`FILE` that keeps where the receiver is")
	f.BoolVar(&e.follow, "follow", false, "wait for more")
	f.StringVar(&e.headers, "header-file", "", "`FILE` with the receiver's credentials, a line NAME: VALUE each, readable by you alone")
	f.StringVar(&e.filter.Session, "session", "", "only this `SESSION`")
	f.StringSliceVar(&e.filter.Types, "type", nil, "only these `TYPES`; a trailing * matches the rest")
	f.StringVar(&e.since, "since", "", "only since this `TIME`: RFC 3339, or a duration like 2h")
	return cmd
}

func (a *app) export(ctx context.Context, e exporting) (err error) {
	if e.filter.Since, err = reading.Since(e.since, a.Now()); err != nil {
		return err
	}
	if err := e.filter.Check(a.App); err != nil {
		return err
	}
	sink, done, err := a.receiver(e)
	if err != nil {
		return err
	}
	defer done()
	o := export.Options{Sink: sink, Wait: time.Second, Wants: func(r countersign.Record) bool { return e.filter.Wants(r, nil) }}
	if e.cursor != "" {
		now, cancel := context.WithCancel(ctx)
		cancel()
		unlock, err := filelock.Lock(now, e.cursor+".lock")
		if err != nil {
			return &countersign.Error{Code: countersign.EInvalid, Op: "hold the cursor", Thing: e.cursor, Err: err, Remedy: "another export runs with it: end that one, or name another cursor"}
		}
		defer unlock()
		if o.Cursor, err = export.OpenCursor(e.cursor); err != nil {
			return err
		}
	}
	r, err := ledger.OpenReader(a.LedgerDir())
	if errors.Is(err, os.ErrNotExist) && o.Cursor == nil {
		a.Say("there is no ledger yet in %s", a.LedgerDir())
		return nil
	}
	if err != nil {
		return err
	}
	o.Lines, o.Retry = r.All(), a.patience(e.follow)
	if e.follow {
		o.Lines = r.Follow(ctx)
	}
	sent, err := export.Run(ctx, o)
	if err == nil || sent > 0 {
		a.Say("the receiver has %d more records", sent)
	}
	if err == nil && e.follow && ctx.Err() != nil {
		return base.ExitCode(0) // it was told to end, and the cursor says where to go on
	}
	return err
}

// receiver opens where the records go.
func (a *app) receiver(e exporting) (export.Sink, func(), error) {
	var format export.Format
	switch e.format {
	case "jsonl":
		format = export.JSONL{}
	case "otlp":
		v, _ := built()
		format = export.OTLP{Version: v}
	default:
		return nil, nil, base.Usage(fmt.Errorf("--format is jsonl or otlp, not %q", e.format))
	}
	header, err := readHeaders(e.headers)
	switch {
	case err != nil:
		return nil, nil, err
	case strings.Contains(e.to, "://"):
		sink, err := export.NewHTTP(e.to, header, format, a.Now)
		return sink, func() {}, err
	case e.to == "-":
		return export.Writer{W: a.Out, Format: format}, func() {}, nil
	}
	f, err := os.OpenFile(e.to, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, &countersign.Error{Code: countersign.EUsage, Op: "export to", Thing: e.to, Err: errors.Unwrap(err), Remedy: "name a file that can be written, an address, or -"}
	}
	return export.Writer{W: f, Format: format}, func() { f.Close() }, nil
}

// readHeaders reads a receiver's credentials: a file, so that they stand in no
// argv.
func readHeaders(path string) (http.Header, error) {
	h := http.Header{}
	if path == "" {
		return h, nil
	}
	fault := func(err error) (http.Header, error) {
		return nil, &countersign.Error{Code: countersign.EInvalid, Op: "read the receiver's headers", Thing: path, Err: err, Remedy: "write a line NAME: VALUE each, and chmod 600 it"}
	}
	f, err := os.Open(path)
	if err != nil {
		return fault(errors.Unwrap(err))
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || fi.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		return fault(errors.Join(err, errors.New("it can be read by others")))
	}
	s := bufio.NewScanner(f)
	for n := 1; s.Scan(); n++ {
		name, v, ok := strings.Cut(s.Text(), ":")
		if strings.TrimSpace(s.Text()) == "" {
			continue
		}
		if !ok || strings.TrimSpace(name) == "" {
			return fault(fmt.Errorf("line %d is no header", n))
		}
		h.Add(strings.TrimSpace(name), strings.TrimSpace(v))
	}
	if err := s.Err(); err != nil {
		return fault(err)
	}
	return h, nil
}

// tries is how often a busy receiver is asked where nobody waits for more.
const tries = 5

// patience asks a busy receiver again, ever more slowly, or when it said.
func (a *app) patience(follow bool) func(context.Context, int, time.Duration, error) bool {
	return func(ctx context.Context, n int, after time.Duration, err error) bool {
		if !follow && n >= tries {
			return false
		}
		wait := min(max(after, time.Second<<min(n-1, 6)), time.Minute)
		if n == 1 || n%10 == 0 {
			a.Say("the receiver is busy, asked again in %v: %s", wait, base.Plain(err.Error()))
		}
		select {
		case <-time.After(wait):
			return true
		case <-ctx.Done():
			return false
		}
	}
}
