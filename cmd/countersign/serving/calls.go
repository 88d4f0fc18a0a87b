package serving

import (
	"net/http"
	"sync"
)

// calls are those under way. A WaitGroup does not do: nobody may be added beside its
// Wait, and a connection that is new sends its first request when it likes.
type calls struct {
	mu     sync.Mutex
	inside int
	over   chan struct{} // nil until nobody gets in any more; closed once nobody is inside
}

// enter reports whether a call may begin; then it must leave.
func (c *calls) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over != nil {
		return false
	}
	c.inside++
	return true
}

func (c *calls) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inside--; c.inside == 0 && c.over != nil {
		close(c.over)
	}
}

// end lets nobody in from now on. What it returns is closed once nobody is inside.
func (c *calls) end() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over == nil {
		c.over = make(chan struct{})
		if c.inside == 0 {
			close(c.over)
		}
	}
	return c.over
}

// of is next with each call counted. Who comes too late is sent away before anything
// of the call is read: the record may be closed already.
func (c *calls) of(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !c.enter() {
			w.Header().Set("Connection", "close")
			http.Error(w, "Countersign: the gateway ends and takes no new call, so nothing was sent", http.StatusServiceUnavailable)
			return
		}
		defer c.leave()
		next.ServeHTTP(w, r)
	})
}
