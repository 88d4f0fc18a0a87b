package reviewing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/workspace/apply"
	"github.com/countersign/countersign/workspace/gitview"
	"github.com/countersign/countersign/workspace/review"
)

// takeOver brings commits made inside into the real repository: up to the last
// one of which, and of all below it, every hunk was accepted and has landed.
// With any hunk rejected, it and those above it are not taken over: their
// accepted hunks arrive as changes of the working tree alone.
func (r *Reviewing) takeOver(ctx context.Context) error {
	all := r.review.Commits()
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].Repo == all[0].Repo {
			n++
		}
		if err := r.takeLine(ctx, all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// takeAsides does so for the branches that are not checked out inside, whose
// hunks go nowhere else. undoable tells whether an undo may take that back.
func (r *Reviewing) takeAsides(ctx context.Context, undoable bool) error {
	all := r.review.Asides()
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].Ref == all[0].Ref && all[n].Repo == all[0].Repo {
			n++
		}
		if err := r.takeAside(ctx, all[:n], undoable); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

func (r *Reviewing) takeAside(ctx context.Context, line []review.Commit, undoable bool) error {
	name := base.Plain(strings.TrimPrefix(line[0].Ref, "refs/heads/"))
	whole := 0
	for whole < len(line) && line[whole].Whole {
		whole++
	}
	if whole == 0 {
		return nil // it is listed until somebody decides
	}
	t, err := r.take(ctx, line[:whole], undoable)
	if err != nil {
		if countersign.CodeOf(err) != countersign.EInvalid {
			return err
		}
		r.Say("commit %.12s on %s was not taken over: %v: it stays in the session", line[whole-1].ID, name, cause(err))
		return nil
	}
	var hs []countersign.Hunk
	for _, c := range line[:whole] {
		hs = append(hs, c.Hunks...)
	}
	if err := r.review.Applied(digests(hs)...); err != nil {
		return err
	}
	what := "your branch " + name
	if t.Old == "" {
		what = "a new branch " + name
	}
	r.Say("took over commit %.12s to %s", t.New, what)
	if whole < len(line) {
		c := line[whole]
		r.Say("commit %.12s on %s was not accepted whole (%s): it stays in the session", c.ID, name, tally(c))
	}
	return land(r.App, r.kept, hs, nil)
}

// takeLine takes over what it can of the commits of one repository, oldest first.
func (r *Reviewing) takeLine(ctx context.Context, line []review.Commit) error {
	whole := 0
	for whole < len(line) && line[whole].Whole {
		whole++
	}
	taken := whole
	var refused error
	for ; taken > 0; taken-- {
		_, err := r.take(ctx, line[:taken], true)
		if err == nil {
			break
		}
		if countersign.CodeOf(err) != countersign.EInvalid {
			return err
		}
		if refused == nil {
			refused = err
		}
	}
	for i, c := range line {
		switch {
		case i < taken:
			r.Say("took over commit %.12s", c.ID)
		case i < whole:
			r.Say("commit %.12s was not taken over: %v: its accepted hunks are in your working tree, uncommitted", c.ID, cause(refused))
		case i == whole:
			r.Say("commit %.12s was not accepted whole (%s): %s", c.ID, tally(c), left(c))
		default:
			r.Say("commit %.12s stands on commit %.12s, which was not taken over: %s", c.ID, line[whole].ID, left(c))
		}
	}
	return nil
}

// left says what became of a commit that stays behind.
func left(c review.Commit) string {
	for _, h := range c.Hunks {
		if h.State == countersign.Applied {
			return "its accepted hunks are in your working tree, uncommitted"
		}
	}
	return "it stays in the session"
}

// tally counts the hunks of a commit that keep it from being whole.
func tally(c review.Commit) string {
	n := map[countersign.HunkState]int{}
	for _, h := range c.Hunks {
		if h.State == countersign.Applied && h.Proposed != "" {
			h.State = countersign.Edited
		}
		n[h.State]++
	}
	var parts []string
	for _, s := range []countersign.HunkState{countersign.Rejected, countersign.Edited, countersign.Stale, countersign.Undecided, countersign.Accepted} {
		if n[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[s], s))
		}
	}
	return strings.Join(parts, ", ")
}

