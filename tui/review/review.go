// Package review is the queue of a session's changes in the terminal.
package review

import (
	"context"
	"os"

	"github.com/countersign/countersign"
)

// Source is the review as the screen sees it. Every change goes through it, and
// the screen reads the changeset again afterwards: it owns no state of its own.
type Source interface {
	Changeset() (countersign.Changeset, error)
	Accept(ids ...string) error
	Reject(ids ...string) error
	AcceptFile(path string) error
	Split(id string) error
	Edit(id string, post []byte) error
	// Apply writes the accepted hunks and says in one line what it did.
	Apply() (summary string, err error)
	// Context returns up to so many unchanged lines before and after a hunk.
	Context(h countersign.Hunk, lines int) (before, after []string)
}

// Options is what a review is handed.
type Options struct {
	Source  Source
	In, Out *os.File
	// Editor is the person's editor and its arguments; empty: no editing.
	Editor []string
	// Dir is where the file handed to the editor is made (0700, the caller's).
	Dir string
	// Plain switches colours off (NO_COLOR).
	Plain bool
}

// Run shows the queue until the person leaves or ctx ends.
func Run(ctx context.Context, o Options) error { _ = ctx; _ = o; panic("todo") }
