package main

import (
	"context"
	"path/filepath"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger"
	"github.com/countersign/countersign/workspace/apply"
)

// recoverApply finishes or takes back what an apply on this project left that
// was interrupted, and puts it on record. It costs one look at a file where
// there is nothing to do.
func (a *app) recoverApply(ctx context.Context, root string, l *ledger.Client) error {
	what, err := apply.Recover(filepath.Join(a.projectState(root), "apply"), root)
	if err != nil || what == "" {
		return err
	}
	a.say("an earlier apply had been interrupted: %s", what)
	rec := countersign.Record{
		Type: "changeset.recovered", Actor: &countersign.Actor{Kind: "system"},
		Action:  &countersign.ActionRecord{Kind: countersign.KindFileWrite, Path: printable(root), Summary: what},
		Outcome: &countersign.Outcome{Status: "ok"},
	}
	if l == nil {
		return a.note(ctx, rec)
	}
	_, err = l.Append(ctx, rec, true)
	return err
}
