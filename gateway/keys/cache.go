package keys

import (
	"context"
	"sync"
	"time"
)

// Life is how long a key is kept in memory before it is asked for again, and
// failed how long a failure is, so that a vault that hangs is not asked by every
// call.
const (
	Life   = 5 * time.Minute
	failed = 2 * time.Second
)

// Cache holds keys in memory for their life, or until their stamp changes. The
// zero Cache is ready.
type Cache struct {
	mu   sync.Mutex
	held map[string]*held
}

type held struct {
	done  chan struct{} // closed when key and err are there
	key   string
	err   error
	stamp string
	until time.Time
}

// Get returns the key of a name. Callers that come while it is looked for wait
// for that answer; one that hangs up does not end the search for the others.
func (c *Cache) Get(ctx context.Context, name, stamp string, now func() time.Time, find func(context.Context) (string, error)) (string, error) {
	c.mu.Lock()
	h := c.held[name]
	if h == nil || h.over(stamp, now()) {
		h = &held{done: make(chan struct{}), stamp: stamp}
		if c.held == nil {
			c.held = map[string]*held{}
		}
		c.held[name] = h
		go func() {
			h.key, h.err = find(context.WithoutCancel(ctx))
			life := Life
			if h.err != nil {
				life = failed
			}
			h.until = now().Add(life)
			close(h.done)
		}()
	}
	c.mu.Unlock()
	select {
	case <-h.done:
		return h.key, h.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (h *held) over(stamp string, now time.Time) bool {
	select {
	case <-h.done:
		return stamp != h.stamp || !now.Before(h.until)
	default:
		return false // still being looked for
	}
}

// Forget makes the next Get ask again, unless another key has come already.
func (c *Cache) Forget(name, key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.held[name]; h != nil {
		select {
		case <-h.done:
			if h.key == key {
				delete(c.held, name)
			}
		default:
		}
	}
}
