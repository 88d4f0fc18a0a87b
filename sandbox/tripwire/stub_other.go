//go:build !linux

package tripwire

import (
	"context"
	"errors"
	"os"

	"github.com/countersign/countersign"
)

// Command is the hidden argument that makes the binary the tripwire server.
const Command = "__tripwire"

// Server does not exist on this system.
type Server struct{}

// Start fails: there is no tripwire on this system.
func Start(context.Context, string, *os.File, func(Event)) (*Server, error) {
	return nil, errNone("start")
}

// Add fails.
func (*Server) Add(...Node) error { return errNone("add") }

// Remove fails.
func (*Server) Remove(uint64) error { return errNone("remove") }

// Shelve fails.
func (*Server) Shelve(uint64, []Shelved) error { return errNone("shelve") }

// PID returns 0.
func (*Server) PID() int { return 0 }

// Done returns a channel that is never closed.
func (*Server) Done() <-chan struct{} { return nil }

// Err returns nil.
func (*Server) Err() error { return nil }

// Close does nothing.
func (*Server) Close() error { return nil }

// Main handles nothing.
func Main([]string) bool { return false }

// Attrs fails.
func Attrs(path string) (Attr, error) { return Attr{}, errNone("stat " + path) }

func errNone(op string) error {
	return &countersign.Error{
		Code: countersign.EPosture, Op: op, Thing: "tripwire",
		Remedy: "run on Linux", Err: errors.New("this system has no tripwire nodes"),
	}
}
