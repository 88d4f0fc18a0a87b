//go:build !linux || (!amd64 && !arm64)

package live

import (
	"context"
	"errors"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
)

// Run refuses: on this system no exec is stopped, no file denied, no change
// staged, and an agent that ran here would run ungoverned.
func Run(context.Context, *base.App, Options) (exit int, by string, err error) {
	return 1, "countersign", &countersign.Error{
		Code: countersign.EPosture, Op: "start the agent", Err: errors.New("nothing is enforced on this system"),
		Remedy: "run it on Linux (x86-64 or arm64), in a virtual machine, or in WSL 2 where `countersign doctor` says tier A",
	}
}
