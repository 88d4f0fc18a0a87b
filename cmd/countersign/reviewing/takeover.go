package reviewing

import (
	"context"
	"errors"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/workspace/apply"
)

// takeOver brings commits made inside into the real repository when every hunk
// of them was accepted and has landed. With any hunk rejected, the accepted
// ones arrive as changes of the working tree alone.
func (r *Reviewing) takeOver(ctx context.Context, before countersign.Changeset, res apply.Result) error {
	landed := map[string]bool{}
	for _, h := range res.Applied {
		landed[h.Digest] = true
	}
	whole := map[string]bool{}
	var order []string
	for _, h := range before.Hunks {
		if h.Commit == "" {
			continue
		}
		if _, seen := whole[h.Commit]; !seen {
			whole[h.Commit] = true
			order = append(order, h.Commit)
		}
		if !landed[h.Digest] && h.State != countersign.Applied {
			whole[h.Commit] = false
		}
	}
	for _, commit := range order {
		if !whole[commit] {
			r.Say("commit %.12s was not accepted whole: its accepted hunks are in your working tree, uncommitted", commit)
			continue
		}
		if err := r.staging.TakeOver(ctx, commit); countersign.CodeOf(err) == countersign.EInvalid {
			r.Say("commit %.12s was not taken over: %v: its accepted hunks are in your working tree, uncommitted", commit, cause(err))
			continue
		} else if err != nil {
			return err
		}
		r.Say("took over commit %.12s", commit)
	}
	return nil
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
