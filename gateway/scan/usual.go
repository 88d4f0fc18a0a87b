package scan

import (
	"strings"
	"sync"
)

// Bounds of what is remembered of the outsides of requests, in texts and bytes.
const (
	maxUsual  = 1024
	maxLength = 256
)

// usual remembers short texts that held no secret, as long as nothing new is known.
type usual struct {
	mu    sync.Mutex
	round uint64 // what is known
	texts map[string]bool
}

func (u *usual) has(round uint64, text string) bool {
	if len(text) > maxLength {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.round != round || len(u.texts) > maxUsual {
		u.round, u.texts = round, nil
	}
	return u.texts[text]
}

func (u *usual) add(round uint64, text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(text) > maxLength || u.round != round {
		return
	}
	if u.texts == nil {
		u.texts = map[string]bool{}
	}
	u.texts[strings.Clone(text)] = true // it may be a word of a request of megabytes
}
