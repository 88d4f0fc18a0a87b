// Package stage holds a session's staging layer: the tree an agent works on in
// place of the real one, and what differs between the two.
//
// It promises:
//   - The real tree is only read.
//   - The content of a denied file never enters the layer, not by its name, a
//     hard link of its inode, a name that it was moved to while the session ran,
//     nor a symbolic link that bears a denied name; an empty placeholder stands
//     there, over which a tripwire is to be laid.
//   - What lies in the layer is the agent's: it is reached as package layer
//     reaches it, never by a path.
//   - Changes is the exact difference to the base, whoever made it. The base is
//     what the session started from, moved forward by a person's edits that were
//     carried in and by what was applied.
//   - Where a person and the agent changed the same file, neither is touched: it
//     is a conflict and shown. After an apply the staged file becomes the real one
//     (less what was not applied), unless the agent has written it since.
//   - A denied file whose placeholder went elsewhere with a directory is a change
//     if its name is denied there too, else a note; its tripwire is there.
//   - While an overlay is mounted its files are changed through the mount alone.
//   - A failed start leaves nothing half-made.
//
// There are two back ends: a snapshot (a copy, by reflink where the file system
// can) and, for large trees, an overlay. What the real tree holds is found by
// package survey; package base keeps the base and compares. It may touch the
// session's directory and the project's own below the state directory. It runs
// nothing; git is asked through gitview.
package stage

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"time"

	"github.com/countersign/countersign/workspace/gitview"
)

// The back ends.
const (
	Snapshot = "snapshot"
	Overlay  = "overlay"
)

// Options say what is staged where.
type Options struct {
	Project    *gitview.Project
	StateDir   string // holds projects/HASH
	SessionDir string // the session's own directory
	// Denied tells whether a path below the root is denied, and by which rule.
	// A directory's path ends in a slash, here and for Notable. What lies below a
	// denied directory is denied with it. It is called from several goroutines.
	Denied func(rel string) (rule string, denied bool)
	// Notable tells which paths are listed even where git ignores them (the
	// project's editor and agent configuration). Denied names always are.
	Notable func(rel string) bool
	Backend string // "" chooses: a snapshot below MaxFiles and MaxBytes
	Fresh   bool   // start from the real tree, not from the project's kept layer
	From    string // session directory whose layer is taken over
	Now     func() time.Time

	MaxFiles   int   // 0: 50,000
	MaxBytes   int64 // 0: 1 GiB
	SmallFiles int   // an ignored directory of more entries is handled as one; 0: 2,000
	// BulkFiles and BulkBytes bound an ignored directory that is copied; a larger
	// one is attached as an overlay. 0: 50,000 files, 2 GiB.
	BulkFiles int
	BulkBytes int64
}

// Trip is one denied path: where a tripwire has to stand, and what the real file
// looks like to stat(2).
type Trip struct {
	Path  string // slash-separated, relative to the root: where it shows inside
	Host  string // the real file, absolute
	Rule  string
	Alias string // the denied path this is another name of, or empty
	Dir   bool
	Shown bool   // but for the tripwire, what the host has there shows inside
	Mode  uint32 // st_mode
	Size  int64
	MTime time.Time
	CTime time.Time
	ATime time.Time
	Ino   uint64
	Nlink uint32
	UID   uint32
	GID   uint32
}

// EventKind says what Watch saw.
type EventKind string

const (
	Carried  EventKind = "carried"     // a person's edit is now in the layer
	Conflict EventKind = "conflict"    // a person and the agent changed the same path
	Denied   EventKind = "denied"      // a denied name appeared or changed on the host
	Gone     EventKind = "denied-gone" // a denied name is gone from the host
	Branch   EventKind = "branch"      // HEAD or the index of the real repository moved
	Failed   EventKind = "failed"      // an edit could not be carried in
)

// Event is something that happened on the real tree.
type Event struct {
	Kind  EventKind
	Path  string
	Trip  *Trip // for Denied
	Text  string
	Error error
}

// Note is something about the tree that the person should know.
type Note struct {
	Path string
	Text string
}

// ProjectDir is the directory below stateDir that belongs to the project at
// root.
func ProjectDir(stateDir, root string) string {
	sum := sha256.Sum256([]byte(root))
	return filepath.Join(stateDir, "projects", hex.EncodeToString(sum[:8]))
}

func (o *Options) defaults() {
	if o.MaxFiles == 0 {
		o.MaxFiles = 50_000
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 1 << 30
	}
	if o.SmallFiles == 0 {
		o.SmallFiles = 2000
	}
	if o.BulkFiles == 0 {
		o.BulkFiles = 50_000
	}
	if o.BulkBytes == 0 {
		o.BulkBytes = 2 << 30
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Denied == nil {
		o.Denied = func(string) (string, bool) { return "", false }
	}
	if o.Notable == nil {
		o.Notable = func(string) bool { return false }
	}
}