// take takes over the last of the commits, and those below it with it. What it is
// about to move is on record, and kept for an undo, before it moves.
func (r *Reviewing) take(ctx context.Context, line []review.Commit, undoable bool) (gitview.Taken, error) {
	top := line[len(line)-1]
	own, args := line, TakeArgs{Commit: top.ID, Dry: true}
	if top.Ref != "" {
		line = append(slices.Concat(r.review.Commits(), r.review.Asides()), line...) // a branch stands on what others have
	}
	for _, c := range line {
		for _, h := range c.Hunks {
			paths := []string{h.Path}
			if h.Op == countersign.OpRename {
				paths = append(paths, h.OldPath)
			}
			for _, p := range paths {
				if c.Does(p) {
					args.Accepted = append(args.Accepted, CommitPath{c.ID, []byte(p)})
				}
			}
		}
	}
	t, err := r.staging.TakeOver(ctx, args)
	if err != nil || t.New == "" {
		return t, err
	}
	if top.Ref != "" && t.Index {
		return t, &countersign.Error{Code: countersign.EInvalid, Op: "take over commit", Thing: top.ID, Err: errors.New("its branch is checked out outside, and is not inside")}
	}
	if undoable {
		if err := r.beside(ctx, t); err != nil {
			return t, err
		}
	}
	ids := []string{}
	for _, c := range own[max(len(own)-40, 0):] {
		ids = append(ids, c.ID)
	}
	if err := r.moves(ctx, "commit.taking", t, map[string]any{"commits": ids, "commit_count": len(own)}, nil); err != nil {
		return t, err
	}
	args.Dry = false
	_, err = r.staging.TakeOver(ctx, args)
	return t, errors.Join(err, r.moves(ctx, "commit.taken", t, nil, err))
}

// beside keeps a move with the last apply.
func (r *Reviewing) beside(ctx context.Context, t gitview.Taken) error {
	o := r.applyOptions()
	all, err := besides(o)
	if err != nil {
		return err
	}
	b, err := json.Marshal(append(all, t))
	if err != nil {
		return err
	}
	return apply.SetBeside(ctx, o, b)
}

func besides(o apply.Options) (all []gitview.Taken, err error) {
	raw, err := apply.Beside(o)
	if err == nil && raw != nil {
		err = json.Unmarshal(raw, &all)
	}
	return all, err
}

// giveBack moves the refs of the last apply back, the last first, or only looks.
func (r *Reviewing) giveBack(ctx context.Context, all []gitview.Taken, dry bool) error {
	for i := len(all) - 1; i >= 0; i-- {
		t := all[i]
		if dry {
			// Of several moves of one branch only the last one stands where it was put.
			if i == len(all)-1 || all[i+1].Repo != t.Repo || all[i+1].Ref != t.Ref {
				if err := r.staging.GiveBack(ctx, GiveArgs{t, true}); err != nil {
					return err
				}
			}
			continue
		}
		if err := r.moves(ctx, "commit.returning", t, nil, nil); err != nil {
			return err
		}
		err := r.staging.GiveBack(ctx, GiveArgs{t, false})
		if err := errors.Join(err, r.moves(ctx, "commit.returned", t, nil, err)); err != nil {
			return err
		}
		if err := errors.Join(r.review.Withdraw(t.Ref), unland(r.App, r.kept, t.Ref)); err != nil {
			return err
		}
		r.Say("gave back commit %.12s: %s stands where it stood before", t.New, base.Plain(strings.TrimPrefix(t.Ref, "refs/heads/")))
	}
	return nil
}

// moves puts the move of a ref on record, durably.
func (r *Reviewing) moves(ctx context.Context, typ string, t gitview.Taken, detail map[string]any, failed error) error {
	l, err := r.book()
	if err != nil {
		return err
	}
	if detail == nil {
		detail = map[string]any{}
	}
	detail["repo"], detail["ref"], detail["old"], detail["new"] = base.Printable(t.Repo), base.Printable(t.Ref), t.Old, t.New
	rec := countersign.Record{
		Type: typ, Session: r.kept.ID, Actor: r.Human(), Agent: &countersign.Agent{Name: r.kept.Agent},
		Policy: r.policy.Record("review"),
		Action: &countersign.ActionRecord{Kind: countersign.KindGitRef, Path: base.Printable(t.Ref), Summary: fmt.Sprintf("%.12s %s", t.New, base.Printable(t.Ref))},
		Detail: detail,
	}
	switch typ {
	case "commit.taken", "commit.returned":
		rec.Outcome = &countersign.Outcome{Status: "ok"}
		if failed != nil {
			rec.Outcome = &countersign.Outcome{Status: "failed", Error: failed.Error()}
		}
	}
	_, err = l.Append(ctx, rec, true)
	return err
}

// cause is what lies below the last operation that an error names.
func cause(err error) error {
	for {
		var e *countersign.Error
		if !errors.As(err, &e) || e.Err == nil {
			return err
		}
		err = e.Err
	}
}
