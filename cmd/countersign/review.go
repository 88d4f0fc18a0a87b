package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/session"
	tuireview "github.com/countersign/countersign/tui/review"
)

// hunkLine is one element of `review --list --json`: a contract.
type hunkLine struct {
	Session  string                `json:"session"`
	Hunk     string                `json:"hunk"`
	Path     string                `json:"path"`
	OldPath  string                `json:"old_path"`
	Op       countersign.Op        `json:"op"`
	Commit   *string               `json:"commit"`
	OldStart int                   `json:"old_start"`
	OldLines int                   `json:"old_lines"`
	NewStart int                   `json:"new_start"`
	NewLines int                   `json:"new_lines"`
	State    countersign.HunkState `json:"state"`
	Risk     countersign.Risk      `json:"risk"`
	Why      string                `json:"why,omitempty"`
	Digest   string                `json:"digest"`
}

// reviewFlags are the words of `countersign review`.
type reviewFlags struct {
	list, acceptAll, apply, undo, feedback bool
	accept, reject, acceptFile             []string
	digest                                 string
}

func (f reviewFlags) any() bool {
	return f.list || f.acceptAll || f.apply || f.undo || f.feedback || len(f.accept)+len(f.reject)+len(f.acceptFile) > 0
}

const reviewHelp = `Look at what a session's agent changed, hunk by hunk, and let what you accept reach
your files. Without flags and with a terminal it is a screen; with flags it is for
scripts. The newest session of this project is meant unless one is named.

What you accept is kept as you saw it: what the agent writes afterwards is a new
hunk. Hunks of high risk (CI and editor configuration, hooks, denied names …) are
never part of --accept-all; name them.

EXIT STATUS
  0 ok · 7 applied, but some accepted hunks had become stale and stayed behind`

func (a *app) reviewCmd() *cobra.Command {
	var f reviewFlags
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "review [SESSION]",
		Short: "Accept or reject changes, hunk by hunk, and apply them",
		Long:  reviewHelp,
		Example: `  countersign review --list
  countersign review --accept 3fa94c1d --accept-file docs/x.md --apply
  countersign review --undo`,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := a.sortArgs(args, &f)
			if err != nil {
				return err
			}
			if f.digest != "" && len(f.accept)+len(f.reject) != 1 {
				return usage(errors.New("--digest goes with exactly one --accept or --reject"))
			}
			return a.review(cmd.Context(), id, f)
		},
	})
	fl := cmd.Flags()
	fl.BoolVar(&f.list, "list", false, "list the hunks")
	fl.StringSliceVar(&f.accept, "accept", nil, "accept these `HUNKS` (ids or digests)")
	fl.StringSliceVar(&f.reject, "reject", nil, "reject these `HUNKS`")
	fl.StringArrayVar(&f.acceptFile, "accept-file", nil, "accept every open hunk of this `PATH`")
	fl.BoolVar(&f.acceptAll, "accept-all", false, "accept every open hunk that is not of high risk")
	fl.BoolVar(&f.apply, "apply", false, "write what is accepted to the real tree")
	fl.BoolVar(&f.undo, "undo", false, "take the last apply back")
	fl.BoolVar(&f.feedback, "feedback", false, "print the rejected hunks as text for the agent")
	fl.StringVar(&f.digest, "digest", "", "insist on this digest")
	return cmd
}

// sortArgs tells a session's id from further hunks: `--accept A B C` names
// three.
func (a *app) sortArgs(args []string, f *reviewFlags) (id string, err error) {
	for _, arg := range args {
		_, err := a.dirs.Load(arg)
		switch {
		case err == nil && id == "":
			id = arg
		case len(f.accept) > 0 && len(f.reject) == 0:
			f.accept = append(f.accept, arg)
		case len(f.reject) > 0 && len(f.accept) == 0:
			f.reject = append(f.reject, arg)
		case err != nil:
			return "", err
		default:
			return "", usage(fmt.Errorf("what is %q? one session, and hunks after --accept or --reject", arg))
		}
	}
	return id, nil
}

func (a *app) review(ctx context.Context, id string, f reviewFlags) error {
	k, err := a.reviewed(id)
	if countersign.CodeOf(err) == countersign.ENotFound && id == "" && f.list && !f.undo {
		return a.printHunks(k, countersign.Changeset{})
	}
	if err != nil {
		return err
	}
	if err := a.recoverApply(ctx, k.Project, nil); err != nil {
		return err
	}
	if f.undo {
		return a.undo(ctx, k)
	}
	r, err := a.openReview(ctx, k)
	if err != nil {
		return err
	}
	defer r.close()
	if f.any() {
		return r.script(ctx, f)
	}
	if !term.IsTerminal(int(a.in.Fd())) {
		return usage(errors.New("there is no terminal: use --list, --accept, --reject and --apply"))
	}
	return r.screen(ctx)
}

