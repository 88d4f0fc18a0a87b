// Package tripwire serves the nodes that lie over denied files: a FUSE file
// system whose every file looks like the file it covers (size, times, mode,
// inode number, owner, links) and whose content nobody gets.
//
// It promises:
//   - No content: open, truncate, chmod, chown, utimes, xattr changes, readlink,
//     and every listing of or lookup below a directory node are refused with
//     EACCES. An opcode it does not know is refused too.
//   - One event for each refused call, never none and never two: the kernel is
//     told nothing that it could cache as a refusal or retry.
//   - The event reaches the session process before the refused process gets its
//     answer, so that the process is still there to be named, and so that a
//     killed server has lost nothing.
//   - stat, access(2), chdir and statfs are answered without an event: they read
//     nothing and change nothing. access(2) says what the mode bits say, not
//     that the open will be refused: a tool that asks first (sort, vim) would
//     give up with a refusal that nobody sees; so it goes on to the open, which
//     is refused and reported once.
//   - When the server is gone, the kernel answers ENOTCONN: closed. Calls under way
//     as it dies end with ECONNABORTED or EIO.
//
// A shelf is the exception: a directory node with files that do open, since a tool
// needs something to read there (git, in the place of withheld blobs). What they
// hold is no content of the denied file, and to open one is an event all the same:
// one for each program and path, however often it opens what stands in for that
// path. To look about there is none. To change a directory of a shelf, which may
// hold nothing at all, is refused with EPERM.
//
// A trap is the other: a directory node below an overlay file system, so that who
// reads there pays nothing, and who would change what lies there is refused with
// EPERM and reported, whatever the call.
//
// What the kernel refuses by itself is not seen here: unlink and rename of a
// mount point (EBUSY) and link (EXDEV), which sandbox/execgate sees and reports;
// exec of a file without an x bit (EACCES).
//
// The server is a process of its own that never forks: a child between fork and
// exec that touches a node would wait for the very process that made it. It may
// touch the FUSE descriptor, its control socket and /proc, nothing else. The
// protocol loop is written out, not taken from a FUSE library: a server that
// only refuses needs a dozen opcodes, and must choose what it negotiates (no
// kernel-side answers to open) and what happens before each reply. The protocol
// is that of linux/fuse.h, version 7.31.
package tripwire

import (
	"time"

	"github.com/countersign/countersign"
)

// Attr is what stat shows of a node: that of the denied file, so that a tool
// that compares (git status) finds nothing changed.
type Attr struct {
	Mode  uint32 // st_mode: type and permission bits, as in stat(2)
	Size  int64  // bytes
	Mtime time.Time
	Ctime time.Time
	Atime time.Time
	Ino   uint64
	UID   uint32 // as the session's user namespace numbers it
	GID   uint32
	Nlink uint32
	Dir   bool
}

// Node is one denied path.
type Node struct {
	ID   uint64 // above 0; its decimal form is the node's name in the FUSE root
	Path string // as seen inside the session, absolute
	Rule string // id of the deny rule
	Attr Attr
	// Maker makes a directory node a trap: the process that mounts an overlay of it,
	// by its id here. 0: the node is none.
	Maker int
}

// The operations of an event.
const (
	OpRead     = "read"     // open for reading
	OpWrite    = "write"    // open for writing
	OpTruncate = "truncate" // truncate, or open with O_TRUNC
	OpExec     = "exec"     // open by execve, of a file with an x bit
	OpReadlink = "readlink"
	OpList     = "list"   // opendir of a directory node
	OpLookup   = "lookup" // a name below a directory node, whatever was wanted with it
	OpChmod    = "chmod"
	OpChown    = "chown"
	OpUtimes   = "utimes"
	OpXattr    = "xattr"
	OpCreate   = "create"
	OpUnlink   = "unlink"
	OpRename   = "rename"
	OpLink     = "link"
	OpOther    = "other"    // an opcode this server does not know
	OpWithheld = "withheld" // open of a file on a shelf: the stand-in was read
)

// Shelved is a file on a shelf, which stands in for content that is withheld.
type Shelved struct {
	Dir, Name string // the shelf has directories, and they have files; without Dir, on the shelf itself
	Content   []byte
	Node      uint64 // what its events bear: the id of a node, which need not be there,
	Path      string // the path whose content is withheld,
	Rule      string // and the id of the deny rule
	Free      bool   // it stands in for nothing: to open it is no event
}

// Event is one refused call, or, in a flood, several of the same kind.
type Event struct {
	Node uint64
	Path string // of the node, or of the name below it that was looked up
	Rule string
	Op   string
	Peer countersign.Peer // of the first call; PID 0 if it lives in a foreign pid namespace
	TID  int              // the thread that called
	Time time.Time        // of the first call
	// Count is 1, or the number of calls that were folded into this event; Last
	// is then the time of the last of them.
	Count int
	Last  time.Time
}

// Kind says whether the call wanted to read or to change.
func (e Event) Kind() countersign.Kind {
	switch e.Op {
	case OpRead, OpExec, OpReadlink, OpList, OpLookup, OpWithheld:
		return countersign.KindFileRead
	}
	return countersign.KindFileWrite
}
