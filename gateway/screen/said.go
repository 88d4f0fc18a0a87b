package screen

import "sync"

// Said remembers what secrets the provider itself has said: they come back in the
// signed blocks of the next turns, where blocking them would end the conversation
// and keep nothing in. It is of placeholders, not of secrets.
type Said struct {
	mu  sync.Mutex
	set map[string]bool
}

// maxSaid bounds what is remembered; then it begins anew.
const maxSaid = 4096

// Add remembers what was found in an answer.
func (s *Said) Add(f *Found) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range f.list {
		if s.set == nil || len(s.set) >= maxSaid {
			s.set = map[string]bool{}
		}
		s.set[f.list[i].Placeholder] = true
	}
}

func (s *Said) has(placeholder string) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set[placeholder]
}
