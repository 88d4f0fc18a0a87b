package screen

import (
	"maps"
	"slices"
	"sync"
)

// Said remembers what secrets the provider itself has said: they come back in the
// signed blocks of the next turns, where blocking them would end the conversation
// and keep nothing in. It is of placeholders, not of secrets.
type Said struct {
	mu     sync.Mutex
	set    map[string]bool
	coming map[<-chan struct{}]bool // answers that the agent has and that are not searched yet
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

// Coming says that an answer that the agent has will be searched; done, that it was.
func (s *Said) Coming() (done func()) {
	c := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.coming == nil {
		s.coming = map[<-chan struct{}]bool{}
	}
	s.coming[c] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.coming, c)
		close(c)
	}
}

// has reports whether the provider has said it, and if not, whether an answer is
// coming that may have.
func (s *Said) has(placeholder string) (said, may bool) {
	if s == nil {
		return false, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set[placeholder], len(s.coming) > 0
}

// Wait returns when all are searched that were coming.
func (s *Said) Wait() {
	s.mu.Lock()
	coming := slices.Collect(maps.Keys(s.coming))
	s.mu.Unlock()
	for _, c := range coming {
		<-c
	}
}
