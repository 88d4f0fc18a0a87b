// Package reviewing is a review as a person makes it: it brings a session's
// staging layer (held here, or by the live session that is asked), the hunks and
// their states, the apply and the ledger together, so that each decision is on
// record. It writes a project's files only through workspace/apply, and decides
// nothing.
package reviewing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/internal/count"
	"github.com/countersign/countersign/ledger"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/session"
	"github.com/countersign/countersign/workspace/apply"
	"github.com/countersign/countersign/workspace/gitview"
	"github.com/countersign/countersign/workspace/review"
	"github.com/countersign/countersign/workspace/stage"
	"github.com/countersign/countersign/workspace/tree"
)

// Reviewing is one review: the session's layer, its hunks, and the ledger that
// every decision goes to. It is the Source of the screen.
type Reviewing struct {
	*base.App
	ctx     context.Context
	kept    session.Kept
	project *gitview.Project
	policy  *policy.Policy
	staging layer
	review  *review.Review
	ledger  *ledger.Client // opened with the first decision
	quiet   bool           // a screen is up: nothing is printed
}

// Open reads the session's layer and computes its hunks. It writes
// nothing to the ledger.
func Open(ctx context.Context, a *base.App, k session.Kept) (*Reviewing, error) {
	project, err := gitview.Find(k.Project)
	if err != nil {
		return nil, err
	}
	p, err := a.SessionPolicy(k)
	if err != nil {
		return nil, err
	}
	r := &Reviewing{App: a, ctx: ctx, kept: k, project: project, policy: p}
	if r.staging, err = openLayer(ctx, a, k, project, p); err != nil {
		return nil, err
	}
	if r.review, err = review.Open(a.Dirs.Session(k.ID), k.ID); err == nil {
		r.review.Follow(r.realFile)
		r.review.Record(r.recordDecisions)
		_, err = r.refresh(ctx)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Reviewing) Close() {
	if r.staging != nil {
		r.staging.Close()
	}
	if r.ledger != nil {
		r.ledger.Close()
	}
}

// refresh computes the hunks anew.
func (r *Reviewing) refresh(ctx context.Context) (countersign.Changeset, error) {
	changes, err := r.staging.Changes(ctx)
	if err != nil {
		return countersign.Changeset{}, err
	}
	return r.review.Update(changes, r.policy.Risk, r.listed)
}

// listed says which ignored files are hunks all the same: denied names and what
// starts by itself.
func (r *Reviewing) listed(path string) bool {
	_, denied := r.policy.Path(path)
	return denied || base.NotableBy(r.policy)(path)
}

// Changeset is the hunks of a session, for counting.
func Changeset(ctx context.Context, a *base.App, k session.Kept) (countersign.Changeset, error) {
	r, err := Open(ctx, a, k)
	if err != nil {
		return countersign.Changeset{}, err
	}
	defer r.Close()
	return r.review.Changeset(), nil
}

// HeldChangeset is the hunks of the session that this process itself runs: its
// layer is open already, and stays so.
func HeldChangeset(ctx context.Context, a *base.App, k session.Kept, p *policy.Policy, held *stage.Staging) (countersign.Changeset, error) {
	r := &Reviewing{App: a, ctx: ctx, kept: k, policy: p, staging: Held{held}}
	var err error
	if r.review, err = review.Open(a.Dirs.Session(k.ID), k.ID); err != nil {
		return countersign.Changeset{}, err
	}
	r.review.Follow(r.realFile)
	return r.refresh(ctx)
}

// Changeset implements the screen's Source.
func (r *Reviewing) Changeset() (countersign.Changeset, error) { return r.refresh(r.ctx) }

// Accept accepts hunks and puts each decision on record.
func (r *Reviewing) Accept(ids ...string) error {
	hs, err := r.review.Accept(ids...)
	return r.decided(hs, err)
}

// Reject rejects hunks and puts each decision on record.
func (r *Reviewing) Reject(ids ...string) error {
	hs, err := r.review.Reject(ids...)
	return r.decided(hs, err)
}

// AcceptFile accepts the open hunks of a path.
func (r *Reviewing) AcceptFile(path string) error {
	hs, err := r.review.AcceptFile(path)
	return r.decided(hs, err)
}

func (r *Reviewing) acceptAll(context.Context) error {
	hs, err := r.review.AcceptAll()
	return r.decided(hs, err)
}

// Split replaces a hunk by smaller ones, undecided.
func (r *Reviewing) Split(id string) error {
	_, err := r.review.Split(id)
	return err
}

// Edit accepts a hunk with the person's own bytes.
func (r *Reviewing) Edit(id string, post []byte) error {
	h, err := r.review.Edit(id, post)
	return r.decided([]countersign.Hunk{h}, err)
}

// Load fills the bytes of a hunk that is not held in memory.
func (r *Reviewing) Load(h *countersign.Hunk) error { return r.review.Load(h) }

// Apply implements the screen's Source.
func (r *Reviewing) Apply() (string, error) { return r.apply(r.ctx) }

// Context returns the unchanged lines around a hunk, from the file it stands in.
func (r *Reviewing) Context(h countersign.Hunk, n int) (before, after []string) {
	if h.Op != countersign.OpModify {
		return nil, nil
	}
	base, err := r.review.Base(h)
	if err != nil {
		return nil, nil
	}
	lines := bytes.Split(bytes.TrimSuffix(base, []byte("\n")), []byte("\n"))
	start := h.OldStart - 1
	if h.OldLines == 0 {
		start = h.OldStart
	}
	for i := max(0, start-n); i < start && i < len(lines); i++ {
		before = append(before, string(lines[i]))
	}
	for i := start + h.OldLines; i < start+h.OldLines+n && i < len(lines); i++ {
		after = append(after, string(lines[i]))
	}
	return before, after
}

func summary(h countersign.Hunk) string {
	if h.Op == countersign.OpRename {
		return fmt.Sprintf("%s %s to %s", h.Op, base.Printable(h.OldPath), base.Printable(h.Path))
	}
	return fmt.Sprintf("%s %s", h.Op, base.Printable(h.Path))
}

func said(h countersign.Hunk) string {
	if h.State == countersign.Rejected {
		return "rejected"
	}
	return "accepted"
}

// decided says which decisions were taken; the screen shows it by itself.
func (r *Reviewing) decided(hs []countersign.Hunk, err error) error {
	if err == nil && !r.quiet {
		for _, h := range hs {
			fmt.Fprintf(r.Err, "countersign: %s %s %s %s\n", said(h), h.ID, h.Digest, base.Plain(h.Path))
		}
	}
	return err
}

func (r *Reviewing) book() (*ledger.Client, error) {
	if r.ledger == nil {
		l, err := r.App.Ledger(r.ctx)
		if err != nil {
			return nil, err
		}
		r.ledger = l
	}
	return r.ledger, nil
}

// applyOptions are those of every apply and undo of this review.
func (r *Reviewing) applyOptions() apply.Options {
	return apply.Options{
		Root: r.kept.Project, StateDir: filepath.Join(r.ProjectState(r.kept.Project), "apply"), Session: r.kept.ID, Store: r.review.Store(),
		Record: func(ctx context.Context, rec countersign.Record) error {
			l, err := r.book()
			if err == nil {
				_, err = l.Append(ctx, rec, true)
			}
			return err
		},
		Now: r.Now,
	}
}

// apply writes the accepted hunks and says what it did. Stale ones stay behind.
func (r *Reviewing) apply(ctx context.Context) (string, error) {
	o := r.applyOptions()
	if o.Hunks = r.review.Ready(); len(o.Hunks) == 0 {
		return r.applyNothing(ctx)
	}
	l, err := r.book()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(o.StateDir, 0o700); err != nil {
		return "", err
	}
	res, err := r.carryOut(ctx, o)
	if res.Recovered != "" {
		r.Say("an earlier apply had been interrupted: %s", res.Recovered)
	}
	if err != nil && countersign.CodeOf(err) != countersign.EPartly {
		return "", err
	}
	if rerr := r.record(ctx, l, "changeset.applied", res); rerr != nil {
		return "", rerr
	}
	if serr := r.settleApplied(ctx, res); serr != nil {
		return "", serr
	}
	return fmt.Sprintf("applied %s to %s; %d stale stayed behind", count.Of(len(res.Applied), "hunk"), count.Of(len(res.Files)+len(res.Moves), "file"), len(res.Stale)), err
}

// applyNothing is an apply that has nothing to write: it is none, and is not on
// record as one. Commits whose hunks have all landed, or that are accepted on
// other branches, are taken over all the same.
func (r *Reviewing) applyNothing(ctx context.Context) (string, error) {
	line := "nothing is accepted: nothing was applied; `countersign review --accept HUNK` accepts"
	for _, c := range r.review.Asides() {
		if c.Whole {
			line = "no file was written: what is accepted belongs to branches that are not checked out"
		}
	}
	return line, errors.Join(r.takeOver(ctx), r.takeAsides(ctx, false))
}

// settleApplied moves the base forward where hunks landed, and takes over
// commits that were accepted whole.
func (r *Reviewing) settleApplied(ctx context.Context, res apply.Result) error {
	if err := r.review.Applied(digests(res.Applied)...); err != nil {
		return err
	}
	if err := r.review.Stale(digests(res.Stale)...); err != nil {
		return err
	}
	if err := land(r.App, r.kept, res.Applied, nil); err != nil {
		return err
	}
	diverged := r.diverged(res)
	landed, err := r.land(res)
	if err != nil {
		return err
	}
	diverged = slices.DeleteFunc(diverged, func(p string) bool { return landed[p] })
	if err := r.review.Against(diverged...); err != nil {
		return err
	}
	if err := r.markApplied(res, landed); err != nil {
		return err
	}
	return errors.Join(r.takeOver(ctx), r.takeAsides(ctx, len(res.Files)+len(res.Moves) > 0))
}

// land brings the session's files to what the apply left, a person's edits
// included, and tells where it could: not where the agent has written since it
// was reviewed, nor where the two sides do not go together.
func (r *Reviewing) land(res apply.Result) (landed map[string]bool, err error) {
	landed = map[string]bool{}
	var all []tree.Landing
	var paths []string
	landing := r.review.Landings()
	for _, f := range res.Files {
		if st, ok := r.realFile(f.Path); ok && st != nil && st.SHA256 == f.Post {
			if l, ok := landing(f.Path, st); ok {
				all, paths = append(all, l), append(paths, f.Path)
				landed[f.Path] = true
			}
		}
	}
	if len(all) == 0 {
		return landed, nil
	}
	behind, err := r.staging.Land(all)
	if err != nil {
		return nil, err
	}
	for _, p := range behind {
		delete(landed, string(p))
	}
	return landed, r.review.Along(slices.DeleteFunc(paths, func(p string) bool { return !landed[p] })...)
}

// markApplied moves the layer's base to what an apply or an undo left. Where a
// person's edits are in the file too, the base stays: against the agent's version
// they would look like something it took away.
func (r *Reviewing) markApplied(res apply.Result, landed map[string]bool) error {
	var paths []string
	for _, f := range res.Files {
		if !landed[f.Path] && !r.review.ShownAgainst(f.Path) {
			paths = append(paths, f.Path)
		}
		if f.OldPath != "" {
			paths = append(paths, f.OldPath)
		}
	}
	return r.staging.MarkApplied(paths...)
}

func digests(hs []countersign.Hunk) []string {
	var out []string
	for _, h := range hs {
		out = append(out, h.Digest)
	}
	return out
}

// record writes what an apply or undo did; the bytes that were written are in
// an encrypted payload.
func (r *Reviewing) record(ctx context.Context, l *ledger.Client, typ string, res apply.Result) error {
	b, err := json.Marshal(res)
	if err != nil {
		return err
	}
	p, err := l.Blob(ctx, "applied", "application/json", b)
	if err != nil {
		return err
	}
	files := []map[string]any{}
	for i, f := range res.Files {
		if i < 40 {
			files = append(files, map[string]any{"path": base.Printable(f.Path), "pre": f.Pre, "post": f.Post, "merged": f.Merged})
		}
	}
	detail := map[string]any{"apply": res.ID, "files": files, "file_count": len(res.Files), "applied": len(res.Applied), "stale": len(res.Stale), "merged": len(res.Merged)}
	if len(res.Moves) > 0 {
		detail["moves"], detail["move_count"] = recordedMoves(res), len(res.Moves)
	}
	_, err = l.Append(ctx, countersign.Record{
		Type: typ, Session: r.kept.ID, Actor: r.Human(), Agent: &countersign.Agent{Name: r.kept.Agent},
		Policy:   r.policy.Record("review"),
		Action:   &countersign.ActionRecord{Kind: countersign.KindFileWrite, Path: r.kept.Project, Summary: count.Of(len(res.Applied), "hunk") + " in " + count.Of(len(res.Files)+len(res.Moves), "file")},
		Outcome:  &countersign.Outcome{Status: "ok"},
		Payloads: []countersign.Payload{p},
		Detail:   detail,
	}, true)
	return err
}

// undo takes the files back; their base in the layer goes first.
func (r *Reviewing) undo(ctx context.Context, o apply.Options) (apply.Result, error) {
	_, files, moves, err := apply.Last(o)
	if err != nil {
		return apply.Result{}, err
	}
	var back []tree.Landing
	var paths []string
	for _, f := range files {
		if !r.review.ShownAgainst(f.Path) {
			back = append(back, tree.Landing{Path: []byte(f.Path), Was: f.Post, Mode: f.PostMode})
			paths = append(paths, f.Path)
		}
	}
	if err := errors.Join(r.staging.Return(back), r.move(places(moves, false))); err != nil {
		return apply.Result{}, err
	}
	res, err := apply.Undo(ctx, o)
	if err != nil {
		return res, errors.Join(err, r.staging.MarkApplied(paths...), r.move(places(moves, true)))
	}
	return res, nil
}

// LastApplied is the session whose review did the last apply of k's project, ""
// for none.
func LastApplied(a *base.App, k session.Kept) (string, error) {
	id, _, _, err := apply.Last(apply.Options{StateDir: filepath.Join(a.ProjectState(k.Project), "apply")})
	return id, err
}

// Undo takes the last apply of the session's project back. It is that session's
// own apply, or that of one which is gone: then nothing is k's.
func Undo(ctx context.Context, a *base.App, k session.Kept, gone bool) error {
	r, err := Open(ctx, a, k)
	if err != nil {
		return err
	}
	defer r.Close()
	if gone {
		r.staging.Close()
		r.staging = noLayer{r.project}
	}
	l, err := r.book()
	if err != nil {
		return err
	}
	o := r.applyOptions()
	taken, err := besides(o)
	if err != nil {
		return err
	}
	if err := r.giveBack(ctx, taken, true); err != nil {
		return err
	}
	res, err := r.undo(ctx, o)
	if err != nil {
		return err
	}
	if err := r.giveBack(ctx, taken, false); err != nil {
		return err
	}
	if err := r.record(ctx, l, "changeset.undone", res); err != nil {
		return err
	}
	// The layer's base goes back with the tree: what was taken back is a change
	// of the agent's again, not an edit of the person's that the layer follows.
	if err := r.markApplied(res, nil); err != nil {
		return err
	}
	if err := r.review.Undone(digests(res.Applied)...); err != nil {
		return err
	}
	if err := land(a, k, nil, res.Applied); err != nil {
		return err
	}
	if _, gone := r.staging.(noLayer); gone {
		a.Say("session %s has no layer any more: what was taken back is not listed for review again", k.ID)
	}
	fmt.Fprintf(a.Out, "took %s back\n", count.Of(len(res.Files)+len(res.Moves), "file"))
	return nil
}
