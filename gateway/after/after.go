// Package after does what need not be done before an agent has its answer's end: the
// answer's record.
//
// It promises: what is taken is done in the order in which it came, one after the
// other, so that agents who wait are served beside it, and is waited for by Close;
// what waits is bounded in number and in bytes, and who comes then does his work
// himself, so that an overload slows the agents and drops nothing.
//
// It touches nothing of its own.
package after

import (
	"sync"
	"sync/atomic"
)

// Work is what is still to be done. Its methods may be called concurrently.
type Work struct {
	next  chan job
	most  int64 // bytes
	bytes atomic.Int64
	all   sync.WaitGroup

	mu     sync.Mutex
	begun  bool
	closed bool
}

type job struct {
	do   func()
	size int64
}

// New returns room for so many, which hold so many bytes.
func New(most, bytes int) *Work { return &Work{next: make(chan job, most), most: int64(bytes)} }

// Take has do done beside its caller, for which size bytes are held until then, and
// reports whether there was room for it. do does not panic.
func (w *Work) Take(size int, do func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.bytes.Load()+int64(size) > w.most {
		return false
	}
	w.bytes.Add(int64(size)) // before it can be done
	w.all.Add(1)
	select {
	case w.next <- job{do, int64(size)}:
	default:
		w.did(int64(size))
		return false
	}
	if !w.begun {
		w.begun = true
		go w.work()
	}
	return true
}

// work is one goroutine for all, whose stack has grown once.
func (w *Work) work() {
	for j := range w.next {
		j.do()
		w.did(j.size)
	}
}

func (w *Work) did(size int64) {
	w.bytes.Add(-size)
	w.all.Done()
}

// Close returns when all that was taken is done; nothing is taken any more.
func (w *Work) Close() {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.next)
	}
	w.mu.Unlock()
	w.all.Wait()
}
