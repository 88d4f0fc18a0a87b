//go:build !unix

package host

import (
	"context"
	"errors"

	"github.com/countersign/countersign"
)

func run(context.Context, Options) error {
	return &countersign.Error{
		Code: countersign.EPosture, Op: "take the terminal",
		Remedy: "run with --approver none", Err: errors.New("not done on this system yet"),
	}
}
