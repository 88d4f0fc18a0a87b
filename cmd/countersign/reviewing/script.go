package reviewing

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/countersign/countersign/internal/count"
	tuireview "github.com/countersign/countersign/tui/review"
	"github.com/countersign/countersign/workspace/stage"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/session"
)

// HunkLine is one element of `review --list --json`: a contract.
type HunkLine struct {
	Session  string                `json:"session"`
	Hunk     string                `json:"hunk"`
	Path     string                `json:"path"`
	OldPath  string                `json:"old_path"`
	Op       countersign.Op        `json:"op"`
	Commit   *string               `json:"commit"`
	Branch   string                `json:"branch,omitempty"`
	OldStart int                   `json:"old_start"`
	OldLines int                   `json:"old_lines"`
	NewStart int                   `json:"new_start"`
	NewLines int                   `json:"new_lines"`
	State    countersign.HunkState `json:"state"`
	Risk     countersign.Risk      `json:"risk"`
	Why      string                `json:"why,omitempty"`
	Digest   string                `json:"digest"`
}

// Flags are the words of `countersign review`.
type Flags struct {
	List, AcceptAll, Apply, Undo, Feedback bool
	Accept, Reject, AcceptFile             []string
	Digest                                 string
}

func (f Flags) Any() bool {
	return f.List || f.AcceptAll || f.Apply || f.Undo || f.Feedback || len(f.Accept)+len(f.Reject)+len(f.AcceptFile) > 0
}

// Script does what the flags say, in this order: decide, apply, list.
func (r *Reviewing) Script(ctx context.Context, f Flags) error {
	if f.Digest != "" {
		h, err := r.review.Find(append(f.Accept, f.Reject...)[0])
		if err != nil {
			return err
		}
		if h.Digest != f.Digest {
			return &countersign.Error{Code: countersign.EInvalid, Op: "decide hunk", Thing: h.ID, Err: fmt.Errorf("its digest is %s", h.Digest), Remedy: "look at it again: `countersign review --list`"}
		}
	}
	steps := []struct {
		wanted bool
		do     func() error
	}{
		{len(f.Accept) > 0, func() error { return r.Accept(f.Accept...) }},
		{len(f.Reject) > 0, func() error { return r.Reject(f.Reject...) }},
		{f.AcceptAll, func() error { return r.acceptAll(ctx) }},
	}
	for _, path := range f.AcceptFile {
		steps = append(steps, struct {
			wanted bool
			do     func() error
		}{true, func() error { return r.AcceptFile(path) }})
	}
	for _, s := range steps {
		if s.wanted {
			if err := s.do(); err != nil {
				return err
			}
		}
	}
	if f.AcceptAll {
		r.sayRisky()
	}
	if f.Feedback {
		r.feedback()
	}
	if f.List {
		if err := PrintHunks(r.App, r.kept, r.review.Changeset()); err != nil {
			return err
		}
		r.sayDrift(r.review.Changeset())
		r.sayKept(ctx)
		r.sayNotes(ctx)
	}
	if !f.Apply {
		return nil
	}
	line, err := r.apply(ctx)
	if line != "" {
		fmt.Fprintln(r.Out, line)
	}
	if !f.List {
		r.sayKept(ctx)
		r.sayNotes(ctx)
	}
	return err
}

// mostNamed is how many hunks a message names; the list has the others.
const mostNamed = 8

// sayRisky names what is never accepted in bulk.
func (r *Reviewing) sayRisky() {
	var left []string
	for _, h := range r.review.Changeset().Hunks {
		if h.Risk == countersign.RiskHigh && h.State == countersign.Undecided {
			left = append(left, h.ID)
		}
	}
	switch n := len(left); {
	case n > mostNamed:
		r.Say("%s of high risk are undecided still: `countersign review --list` has them", count.Of(n, "hunk"))
	case n > 0:
		r.Say("of high risk, and undecided still: `countersign review --accept %s`, after a look", strings.Join(left, " "))
	}
}

