// Package osthread has functions run on one thread of the operating system, which
// may leave the others' namespaces: a goroutine is locked to it and never lets go.
package osthread

import "runtime"

// Thread is one such thread; it lasts as long as the process.
type Thread struct{ calls chan func() }

// New starts a thread.
func New() *Thread {
	t := &Thread{calls: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for f := range t.calls {
			f()
		}
	}()
	return t
}

// Begin has f run on the thread, after what was begun before, and returns as soon as
// the thread has taken it up. What f returned is sent once.
func (t *Thread) Begin(f func() error) <-chan error {
	done := make(chan error, 1)
	t.calls <- func() { done <- f() }
	return done
}

// Do runs f on the thread.
func (t *Thread) Do(f func() error) error { return <-t.Begin(f) }
