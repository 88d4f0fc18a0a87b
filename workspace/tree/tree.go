// Package tree holds what the parts of the workspace share: file-level changes
// between a session's staging layer and the base it started from, and the safe
// reading and writing of files below a root.
//
// It promises that no path it is given leaves the root it is given, through no
// symlink or ".." (openat2 RESOLVE_BENEATH|RESOLVE_NO_SYMLINKS), even while
// another process swaps directories and links, and that a file it writes is
// either the old one or the whole new one. It may touch only below the roots it
// is handed, and must never run a program.
package tree

import (
	"errors"
	"fmt"
	"io"
	"strings"

	countersign "github.com/countersign/countersign"
)

// State is one version of a path.
type State struct {
	Mode   uint32 // git mode: 0100644, 0100755, 0120000
	Size   int64
	SHA256 string // lower-case hex; of a symlink: of its target
	// Open returns the content (of a symlink: its target). The content may have
	// changed since SHA256 was taken; whoever reads compares.
	Open func() (io.ReadCloser, error)
}

// Change is one path at which a session's layer differs from the session's base.
// Base is what the session started from, or what a person's edit was carried in
// as since; it is nil for a path that did not exist. Staged is nil for a delete. Where commits
// changed a path back, the two are the same.
type Change struct {
	Path        string // slash-separated, relative to the root
	RenamedFrom string // the base path it came from, if a rename was found
	Base        *State
	Staged      *State
	Ignored     bool   // git ignores it
	Commit      string // the newest commit made inside that contains this version, or empty
	Aside       *Aside // of a commit on another branch: no difference of the working tree
	Steps       []Step // of the commits made inside on the branch checked out, oldest first
}

// Differs tells whether what is staged is not the base.
func (c Change) Differs() bool { return c.RenamedFrom != "" || !Same(c.Base, c.Staged) }

// Unread tells that the change is the move of a denied file or directory, whose
// content is read by nobody.
func (c Change) Unread() bool {
	return c.Base != nil && strings.HasPrefix(c.Base.SHA256, countersign.UnreadBase)
}

// ModeDir is the mode of a directory that is moved unread, as in git's trees.
const ModeDir = 0o040000

// ErrUnread says that something would read what nobody may.
var ErrUnread = errors.New("a denied file is moved as it is: its content is not read")

// InodeName is what stands in the place of the hash of a file that nobody reads:
// its inode number and time of birth, in nanoseconds since 1970.
func InodeName(ino uint64, born int64) string {
	return fmt.Sprintf("%s%d:%d", countersign.UnreadBase, ino, born)
}

// Move is the change of a denied file or directory that goes unread from one path
// to another. mode is ModeFile, ModeSymlink or ModeDir.
func Move(from, to, inode string, mode uint32) Change {
	st := &State{Mode: mode, SHA256: inode, Open: func() (io.ReadCloser, error) { return nil, ErrUnread }}
	return Change{Path: to, RenamedFrom: from, Base: st, Staged: st}
}

// Same compares content and mode; nil is a path that is not there.
func Same(a, b *State) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.SHA256 == b.SHA256 && a.Mode == b.Mode
}

// Aside says which branch a change is on that is not checked out inside, and which
// of that branch's commits made it: Change.Commit.
type Aside struct {
	Repo string // where the repository's working tree stands below the root
	Ref  string // refs/heads/…
	N    int    // the commit's place among all such commits, from 0; a branch's lie together, oldest first
}

// Step is what one commit made inside did to a path, against its first parent.
type Step struct {
	Repo   string // where the repository's working tree stands below the root
	Commit string
	N      int    // the commit's place among all that have steps, from 0
	Base   *State // nil for a path that did not exist
	Staged *State // nil for a delete
}

// Place is where a denied file lies and where it goes. It travels between processes.
type Place struct{ From, To []byte }

// Landing says what a staged file becomes after an apply, unless the agent has
// written it since the review. It travels between processes.
type Landing struct {
	Path []byte
	Was  string // SHA-256 of the staged version that was reviewed
	Mode uint32 // its git mode
	Real string // SHA-256 of what the apply left in the real tree
	Post []byte // what stands in the session then; nil is the real file
}
