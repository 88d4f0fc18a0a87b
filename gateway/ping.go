package gateway

import (
	"net/http"
	"sync"
	"time"
)

// quiet is how long an agent hears nothing of a held answer before it is told
// that it is under way: agents give up after minutes.
const quiet = 10 * time.Second

// pinger tells an agent, while its answer is held, that it is under way. What is
// held goes on in whole events, so that a ping always stands between two.
type pinger struct {
	c     *call
	flush *http.ResponseController
	ping  []byte
	every time.Duration

	mu    sync.Mutex // of the writer, while answers are held
	timer *time.Timer
	over  bool
}

// startPinger starts one for an answer that is held and whose wire has a ping;
// else it returns nil, whose methods do nothing.
func (c *call) startPinger(flush *http.ResponseController, holds bool) *pinger {
	ping := c.wire.Ping(c.route, c.media)
	if !holds || ping == nil || c.status >= 400 {
		return nil
	}
	p := &pinger{c: c, flush: flush, ping: ping, every: c.g.Quiet}
	if p.every == 0 {
		p.every = quiet
	}
	p.timer = time.AfterFunc(p.every, p.fire)
	return p
}

func (p *pinger) fire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	p.c.begin(p.c.status)
	if _, err := p.c.w.Write(p.ping); err != nil || p.flush.Flush() != nil {
		return // the agent is gone: the next write of the answer will say so
	}
	p.timer.Reset(p.every)
}

// writing keeps pings away until the returned function is called.
func (p *pinger) writing() (done func()) {
	if p == nil {
		return func() {}
	}
	p.mu.Lock()
	return func() {
		p.timer.Reset(p.every)
		p.mu.Unlock()
	}
}

// stop ends the pings; none is under way when it returns.
func (p *pinger) stop() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.timer.Stop()
}
