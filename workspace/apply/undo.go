package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/atomicfile"
	"github.com/countersign/countersign/workspace/tree"
)

// files tells what the plan does to each file. One that several steps change
// goes by what it is in the end.
func (p *plan) files() []File {
	var all []File
	at := map[string]int{}
	for _, g := range p.done {
		i, again := at[g.from]
		if !again {
			i = len(all)
			all = append(all, File{Path: g.from, Pre: g.pre.sum(), PreMode: g.pre.mode()})
		}
		f := &all[i]
		if g.to != g.from {
			delete(at, g.from)
			if f.OldPath == "" {
				f.OldPath = f.Path
			}
		}
		at[g.to] = i
		f.Path, f.Post, f.PostMode, f.Merged = g.to, g.post.sum(), g.post.mode(), f.Merged || g.merged
		for _, h := range g.hunks {
			f.Hunks = append(f.Hunks, h.Digest)
		}
	}
	return all
}

// result tells what a journal does, in the words of the hunks.
func (p *plan) result(jn *journal) Result {
	res := Result{ID: jn.ID, Stale: p.stale, Files: p.files(), Moves: movesOf(jn.Moves)}
	held := int64(0)
	for _, g := range p.done {
		for _, h := range g.hunks {
			h.State = countersign.Applied
			if held += h.PreLen + h.PostLen; held <= maxHeld {
				_ = p.fill(&h) // for the record; what is larger is named by its sums
			}
			res.Applied = append(res.Applied, h)
		}
	}
	for _, m := range jn.Moves {
		m.hunk.State = countersign.Applied
		res.Applied = append(res.Applied, m.hunk)
	}
	for _, f := range res.Files {
		if f.Merged {
			res.Merged = append(res.Merged, f.Path)
		}
	}
	return res
}

// Last says whose the last apply of a project was and what an undo would do to its
// files, and to the denied files that it moved; "" if there is none. Of the options it takes the state directory.
func Last(o Options) (session string, files []File, moves []Move, err error) {
	last, err := readJournal(lastPath(o.StateDir))
	if err != nil || last == nil {
		return "", nil, nil, err
	}
	for _, e := range last.Entries {
		files = append(files, File{Path: string(e.Path), Pre: e.Post.sum(), Post: e.Pre.sum(), PreMode: e.Post.mode(), PostMode: e.Pre.mode()})
	}
	for _, m := range last.Moves {
		moves = append(moves, Move{Path: string(m.From), OldPath: string(m.To), Hunk: m.Hunk})
	}
	return last.Session, files, moves, nil
}

// Beside hands back what SetBeside kept with the last apply; nil if there is
// neither.
func Beside(o Options) (json.RawMessage, error) {
	last, err := readJournal(lastPath(o.StateDir))
	if err != nil || last == nil {
		return nil, err
	}
	return last.Beside, nil
}

// SetBeside keeps with the last apply what the caller is about to do together
// with it, so that an undo can take that back too. Without an apply that could be
// undone it does nothing.
func SetBeside(ctx context.Context, o Options, what json.RawMessage) error {
	_, _, done, err := begin(ctx, o)
	if err != nil {
		return err
	}
	defer done()
	last, err := readJournal(lastPath(o.StateDir))
	if err != nil || last == nil {
		return err
	}
	last.Beside = what
	b, err := json.Marshal(last)
	if err != nil {
		return err
	}
	return atomicfile.Write(lastPath(o.StateDir), b, 0o600)
}

