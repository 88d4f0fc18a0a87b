// Package names knows which names of a session's view are guarded, so that a
// call that would take one away (unlink, rmdir, rename, link) can be told from
// the thousands that do not.
//
// What protects a guarded name is the mount that lies over it: the kernel
// refuses to remove, rename or link a mount point. It does so without a word,
// and this package is there for the record only. A path that changes between
// its being looked at here and in the kernel can cost a record, never a file.
//
// A guarded text is changed as git changes its files, by a rename over it: Hand
// reads the file that was to come there and hands its bytes on, for the kernel would
// not rename it. What the agent writes after the read counts nowhere.
//
// It promises: Has costs no allocation for an ASCII name and never blocks on
// the caller; a name is compared by the rules of internal/fold; Find says that a
// guard is meant only where a mount lies at the name that was meant, and never
// looks into a tripwire, which would be an attempt of its own.
//
// It touches /proc of the caller and opens places of its view (O_PATH), and the
// file that Hand takes. It must never answer a call, nor change anything else.
package names

import (
	"bytes"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/countersign/countersign/internal/fold"
)

// Guard is one guarded place of the view.
type Guard struct {
	ID     uint64   // of its tripwire node; 0: a mount of another kind, which its path tells
	Path   string   // as seen inside, absolute
	Rule   string   // id of the rule that guards it
	Frozen bool     // it may be read but not changed: to try is tampering
	Text   bool     // a file that another may be renamed over, as far as its bytes are let in
	Held   bool     // it cannot be renamed, and what is in it can: git itself tries to unlink such
	Below  []string // of a frozen directory: names that it has not, and that matter
}

// Set holds the guards of a session. It is safe for use by many threads.
type Set struct {
	mu   sync.RWMutex
	base map[string]bool // the last names that count, folded
	dirs map[string]bool // the names of frozen directories, folded
	id   map[uint64]Guard
	path map[string]Guard

	nodes atomic.Uint64 // the device of the nodes, as device gives it; 0: not known yet
}

// NewSet returns an empty set.
func NewSet() *Set {
	return &Set{base: map[string]bool{}, dirs: map[string]bool{}, id: map[uint64]Guard{}, path: map[string]Guard{}}
}

// Add guards a place.
func (s *Set) Add(g Guard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := fold.Name(g.Path[strings.LastIndexByte(g.Path, '/')+1:])
	s.base[name] = true
	if g.Frozen && !g.Text {
		s.dirs[name] = true
	}
	for _, name := range g.Below {
		s.base[fold.Name(name)] = true
	}
	if s.path[g.Path] = g; g.ID != 0 {
		s.id[g.ID] = g
	}
}

// nameMax is NAME_MAX of linux/limits.h, bytes.
const nameMax = 255

// Has reports whether a call on path could mean a guarded name, or one in a frozen
// directory.
func (s *Set) Has(path []byte) bool {
	base, dir := last(path)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if has(s.base, base) {
		return true
	}
	dir, _ = last(dir)
	return has(s.dirs, dir)
}

func has(names map[string]bool, base []byte) bool {
	if len(base) == 0 || len(base) > nameMax {
		return false
	}
	var low [nameMax]byte
	n := 0
	for _, c := range base {
		if c >= 0x80 {
			return names[fold.Name(string(base))]
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		low[n] = c
		n++
	}
	if t := bytes.TrimRight(low[:n], ". "); len(t) > 0 { // as fold.Name does
		n = len(t)
	}
	return names[string(low[:n])]
}

// last is the last name of a path, without the slashes behind it, and what is before.
func last(path []byte) (name, before []byte) {
	for len(path) > 0 && path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	i := bytes.LastIndexByte(path, '/')
	return path[i+1:], path[:i+1]
}

func (s *Set) byID(id uint64) (Guard, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	g, ok := s.id[id]
	return g, ok
}

func (s *Set) byPath(path string) (Guard, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	g, ok := s.path[path]
	return g, ok
}
