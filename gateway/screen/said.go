package screen

import (
	"context"
	"sync"
)

// Said remembers what secrets the provider itself has said: they come back in the
// signed blocks of the next turns, where blocking them would end the conversation
// and keep nothing in. It is of placeholders, not of secrets.
type Said struct {
	mu     sync.Mutex
	set    map[string]bool
	coming map[<-chan struct{}]string // answers that are not searched yet, and whose they are
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

// Coming says that a holder gets an answer that will be searched; done, that it was.
func (s *Said) Coming(holder string) (done func()) {
	c := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.coming == nil {
		s.coming = map[<-chan struct{}]string{}
	}
	s.coming[c] = holder
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.coming, c)
		close(c)
	}
}

// has reports whether the provider has said it, and whether an answer of the holder's
// is coming that may have.
func (s *Said) has(placeholder, holder string) (said, may bool) {
	if s == nil {
		return false, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, whose := range s.coming {
		may = may || whose == holder
	}
	return s.set[placeholder], may
}

// Wait returns when all of a holder's are searched that were coming, or ctx is done.
func (s *Said) Wait(ctx context.Context, holder string) {
	s.mu.Lock()
	var coming []<-chan struct{}
	for c, whose := range s.coming {
		if whose == holder {
			coming = append(coming, c)
		}
	}
	s.mu.Unlock()
	for _, c := range coming {
		select {
		case <-c:
		case <-ctx.Done():
			return
		}
	}
}
