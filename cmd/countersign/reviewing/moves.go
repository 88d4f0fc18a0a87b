package reviewing

import (
	"context"
	"errors"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/workspace/apply"
	"github.com/countersign/countersign/workspace/tree"
)

// carryOut applies what is ready. The base of denied files that move goes before
// them, and comes back of those that stayed: what the session's watch sees in
// between is then no news to it.
func (r *Reviewing) carryOut(ctx context.Context, o apply.Options) (apply.Result, error) {
	var ahead []tree.Place
	for _, h := range o.Hunks {
		if h.Unread() {
			ahead = append(ahead, tree.Place{From: []byte(h.OldPath), To: []byte(h.Path)})
		}
	}
	if err := r.move(ahead); err != nil {
		return apply.Result{}, err
	}
	res, err := apply.Apply(ctx, o)
	went := map[string]bool{}
	for _, m := range res.Moves {
		went[m.OldPath] = err == nil || countersign.CodeOf(err) == countersign.EPartly
	}
	var back []tree.Place
	for _, m := range ahead {
		if !went[string(m.From)] {
			back = append(back, tree.Place{From: m.To, To: m.From})
		}
	}
	if berr := r.move(back); berr != nil {
		return res, errors.Join(err, berr)
	}
	return res, err
}

func (r *Reviewing) move(all []tree.Place) error {
	if len(all) == 0 {
		return nil
	}
	return r.staging.Move(all)
}

// places are the moves of an apply or undo, one way or back.
func places(moves []apply.Move, back bool) (out []tree.Place) {
	for _, m := range moves {
		p := tree.Place{From: []byte(m.OldPath), To: []byte(m.Path)}
		if back {
			p.From, p.To = p.To, p.From
		}
		out = append(out, p)
	}
	return out
}

// recordedMoves names the denied files that moved, for a record.
func recordedMoves(res apply.Result) []map[string]any {
	out := []map[string]any{}
	for _, m := range res.Moves[:min(len(res.Moves), 40)] {
		out = append(out, map[string]any{"path": base.Printable(m.Path), "old_path": base.Printable(m.OldPath), "hunk": m.Hunk})
	}
	return out
}
