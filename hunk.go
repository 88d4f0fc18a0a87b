package countersign

import "strings"

// Op is what a hunk does to its path.
type Op string

// The operations.
const (
	OpCreate  Op = "create"
	OpModify  Op = "modify"
	OpDelete  Op = "delete"
	OpRename  Op = "rename"
	OpMode    Op = "mode"
	OpSymlink Op = "symlink"
	OpBinary  Op = "binary"
)

// HunkState is where a hunk stands in its review.
type HunkState string

// The states of a hunk.
const (
	Undecided HunkState = "undecided"
	Accepted  HunkState = "accepted"
	Rejected  HunkState = "rejected"
	Edited    HunkState = "edited" // accepted with the person's own bytes
	Stale     HunkState = "stale"  // its base changed under it: shown again
	Applied   HunkState = "applied"
)

// Risk marks hunks that are never accepted in bulk.
type Risk string

// The risks.
const (
	RiskNormal Risk = "normal"
	RiskHigh   Risk = "high"
)

// Hunk is the smallest piece of a change that a person accepts or rejects: one
// maximal run of changed lines, or a create, delete, rename, mode change,
// symlink or binary replacement as a whole. Line numbers are those of
// "git diff -U0".
type Hunk struct {
	ID       string // prefix of Digest, unique within its changeset
	Digest   string // "sha256:…" over path, op, modes, base, range, pre and post bytes
	Proposed string // for an edited hunk: the digest of what the agent proposed; ID is a prefix of it
	Path     string // slash-separated, relative to the project's root
	OldPath  string // for a rename
	Op       Op
	OldMode  uint32 // git file modes: 0100644, 0100755, 0120000
	NewMode  uint32
	Base     string // lower-case hex sha256 of the whole old file, empty if there is none; see Unread
	OldStart int    // 1-based; for an empty range the line before it, as git does
	OldLines int
	NewStart int
	NewLines int
	Part     int    // for a piece of a split hunk: new lines of the whole hunk before it
	Pre      []byte // exact old bytes of the range (for a symlink: its target); nil if not in memory
	Post     []byte // exact new bytes; nil if not in memory
	PreSum   string // lower-case hex sha256 of the old bytes, which the content store may hold
	PreLen   int64
	PostSum  string
	PostLen  int64
	Commit   string // id of the commit made inside that this belongs to, or empty
	Branch   string // refs/heads/… that the commit is on, if that is not checked out inside: nothing of it reaches the working tree
	Step     int    // its place: hunks stand on those of the same path with a lower one
	Risk     Risk
	Why      string // reason of a high risk
	State    HunkState
}

// UnreadBase begins the Base of a hunk that moves a denied file or directory as it
// is: "inode:NUMBER:BORN", the inode number and its time of birth in nanoseconds
// since 1970 (0 where the file system has none; statx(2)). The two name the inode
// for good and say nothing of its content.
const UnreadBase = "inode:"

// Unread tells that a hunk moves a denied file or directory, whose content nobody
// reads: not the agent, nor who reviews and applies it.
func (h Hunk) Unread() bool { return strings.HasPrefix(h.Base, UnreadBase) }

// Changeset is what a session's staging layer holds against the real tree.
type Changeset struct {
	Session string
	Hunks   []Hunk
	Ignored int // changed files that git ignores and that are not listed
}

// Mount is one thing to be mounted into the session's view, by the sandbox, in
// order.
type Mount struct {
	Type   string // bind, overlay
	Source string // bind: host path
	Target string // absolute path inside
	Lower  []string
	Upper  string
	Work   string
	RO     bool
}
