//go:build !linux || !(amd64 || arm64)

package execgate

import (
	"context"
	"errors"

	countersign "github.com/countersign/countersign"
)

// Supervisor does not exist on this system.
type Supervisor struct{}

// New fails: there is no user notification here, and nothing takes its place.
func New(Config) (*Supervisor, error) {
	return nil, &countersign.Error{
		Code: countersign.EPosture, Op: "gate commands", Thing: "this system",
		Remedy: "run it on Linux (amd64 or arm64)", Err: errors.ErrUnsupported,
	}
}

// Run is never reached.
func (*Supervisor) Run(context.Context) error { return errors.ErrUnsupported }

// Covered is never reached.
func (*Supervisor) Covered() []Process { return nil }
