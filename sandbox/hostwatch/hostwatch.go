// Package hostwatch finds denied names in a tree of the host and tells of those
// that appear, change or vanish later.
//
// It promises:
//   - Scan and Watch find every name that the match function denies, outside
//     the directories that skip names, and each further name of a denied file
//     in the tree: hard links by inode, symlinks by where they lead.
//   - Watch leaves no gap: a directory is watched before it is read, so what
//     comes between is told twice rather than never. A lost event (the kernel's
//     queue overran) makes it read the whole tree again.
//   - A denied file that is renamed to a harmless name on the host (an editor's
//     backup) is told as an alias of what it was.
//
// What it cannot promise is time: an event is told after it happened. The window
// is measured by its test and stated there. It cannot know of a copy.
//
// It reads names and inodes, never content. It writes nothing and starts
// nothing.
package hostwatch

import "strings"

// Match says whether a name is denied, and by which rule. rel is relative to
// the root, with slashes. It is called from several goroutines.
type Match func(rel string, dir bool) (rule string, denied bool)

// Skip says that a directory is not to be entered: .git, bulk directories.
type Skip func(rel string) bool

// Found is a denied name.
type Found struct {
	Rel  string // relative to the root, with slashes
	Rule string // id of the deny rule
	Dir  bool   // a denied directory is not entered
	// Of is set if the name itself is harmless: it is the denied name, relative
	// to the root or absolute, of which this is a hard link or to which this
	// symlink leads.
	Of string

	Dev, Ino uint64 // of the name itself, a symlink not followed
	Mode     uint32 // st_mode
	Nlink    uint64
	ctime    int64 // nanoseconds; tells whether an event is news
}

// Kind is what happened to a name.
type Kind string

// The kinds.
const (
	Appeared Kind = "appeared"
	Changed  Kind = "changed" // other bytes, attributes, or another inode
	Gone     Kind = "gone"
)

// Event is what happened to a denied name.
type Event struct {
	Kind Kind
	Found
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// below reports whether rel is dir or lies in it.
func below(rel, dir string) bool {
	return dir == "" || rel == dir || strings.HasPrefix(rel, dir) && rel[len(dir)] == '/'
}
