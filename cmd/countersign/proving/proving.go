// Package proving runs the attack table against a session of this machine:
// `countersign selftest`. It makes a canary project, has a session started in it
// with the policy in force, and holds what was tried against what is on record.
//
// It promises that every row has a canary.result on record, durable, before the
// command ends, and that nothing it made is left behind but records. It approves
// in that session only the attempts themselves, as `selftest`; it decides nothing
// else, and touches no project of the person's.
package proving

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/selftest"
	"github.com/spf13/cobra"
)

const help = `Attack a sandbox of this machine's own posture and policy: a session in a canary
project, with secrets made for it, in which every row of the attack table is tried.
Each row's result is a record (canary.result).

A row is "blocked" where its attempt was made, met what it must, and is on record as
it must be. What this machine or the policy leaves open says so, and is no failure.

EXIT STATUS
  0 nothing got through · 6 something did, or a control did not answer or record as
  it must · 1 the self-test could not be made`

// Options are the words of `countersign selftest`.
type Options struct {
	Policy, Preset, Backend string
}

// Command is `countersign selftest`.
func Command(a *base.App) *cobra.Command {
	var o Options
	cmd := &cobra.Command{
		Use:   "selftest",
		Short: "Attack this machine's own sandbox, and record what came of it",
		Long:  help,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Backend != "" && o.Backend != "snapshot" && o.Backend != "overlay" {
				return base.Usage(fmt.Errorf("--backend is snapshot or overlay, not %q", o.Backend))
			}
			r, err := run(cmd.Context(), a, o)
			if err != nil {
				return err
			}
			return r.print(a)
		},
	}
	cmd.Flags().StringVar(&o.Policy, "policy", "", "`FILE` in place of the user's layer")
	cmd.Flags().StringVar(&o.Preset, "preset", "", "`NAME` of the preset in place of the one your layer names")
	cmd.Flags().StringVar(&o.Backend, "backend", "", "staging `KIND`: snapshot or overlay (default: as in a small project, snapshot)")
	cmd.Flags().BoolVar(&a.JSON, "json", false, "print JSON, a documented contract")
	return cmd
}

// Report is what `selftest --json` prints.
type Report struct {
	Session string         `json:"session"`
	Tier    string         `json:"tier"`
	Policy  string         `json:"policy"`
	MS      int64          `json:"ms"`
	Counts  map[string]int `json:"counts"` // rows by state
	Failed  int            `json:"failed"` // of the rows
	Rows    []Line         `json:"rows"`
}

// Line is one row of a Report.
type Line struct {
	Row       string   `json:"row"`
	Door      string   `json:"door"`
	Control   string   `json:"control"`
	Invariant int      `json:"invariant"`
	Tries     string   `json:"tries"`
	Expected  string   `json:"expected"`
	State     string   `json:"state"`
	Blocked   bool     `json:"blocked"`
	Got       string   `json:"got"`
	Records   []string `json:"records"`
	Record    string   `json:"record"` // id of its canary.result
}

func line(r selftest.Result) Line {
	l := Line{
		Row: r.Row.Name, Door: r.Row.Door, Control: r.Row.Control, Invariant: r.Row.Invariant, Tries: r.Row.Tries,
		Expected: r.Expected, State: string(r.State), Got: base.Printable(r.Got), Records: r.Records,
		Blocked: r.State == selftest.Blocked || r.State == selftest.Unseen,
	}
	if l.Records == nil {
		l.Records = []string{}
	}
	return l
}

// print prints the table, and ends with the error of a self-test that failed.
func (r Report) print(a *base.App) error {
	if a.JSON {
		if err := a.Data(r); err != nil {
			return err
		}
	} else {
		w := tabwriter.NewWriter(a.Out, 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "STATE\tDOOR\tROW\tTRIES\tGOT")
		for _, l := range r.Rows {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", l.State, l.Door, l.Row, l.Tries, base.Plain(l.Got))
		}
		if err := w.Flush(); err != nil {
			return err
		}
		var counts []string
		for _, s := range []selftest.State{selftest.Blocked, selftest.Unseen, selftest.NotProtected, selftest.NotApplicable, selftest.Through, selftest.Unexpected, selftest.Unmade} {
			if n := r.Counts[string(s)]; n > 0 {
				counts = append(counts, fmt.Sprintf("%d %s", n, s))
			}
		}
		fmt.Fprintf(a.Out, "\ntier %s, %d rows in %.1f s: %s\n", r.Tier, len(r.Rows), float64(r.MS)/1000, strings.Join(counts, "; "))
		a.Say("on record: countersign log --session %s --type canary.result", r.Session)
	}
	if r.Failed == 0 {
		return nil
	}
	return &countersign.Error{
		Code: countersign.EVerify, Op: "pass the self-test", Err: fmt.Errorf("%d of %d rows are not as they must be: %w", r.Failed, len(r.Rows), errFailed),
		Remedy: "start no agent here until it is mended; `countersign doctor` says what this machine enforces, `countersign log --session " + r.Session + "` has the session",
	}
}

var errFailed = errors.New("a control did not hold")
