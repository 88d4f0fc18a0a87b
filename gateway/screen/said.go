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

// has waits for what is coming before it says no.
func (s *Said) has(placeholder string) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set[placeholder] {
		return true
	}
	coming := slices.Collect(maps.Keys(s.coming))
	s.mu.Unlock()
	for _, c := range coming {
		<-c
	}
	s.mu.Lock()
	return s.set[placeholder]
}
