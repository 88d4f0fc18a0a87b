package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/cmd/countersign/reviewing"
	"github.com/countersign/countersign/session"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

const reviewHelp = `Look at what a session's agent changed, hunk by hunk, and let what you accept reach
your files. Without flags and with a terminal it is a screen; with flags it is for
scripts. The newest session of this project that changed something is meant, unless
one is named.

What you accept is kept as you saw it: what the agent writes afterwards is a new
hunk. Hunks of high risk (CI and editor configuration, hooks, denied names …) are
never part of --accept-all; name them.

EXIT STATUS
  0 ok · 7 applied, but some accepted hunks had become stale and stayed behind`

func (a *app) reviewCmd() *cobra.Command {
	var f reviewing.Flags
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "review [SESSION]",
		Short: "Accept or reject changes, hunk by hunk, and apply them",
		Long:  reviewHelp,
		Example: `  countersign review --list
  countersign review --accept 3fa94c1d 07be11a2 --reject 51c0d9e7
  countersign review --accept-file docs/x.md --apply
  countersign review --undo`,
		RunE: func(cmd *cobra.Command, args []string) error {
			id := ""
			if len(args) > 1 {
				return base.Usage(fmt.Errorf("it takes one session, not %d", len(args)))
			} else if len(args) == 1 {
				id = args[0]
			}
			if f.Digest != "" && len(f.Accept)+len(f.Reject) != 1 {
				return base.Usage(errors.New("--digest goes with exactly one --accept or --reject"))
			}
			return a.review(cmd.Context(), id, f)
		},
	})
	fl := cmd.Flags()
	fl.BoolVar(&f.List, "list", false, "list the hunks")
	fl.StringSliceVar(&f.Accept, "accept", nil, "accept these `HUNKS` (ids or digests)")
	fl.StringSliceVar(&f.Reject, "reject", nil, "reject these `HUNKS`")
	fl.StringArrayVar(&f.AcceptFile, "accept-file", nil, "accept every open hunk of this `PATH`")
	fl.BoolVar(&f.AcceptAll, "accept-all", false, "accept every open hunk that is not of high risk")
	fl.BoolVar(&f.Apply, "apply", false, "write what is accepted to the real tree")
	fl.BoolVar(&f.Undo, "undo", false, "take the last apply back")
	fl.BoolVar(&f.Feedback, "feedback", false, "print the rejected hunks as text for the agent")
	fl.StringVar(&f.Digest, "digest", "", "insist on this `DIGEST`")
	return cmd
}

// spread repeats --accept and --reject before each further hunk that follows
// them, so that `--accept A B --reject C` names three. A session's id stays what
// it is, and other commands' words are theirs.
func spread(args []string, isSession func(string) bool) []string {
	at := 0
	for at < len(args) && strings.HasPrefix(args[at], "-") {
		if args[at] == "-C" || args[at] == "--directory" {
			at++
		}
		at++
	}
	if at >= len(args) || args[at] != "review" {
		return args
	}
	out, flag, taken := slices.Clone(args[:at+1]), "", false // whose hunks are read, and whether it has its own
	for _, arg := range args[at+1:] {
		name, _, attached := strings.Cut(arg, "=")
		switch {
		case name == "--accept" || name == "--reject":
			flag, taken = name, attached
		case strings.HasPrefix(arg, "-"):
			flag = ""
		case flag != "" && taken && !isSession(arg):
			out = append(out, flag)
		default:
			taken = true
		}
		out = append(out, arg)
	}
	return out
}

// isSession holds for a whole id only: a short one may be a hunk's as well.
func (a *app) isSession(id string) bool {
	k, err := a.Dirs.Load(id)
	return err == nil && k.ID == id
}

func (a *app) review(ctx context.Context, id string, f reviewing.Flags) error {
	k, err := a.reviewed(id)
	if countersign.CodeOf(err) == countersign.ENotFound && id == "" && f.List && !f.Undo {
		return reviewing.PrintHunks(a.App, k, countersign.Changeset{})
	}
	if err != nil {
		return err
	}
	if err := a.RecoverApply(ctx, k.Project, nil); err != nil {
		return err
	}
	if f.Undo {
		return a.undo(ctx, k)
	}
	r, err := reviewing.Open(ctx, a.App, k)
	if err != nil {
		return err
	}
	defer r.Close()
	if f.Any() {
		return r.Script(ctx, f)
	}
	if !term.IsTerminal(int(a.In.Fd())) {
		return base.Usage(errors.New("there is no terminal: use --list, --accept, --reject and --apply"))
	}
	return r.Screen(ctx)
}

// undo takes the last apply of the project back, in the session that made it: what
// comes back is that one's change again, and another follows as it follows a
// person.
func (a *app) undo(ctx context.Context, k session.Kept) error {
	last, err := reviewing.LastApplied(a.App, k)
	if err != nil || last == "" || last == k.ID {
		return errors.Join(err, reviewing.Undo(ctx, a.App, k, false))
	}
	asked := k.ID
	owner, err := a.reviewed(last)
	gone := countersign.CodeOf(err) == countersign.ENotFound
	switch {
	case err != nil && !gone:
		return err
	case !gone:
		k = owner
	}
	if k.ID != asked {
		a.Say("the last apply was of session %s", last)
	}
	return reviewing.Undo(ctx, a.App, k, gone)
}

// reviewed finds the session that is meant: the named one, or the newest of this
// project that runs or left a staging layer. One that left none changed nothing,
// and must not hide what an older one, which it ran beside, has to show.
func (a *app) reviewed(id string) (session.Kept, error) {
	all, err := a.Dirs.List()
	if id != "" {
		k, err := a.Dirs.Load(id)
		if err != nil {
			return k, err
		}
		return a.wentOn(k, all), nil
	}
	root := a.ProjectRoot()
	if err != nil {
		return session.Kept{}, err
	}
	all = slices.DeleteFunc(all, func(k session.Kept) bool { return k.Project != root })
	if at := slices.IndexFunc(all, func(k session.Kept) bool { return a.Dirs.Live(k.ID) || a.hasLayer(k.ID) }); at >= 0 {
		return all[at], nil
	}
	if len(all) > 0 {
		return all[0], nil
	}
	return session.Kept{}, &countersign.Error{
		Code: countersign.ENotFound, Op: "review", Thing: root, Err: errors.New("no session has worked on this project"),
		Remedy: "`countersign sessions` lists all; name one, or go to its project",
	}
}

// wentOn follows a session whose staging layer a later one went on with: what it
// changed is there.
func (a *app) wentOn(k session.Kept, all []session.Kept) session.Kept {
	asked := k.ID
	for i := 0; i < len(all); i++ {
		if all[i].From == k.ID && !a.hasLayer(k.ID) {
			k, i = all[i], -1
		}
	}
	if k.ID != asked {
		a.Say("session %s went on as %s: its changes are there", asked, k.ID)
	}
	return k
}

func (a *app) hasLayer(id string) bool {
	_, err := os.Stat(filepath.Join(a.Dirs.Session(id), "layer", "meta.json"))
	return err == nil
}
