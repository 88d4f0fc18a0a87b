package execgate

import (
	"sync"

	countersign "github.com/countersign/countersign"
)

// Seals shares one sealed copy among the commands that run the same script at the
// same time, whichever supervisor of the view decided them: taking a lower one away
// would take the ones above it along.
type Seals struct {
	pinner Pinner
	mu     sync.Mutex
	held   map[string]*sealed // by path and content
}

// NewSeals lays its copies by a pinner.
func NewSeals(p Pinner) *Seals { return &Seals{pinner: p, held: map[string]*sealed{}} }

type sealed struct {
	Pin
	users int
}

func (s *Seals) take(script countersign.Script) (Pin, string) {
	if s == nil || script.Content == nil {
		return Pin{}, "its script lies where the session can write, and cannot be sealed"
	}
	key := script.Path + "\x00" + script.SHA256
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.held[key]
	if one == nil {
		p, err := s.pinner.Pin(script.Path, script.Content)
		if err != nil {
			return Pin{}, "its script could not be sealed: " + err.Error()
		}
		one = &sealed{Pin: p}
		s.held[key] = one
	}
	one.users++
	return Pin{Dev: one.Dev, Ino: one.Ino, Release: func() { s.drop(key, one) }}, ""
}

func (s *Seals) drop(key string, one *sealed) {
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
