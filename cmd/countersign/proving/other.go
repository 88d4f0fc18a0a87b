//go:build !linux || (!amd64 && !arm64)

package proving

import (
	"context"
	"errors"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
)

// Helper is nothing here.
func Helper([]string) (code int, handled bool) { return 0, false }

func run(context.Context, *base.App, Options) (Report, error) {
	return Report{}, &countersign.Error{
		Code: countersign.EPosture, Op: "attack this machine's sandbox", Err: errors.New("not protected: nothing is enforced on this system"),
		Remedy: "run it on Linux (x86-64 or arm64); docs/limits.md says what is enforced where",
	}
}
