//go:build !unix

package host

import (
	"context"
	"errors"
	"os"

	"github.com/countersign/countersign"
)

func run(context.Context, Options) error {
	return &countersign.Error{
		Code: countersign.EPosture, Op: "take the terminal",
		Remedy: "run with --approver none", Err: errors.New("not done on this system yet"),
	}
}

// Cursor is not known here.
func Cursor(_, _ *os.File) (row, col int, early []byte, err error) { return 0, 0, nil, nil }