// Undo takes the last apply back. If a person has edited one of its files since,
// it changes nothing and says which.
func Undo(ctx context.Context, o Options) (Result, error) {
	j, recovered, done, err := begin(ctx, o)
	if err != nil {
		return Result{}, err
	}
	defer done()
	last, err := readJournal(lastPath(o.StateDir))
	if err != nil {
		return Result{}, err
	}
	if last == nil {
		return Result{}, &countersign.Error{Code: countersign.ENotFound, Op: "undo", Thing: o.Root, Err: errors.New("there is no apply to take back"), Remedy: "only the last apply can be undone, once"}
	}
	undo, err := j.reverse(last)
	if err != nil {
		return Result{}, err
	}
	res := Result{ID: undo.ID, Recovered: recovered, Moves: movesOf(undo.Moves)}
	for _, e := range undo.Entries {
		res.Files = append(res.Files, File{Path: string(e.Path), Pre: e.Pre.sum(), Post: e.Post.sum(), PreMode: e.Pre.mode(), PostMode: e.Post.mode()})
	}
	for _, d := range last.Hunks {
		res.Applied = append(res.Applied, countersign.Hunk{Digest: d})
	}
	if err := j.carryOut(ctx, undo, 0); err != nil {
		var d *driftError
		if errors.As(err, &d) {
			return Result{}, edited([]string{d.path})
		}
		return Result{}, err
	}
	return res, nil
}

func edited(paths []string) error {
	return &countersign.Error{Code: countersign.EInvalid, Op: "undo", Thing: strings.Join(paths[:min(len(paths), 5)], ", "), Err: fmt.Errorf("%d files were edited since they were applied", len(paths)), Remedy: "nothing was changed; put these edits aside, or take the change back by hand"}
}

// reverse turns the journal of an apply into that of its undo, if every file
// still is what the apply left.
func (j *job) reverse(last *journal) (*journal, error) {
	undo := &journal{Version: last.Version, ID: newID(), Kind: "undo", Root: last.Root, Session: j.o.Session, State: writing, Hunks: last.Hunks}
	var changed []string
	for _, e := range last.Entries {
		p := &plan{root: j.root, images: j.images, odd: map[string]string{}}
		now, err := p.version(string(e.Path))
		if err != nil {
			var d *driftError
			if !errors.As(err, &d) {
				return nil, j.explain(err)
			}
			p.odd[d.path] = "changing"
		}
		if p.odd[string(e.Path)] != "" || !now.same(e.Post) {
			changed = append(changed, string(e.Path))
			continue
		}
		n := entry{Path: e.Path, Pre: now, Post: e.Pre}
		if e.Pre != nil {
			n.body = body{store: j.images, sum: e.Pre.Sum}
			if e.Pre.Size == 0 {
				n.body = body{sum: e.Pre.Sum}
			}
		}
		undo.Entries = append(undo.Entries, n)
	}
	emptied := map[string]bool{}
	for _, e := range undo.Entries {
		emptied[string(e.Path)] = e.Post == nil
	}
	back, moved := j.reverseMoves(last, emptied)
	if changed = append(changed, moved...); len(changed) > 0 {
		return nil, edited(changed)
	}
	undo.Moves = back
	if err := undo.lay(j.root); err != nil {
		return nil, j.explain(err)
	}
	undo.dirsOf(last, j.root)
	return undo, nil
}

// dirsOf are the directories of an undo: only what the apply made goes, and what it
// removed comes back as it was.
func (undo *journal) dirsOf(last *journal, root *tree.Root) {
	made := map[Name]bool{}
	for _, d := range last.Made {
		made[d.Path] = true
	}
	var removed []dir
	for _, d := range undo.Removed {
		if made[d.Path] {
			removed = append(removed, d)
		}
	}
	undo.Removed = removed
	at := map[Name]int{}
	for i, d := range undo.Made {
		at[d.Path] = i
	}
	for _, d := range last.Removed {
		if i, ok := at[d.Path]; ok {
			undo.Made[i].Perm = d.Perm
		} else if info, err := root.Lstat(string(d.Path)); err != nil || !info.Mode.IsDir() {
			undo.Made = append(undo.Made, d)
		}
	}
	sort.Slice(undo.Made, func(i, k int) bool { return undo.Made[i].Path < undo.Made[k].Path })
}
