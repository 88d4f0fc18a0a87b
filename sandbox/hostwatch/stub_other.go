//go:build !linux

package hostwatch

import (
	"context"
	"errors"

	"github.com/countersign/countersign"
)

// Watcher does not exist on this system.
type Watcher struct{}

// Scan fails: it is not built for this system.
func Scan(_ context.Context, root string, _ Match, _ Skip, _ ...string) ([]Found, error) {
	return nil, errNone(root)
}

// Watch fails: it is not built for this system.
func Watch(_ context.Context, root string, _ Match, _ Skip, _ func(Event)) (*Watcher, error) {
	return nil, errNone(root)
}

// Found returns nothing.
func (*Watcher) Found() []Found { return nil }

// Done returns a channel that is never closed.
func (*Watcher) Done() <-chan struct{} { return nil }

// Err returns nil.
func (*Watcher) Err() error { return nil }

func errNone(root string) error {
	return &countersign.Error{
		Code: countersign.EPosture, Op: "watch", Thing: root, Remedy: "run on Linux",
		Err: errors.New("no watcher of denied names on this system"),
	}
}
