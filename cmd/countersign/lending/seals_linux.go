//go:build amd64 || arm64

package lending

import (
	"crypto/sha256"
	"sync"

	"github.com/countersign/countersign/sandbox/execgate"
)

// Share has the supervisors of one view share a sealed copy, as the commands of one
// supervisor do: to take a lower one away would take the ones above it along.
func Share(p execgate.Pinner) execgate.Pinner {
	return &shared{Pinner: p, held: map[seal]*used{}}
}

type seal struct {
	path string
	sum  [sha256.Size]byte
}

type used struct {
	execgate.Pin
	users int
}

type shared struct {
	execgate.Pinner
	mu   sync.Mutex
	held map[seal]*used
}

// Pin lays a copy over the file at path, or shares the one that lies there.
func (s *shared) Pin(path string, content []byte) (execgate.Pin, error) {
	key := seal{path, sha256.Sum256(content)}
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.held[key]
	if one == nil {
		p, err := s.Pinner.Pin(path, content)
		if err != nil {
			return execgate.Pin{}, err
		}
		one = &used{Pin: p}
		s.held[key] = one
	}
	one.users++
	return execgate.Pin{Dev: one.Dev, Ino: one.Ino, Release: func() { s.drop(key, one) }}, nil
}

func (s *shared) drop(key seal, one *used) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one.users--; one.users > 0 {
		return
	}
	delete(s.held, key)
	if one.Release != nil {
		one.Release()
	}
}
