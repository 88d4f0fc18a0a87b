// Package ping tells an agent that a held answer is under way: agents give up after
// minutes of silence.
//
// It promises: a ping never goes out while something else is written, none does
// after Stop has returned, and the first comes after as long a silence as is asked.
// What is held goes on in whole events, so that a ping always stands between two. It
// touches nothing (writes through what it is handed).
package ping

import (
	"sync"
	"time"
)

// Pinger sends pings. The methods of nil do nothing.
type Pinger struct {
	every time.Duration
	send  func() bool

	mu    sync.Mutex // of the writer, while answers are held
	timer *time.Timer
	over  bool
}

// New returns a Pinger that calls send after each silence; false: nobody hears it,
// which the next write will say.
func New(every time.Duration, send func() bool) *Pinger {
	p := &Pinger{every: every, send: send}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(every, p.fire)
	return p
}

func (p *Pinger) fire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over && p.send() {
		p.timer.Reset(p.every)
	}
}

// Writing keeps pings away until the returned function is called.
func (p *Pinger) Writing() (done func()) {
	if p == nil {
		return func() {}
	}
	p.mu.Lock()
	return func() {
		p.timer.Reset(p.every)
		p.mu.Unlock()
	}
}

// Stop ends the pings; none is under way when it returns.
func (p *Pinger) Stop() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.timer.Stop()
}
