// Package apply carries reviewed hunks to the real tree: from a store of the
// reviewed bytes, with a journal, all or nothing for what is not stale.
//
// It promises that no byte reaches the tree that is not in an accepted hunk or
// was there before; that nothing outside the root is written and no symlink
// followed; that what a person changed meanwhile is merged, or left alone and
// the hunk called stale, never overwritten; that a denied file which moves is
// renamed, and never opened; that after a crash at any moment
// Recover leaves the tree entirely old or entirely new; and that a decision
// record is durable before the first write. It may touch the project's tree and
// one state directory. It must never read the live layer and never run a program.
package apply

import (
	"context"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/workspace/store"
)

// Options is one apply.
type Options struct {
	Root     string // real path of the project's root
	StateDir string // of the project: journal, pre-images, lock; our own
	Session  string
	Hunks    []countersign.Hunk // those in state accepted or edited are applied; others are ignored
	Store    *store.Store       // the reviewed bytes, by PostSum; base files, by Base, where a merge may need them
	// Record writes a decision record and returns when it is durable. An error
	// means that nothing is written. Its type is changeset.applying or
	// changeset.undoing; the caller records how it ended.
	Record func(context.Context, countersign.Record) error
	Now    func() time.Time
	// Step, if set, is called before each step; an error stops the apply there
	// and rolls it back. It is there for tests of faults.
	Step func(Step) error

	noExchange bool // as on a file system that cannot swap two names: for tests
}

// Step names a moment of an apply.
type Step string

// The steps, in order. Those with a path come once for each file.
const (
	StepPlan    Step = "plan"    // nothing is written yet
	StepImages  Step = "images"  // before the pre-images go to the store
	StepJournal Step = "journal" // before the journal is written
	StepRecord  Step = "record"  // before the decision record
	StepTemp    Step = "temp"    // before a file's new content is written beside it
	StepSwap    Step = "swap"    // before a file is put in its place
	StepMove    Step = "move"    // before a denied file is moved
	StepVerify  Step = "verify"  // before what was displaced is looked at once more
	StepCommit  Step = "commit"  // before the journal says that all is done
	StepClean   Step = "clean"   // before what was displaced is removed
	StepDone    Step = "done"    // before the journal is put away
	StepBack    Step = "back"    // before a file is put or moved back, in a roll-back
)

// File is what an apply did to one path.
type File struct {
	Path, OldPath     string
	Pre, Post         string // lower-case hex SHA-256 of the content, empty for absent
	PreMode, PostMode uint32 // git modes, 0 for absent
	Merged            bool   // a person's changes since the base are in it
	Hunks             []string
}

// Result is what an apply or an undo did.
type Result struct {
	ID        string // of the apply
	Files     []File
	Moves     []Move // of denied files
	Applied   []countersign.Hunk
	Stale     []countersign.Hunk // left behind; Why says why
	Merged    []string           // paths
	Recovered string             // what an earlier crash left, and what became of it
}