func PrintHunks(a *base.App, k session.Kept, cs countersign.Changeset) error {
	lines := []HunkLine{}
	for _, h := range cs.Hunks {
		lines = append(lines, lineOf(k, h))
	}
	if a.JSON {
		done, err := landed(a, k.ID)
		if err != nil {
			return err
		}
		shown := map[string]bool{} // what a commit did is listed until the commit is taken over
		for _, l := range lines {
			shown[l.Digest] = true
		}
		for _, l := range done {
			if !shown[l.Digest] {
				lines = append(lines, l)
			}
		}
		return a.Data(lines)
	}
	w := tabwriter.NewWriter(a.Out, 0, 4, 2, ' ', 0)
	for _, l := range lines {
		where := fmt.Sprintf("-%d,%d +%d,%d", l.OldStart, l.OldLines, l.NewStart, l.NewLines)
		notes := ""
		if l.Commit != nil {
			notes = fmt.Sprintf("commit %.12s ", *l.Commit)
		}
		if l.Branch != "" {
			notes += "on " + base.Plain(strings.TrimPrefix(l.Branch, "refs/heads/")) + " "
		}
		if l.Risk == countersign.RiskHigh {
			notes += "HIGH RISK: " + l.Why
		}
		path := base.Plain(l.Path)
		if l.OldPath != "" && l.OldPath != l.Path {
			path = base.Plain(l.OldPath) + " → " + path
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", l.Hunk, l.State, l.Op, path, where, strings.TrimSpace(notes))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	sayIgnored(a, cs)
	return nil
}

// sayIgnored counts what is no hunk. A directory that was ignored as a whole at
// the start is not looked through for that.
func sayIgnored(a *base.App, cs countersign.Changeset) {
	if cs.Ignored > 0 {
		a.Say("%s that git ignores: not listed, kept in the staging layer, beside what changed in directories it ignores whole", count.Of(cs.Ignored, "changed file"))
	}
}

// feedback prints what was rejected as text that an agent can be given.
func (r *Reviewing) feedback() {
	for _, h := range r.review.Changeset().Hunks {
		if h.State != countersign.Rejected {
			continue
		}
		_ = r.review.Load(&h)
		fmt.Fprintf(r.Out, "The change to %s (%s) was rejected:\n", base.Plain(h.Path), h.Op)
		for _, part := range []struct {
			sign string
			text []byte
		}{{"-", h.Pre}, {"+", h.Post}} {
			for _, line := range strings.SplitAfter(string(part.text), "\n") {
				if line != "" {
					fmt.Fprintf(r.Out, "%s%s\n", part.sign, base.Plain(strings.TrimRight(line, "\n")))
				}
			}
		}
	}
}

// Notes are those of a staging layer as a session keeps and shows them.
func Notes(list []stage.Note) []session.Note {
	out := []session.Note{}
	for _, n := range list {
		out = append(out, session.Note{Path: base.Printable(n.Path), Text: base.Printable(n.Text)})
	}
	return out
}

// sayNotes says what of the project is not the same in the session.
func (r *Reviewing) sayNotes(ctx context.Context) {
	var now struct{ Notes []session.Note }
	if !r.Dirs.Live(r.kept.ID) || session.Ask(ctx, r.Dirs.Socket(r.kept.ID), "status", nil, &now) != nil {
		now.Notes = slices.Clone(r.kept.Notes)
		if held, ok := r.staging.(interface{ Notes() []stage.Note }); ok {
			for _, n := range Notes(held.Notes()) {
				if !slices.Contains(now.Notes, n) {
					now.Notes = append(now.Notes, n)
				}
			}
		}
	}
	r.SayNotes(now.Notes, "countersign sessions --json lists all")
}

// Screen shows the queue.
func (r *Reviewing) Screen(ctx context.Context) error {
	dir, err := os.MkdirTemp(r.Dirs.Session(r.kept.ID), "edit-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	editor := strings.Fields(r.Getenv("VISUAL"))
	if len(editor) == 0 {
		editor = strings.Fields(r.Getenv("EDITOR"))
	}
	if len(editor) == 0 {
		editor = []string{"vi"}
	}
	out, ok := r.Out.(*os.File)
	if !ok {
		return base.Usage(errors.New("standard output is no terminal"))
	}
	r.quiet = true
	if err := tuireview.Run(ctx, tuireview.Options{Source: r, In: r.In, Out: out, Editor: editor, Dir: dir, Plain: r.Getenv("NO_COLOR") != "", Staying: func() []string { return r.staying(ctx) }}); err != nil {
		return err
	}
	sayIgnored(r.App, r.review.Changeset())
	r.sayKept(ctx)
	r.sayNotes(ctx)
	return nil
}
