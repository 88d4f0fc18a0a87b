// Package after does what need not be done before an agent makes its next call: the
// record of an answer that it has.
//
// It promises: what is taken is done in the order in which it came, one after the
// other, so that agents who wait are served beside it, and is waited for by Close; no
// more than so many are waiting, and who comes then does his work himself, so that an
// overload slows the agents and drops nothing.
//
// It touches nothing of its own.
package after

import "sync"

// Work is what is still to be done. Its methods may be called concurrently.
type Work struct {
	next  chan func()
	begun sync.Once
	all   sync.WaitGroup
}

// New returns room for so many.
func New(most int) *Work { return &Work{next: make(chan func(), most)} }

// Take has do done beside its caller and reports whether there was room for it.
func (w *Work) Take(do func()) bool {
	w.begun.Do(func() { go w.work() })
	w.all.Add(1)
	select {
	case w.next <- do:
		return true
	default:
		w.all.Done()
		return false
	}
}

// work is one goroutine for all, whose stack has grown once.
func (w *Work) work() {
	for do := range w.next {
		do()
		w.all.Done()
	}
}

// Close returns when all that was taken is done. Nothing is taken any more.
func (w *Work) Close() {
	w.all.Wait()
	close(w.next)
}
