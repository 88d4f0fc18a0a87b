// Package names knows which names of a session's view are guarded, so that a
// call that would take one away (unlink, rmdir, rename, link) can be told from
// the thousands that do not.
//
// What protects a guarded name is the mount that lies over it: the kernel
// refuses to remove, rename or link a mount point. It does so without a word,
// and this package is there for the record only. A path that changes between
// its being looked at here and in the kernel can cost a record, never a file.
//
// It promises: Has costs no allocation for an ASCII name and never blocks on
// the caller; a name is compared by the rules of internal/fold; Find says that a
// guard is meant only where a mount lies at the name that was meant, and never
// looks into a tripwire, which would be an attempt of its own.
//
// It touches /proc of the caller and opens places of its view (O_PATH). It must
// never answer a call, nor change anything.
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
	ID     uint64 // of its tripwire node; 0: a mount of another kind
	Path   string // as seen inside, absolute
	Rule   string // id of the rule that guards it
	Frozen bool   // it may be read but not changed: to try is tampering
}

// Set holds the guards of a session. It is safe for use by many threads.
type Set struct {
	mu   sync.RWMutex
	base map[string]bool // the last names that count, folded
	id   map[uint64]Guard
	path map[string]Guard

	nodes atomic.Uint64 // the device of the nodes, as device gives it; 0: not known yet
}

// NewSet returns an empty set.
func NewSet() *Set {
	return &Set{base: map[string]bool{}, id: map[uint64]Guard{}, path: map[string]Guard{}}
}

// Add guards a place; below are names in it that do not exist, but that nobody
// may make or remove there either.
func (s *Set) Add(g Guard, below ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.base[fold.Name(g.Path[strings.LastIndexByte(g.Path, '/')+1:])] = true
	for _, name := range below {
		s.base[fold.Name(name)] = true
	}
	if g.ID != 0 {
		s.id[g.ID] = g
	}
	s.path[g.Path] = g
}

// nameMax is NAME_MAX of linux/limits.h, bytes.
const nameMax = 255

// Has reports whether a call on path could mean a guarded name.
func (s *Set) Has(path []byte) bool {
	base := last(path)
	if len(base) == 0 || len(base) > nameMax {
		return false
	}
	var low [nameMax]byte
	n := 0
	for _, c := range base {
		if c >= 0x80 {
			s.mu.RLock()
			defer s.mu.RUnlock()
			return s.base[fold.Name(string(base))]
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
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.base[string(low[:n])]
}

// last is the last name of a path, without the slashes behind it.
func last(path []byte) []byte {
	for len(path) > 0 && path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[i+1:]
		}
	}
	return path
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