// reviewed finds the session that is meant: the named one, or the newest of
// this project.
func (a *app) reviewed(id string) (session.Kept, error) {
	if id != "" {
		return a.dirs.Load(id)
	}
	root := a.projectRoot()
	all, err := a.dirs.List()
	if err != nil {
		return session.Kept{}, err
	}
	for _, k := range all {
		if k.Project == root {
			return k, nil
		}
	}
	return session.Kept{}, &countersign.Error{
		Code: countersign.ENotFound, Op: "review", Thing: root, Err: errors.New("no session has worked on this project"),
		Remedy: "`countersign sessions` lists all; name one, or go to its project",
	}
}

// script does what the flags say, in this order: decide, apply, list.
func (r *reviewing) script(ctx context.Context, f reviewFlags) error {
	if f.digest != "" {
		h, err := r.review.Find(append(f.accept, f.reject...)[0])
		if err != nil {
			return err
		}
		if h.Digest != f.digest {
			return &countersign.Error{Code: countersign.EInvalid, Op: "decide hunk", Thing: h.ID, Err: fmt.Errorf("its digest is %s", h.Digest), Remedy: "look at it again: `countersign review --list`"}
		}
	}
	steps := []struct {
		wanted bool
		do     func() error
	}{
		{len(f.accept) > 0, func() error { return r.Accept(f.accept...) }},
		{len(f.reject) > 0, func() error { return r.Reject(f.reject...) }},
		{f.acceptAll, func() error { return r.acceptAll(ctx) }},
	}
	for _, path := range f.acceptFile {
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
	if f.feedback {
		r.feedback()
	}
	if f.list {
		if err := r.printHunks(r.kept, r.review.Changeset()); err != nil {
			return err
		}
	}
	if !f.apply {
		return nil
	}
	line, err := r.apply(ctx)
	if line != "" {
		fmt.Fprintln(r.out, line)
	}
	return err
}

func (a *app) printHunks(k session.Kept, cs countersign.Changeset) error {
	lines := []hunkLine{}
	for _, h := range cs.Hunks {
		l := hunkLine{
			Session: k.ID, Hunk: h.ID, Path: h.Path, OldPath: h.OldPath, Op: h.Op, OldStart: h.OldStart, OldLines: h.OldLines,
			NewStart: h.NewStart, NewLines: h.NewLines, State: h.State, Risk: h.Risk, Why: h.Why, Digest: h.Digest,
		}
		if h.Commit != "" {
			l.Commit = &h.Commit
		}
		lines = append(lines, l)
	}
	if a.json {
		return a.data(lines)
	}
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	for _, l := range lines {
		where := fmt.Sprintf("-%d,%d +%d,%d", l.OldStart, l.OldLines, l.NewStart, l.NewLines)
		risk := ""
		if l.Risk == countersign.RiskHigh {
			risk = "HIGH RISK: " + l.Why
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", l.Hunk, l.State, l.Op, plain(l.Path), where, risk)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if cs.Ignored > 0 {
		a.say("%d changed files that git ignores stay in the staging layer and are not listed", cs.Ignored)
	}
	return nil
}

// feedback prints what was rejected as text that an agent can be given.
func (r *reviewing) feedback() {
	for _, h := range r.review.Changeset().Hunks {
		if h.State != countersign.Rejected {
			continue
		}
		_ = r.review.Load(&h)
		fmt.Fprintf(r.out, "The change to %s (%s) was rejected:\n", plain(h.Path), h.Op)
		for _, part := range []struct {
			sign string
			text []byte
		}{{"-", h.Pre}, {"+", h.Post}} {
			for _, line := range strings.SplitAfter(string(part.text), "\n") {
				if line != "" {
					fmt.Fprintf(r.out, "%s%s\n", part.sign, plain(strings.TrimRight(line, "\n")))
				}
			}
		}
	}
}

// screen shows the queue.
func (r *reviewing) screen(ctx context.Context) error {
	dir, err := os.MkdirTemp(r.dirs.Session(r.kept.ID), "edit-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	editor := strings.Fields(r.getenv("VISUAL"))
	if len(editor) == 0 {
		editor = strings.Fields(r.getenv("EDITOR"))
	}
	if len(editor) == 0 {
		editor = []string{"vi"}
	}
	out, ok := r.out.(*os.File)
	if !ok {
		return usage(errors.New("standard output is no terminal"))
	}
	r.quiet = true
	if err := tuireview.Run(ctx, tuireview.Options{Source: r, In: r.in, Out: out, Editor: editor, Dir: dir, Plain: r.getenv("NO_COLOR") != ""}); err != nil {
		return err
	}
	if n := r.review.Changeset().Ignored; n > 0 {
		r.say("%d changed files that git ignores stay in the staging layer", n)
	}
	return nil
}

func (a *app) projectState(root string) string {
	return filepath.Join(a.dirs.State, "projects", projectKey(root))
}
