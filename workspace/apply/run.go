package apply

import (
	"context"
	"errors"

	countersign "github.com/countersign/countersign"
)

// Apply writes the accepted hunks to the real tree.
func Apply(ctx context.Context, o Options) (Result, error) { return Result{}, errors.ErrUnsupported }

// Undo takes the last apply back, unless a person has edited there since.
func Undo(ctx context.Context, o Options) (Result, error) { return Result{}, errors.ErrUnsupported }

// Recover finishes or undoes what a crash left, and says what it did; "" if
// there was nothing.
func Recover(stateDir, root string) (what string, err error) { return "", nil }

var _ countersign.Hunk
