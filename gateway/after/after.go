// Package after does what need not be done before an agent has its answer's end:
// the answer's record.
//
// It promises: what is taken is done in the order in which it came, one after the
// other, so that agents who wait are served beside it, and is waited for by Wait; no
// more than so many are waiting, and who comes then does his work himself, so that an
// overload slows the agents and drops nothing.
//
// It touches nothing of its own.
package after

import "sync"

// Work is what is still to be done. Its methods may be called concurrently.
type Work struct {
	most int
	all  sync.WaitGroup

	mu   sync.Mutex
	next []func()
	busy bool // somebody works
}

// New returns room for so many.
func New(most int) *Work { return &Work{most: most} }

// Take has do done beside its caller and reports whether there was room for it.
func (w *Work) Take(do func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.next) >= w.most {
		return false
	}
	w.next = append(w.next, do)
	w.all.Add(1)
	if !w.busy {
		w.busy = true
		go w.work()
	}
	return true
}

func (w *Work) work() {
	for {
		w.mu.Lock()
		if len(w.next) == 0 {
			w.next, w.busy = nil, false
			w.mu.Unlock()
			return
		}
		do := w.next[0]
		w.next[0], w.next = nil, w.next[1:]
		w.mu.Unlock()
		do()
		w.all.Done()
	}
}

// Wait returns when all that was taken is done. Nothing is taken meanwhile.
func (w *Work) Wait() { w.all.Wait() }
