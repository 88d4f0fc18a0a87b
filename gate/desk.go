package gate

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gate/grants"
)

// LateFor is how long an approval given after its attempt had timed out is good
// for the same command.
const LateFor = 15 * time.Minute

// Desk is the queue of requests of one session. The first answer wins; a second
// one is told so. It implements countersign.Desk.
type Desk struct {
	now   func() time.Time
	newID func() string

	mu      sync.Mutex
	queue   map[string]*entry
	order   int
	grants  map[string]grants.Grant // by reuse key
	late    map[string]answered     // by reuse key: good once, until its Until
	last    map[string]approved     // by kind
	changed []chan struct{}
}

type entry struct {
	req     countersign.Request
	order   int
	waiting int           // attempts that wait for this answer
	claimed chan struct{} // an answer is being written down; closed when that has ended
	answer  *countersign.Approval
	grant   *grants.Grant // given to another request of the same command
	done    chan struct{}
}

// NewDesk returns an empty desk. newID names requests: short, unique, easy to type.
func NewDesk(now func() time.Time, newID func() string) *Desk {
	return &Desk{now: now, newID: newID, queue: map[string]*entry{}, grants: map[string]grants.Grant{}, late: map[string]answered{}, last: map[string]approved{}}
}

// Changed returns a channel that receives whenever the queue changes.
func (d *Desk) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := make(chan struct{}, 1)
	d.changed = append(d.changed, c)
	return c
}

func (d *Desk) notify() {
	for _, c := range d.changed {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// ask puts the request on the desk and waits for its answer: an approval, or the
// grant that another request of the same command was given. Requests with the
// same digest are answered once, and one whose attempt has ended makes way for
// the same command. When ctx ends first the request stays, no longer pending, and
// a later approval becomes a late one.
func (d *Desk) ask(ctx context.Context, req countersign.Request) (countersign.Approval, *grants.Grant, error) {
	e := d.put(req)
	if e == nil {
		return countersign.Approval{}, nil, errFull
	}
	select {
	case <-e.done:
		return *e.answer, e.grant, nil
	case <-ctx.Done():
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for e.claimed != nil {
		c := e.claimed
		d.mu.Unlock()
		<-c
		d.mu.Lock()
	}
	if e.answer != nil {
		return *e.answer, e.grant, nil
	}
	e.waiting--
	e.req.Pending = e.waiting > 0
	d.forget()
	d.notify()
	return countersign.Approval{}, nil, ctx.Err()
}

// maxPast is how many requests stay whose attempts have ended, maxEarly how many
// early ones are asked at once: no agent fills the desk, or this memory.
const (
	maxPast  = 200
	maxEarly = 32
)

var errFull = errors.New("too much is asked early")

// full reports whether no more can be asked early.
func (d *Desk) full() bool {
	n := 0
	for _, e := range d.queue {
		if e.req.Early && e.req.Pending {
			n++
		}
	}
	return n >= maxEarly
}

// forget drops the oldest requests that nothing waits for any more.
func (d *Desk) forget() {
	var past []string
	for id, e := range d.queue {
		if !e.req.Pending && e.claimed == nil {
			past = append(past, id)
		}
	}
	sort.Slice(past, func(i, j int) bool { return d.queue[past[i]].order < d.queue[past[j]].order })
	for _, id := range past[:max(0, len(past)-maxPast)] {
		delete(d.queue, id)
	}
}

// put returns the request's entry; nil if it is one too many.
func (d *Desk) put(req countersign.Request) *entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.find(req.Digest)
	if e == nil && req.Early && d.full() {
		return nil
	}
	if e == nil {
		for id, old := range d.queue {
			switch {
			case old.req.Reuse != req.Reuse || old.claimed != nil:
			case old.req.Early && !req.Early: // whoever asked early waits for the attempt's answer no more
				d.settle(id, old, countersign.Approval{}, nil)
			case !old.req.Pending:
				delete(d.queue, id)
			}
		}
		req.ID = d.newID()
		req.Last, req.LastAt = d.likeness(req.Action)
		d.order++
		e = &entry{req: req, order: d.order, done: make(chan struct{})}
		d.queue[req.ID] = e
	}
	e.waiting++
	e.req.Pending = true
	if !req.Early {
		e.req.Early = false // an attempt waits now: the answer is used up by it
	}
	d.notify()
	return e
}

func (d *Desk) find(digest string) *entry {
	for _, e := range d.queue {
		if e.req.Digest == digest && e.answer == nil {
			return e
		}
	}
	return nil
}

// Open returns the requests that wait for an answer, oldest first.
func (d *Desk) Open(string) []countersign.Request {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []countersign.Request
	for _, e := range d.sorted() {
		out = append(out, e.req)
	}
	return out
}

func (d *Desk) sorted() []*entry {
	out := make([]*entry, 0, len(d.queue))
	for _, e := range d.queue {
		out = append(out, e)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].order < out[j].order })
	return out
}

// Answer answers a request. With a digest it is answered only if that is the
// request's: what the person saw is what is approved.
func (d *Desk) Answer(id, digest string, a countersign.Approval) error {
	if _, err := d.claim(id, digest, a); err != nil {
		return err
	}
	d.finish(id, a, nil)
	return nil
}

// claim holds a request for one answer, which finish or release ends: what is
// being written down is neither answered twice nor timed out.
func (d *Desk) claim(id, digest string, a countersign.Approval) (countersign.Request, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e, err := d.look(id, digest)
	if err != nil {
		return countersign.Request{}, err
	}
	if word := e.req.Confirm; a.Granted && word != "" && a.Confirmed != word {
		return countersign.Request{}, &countersign.Error{
			Code: countersign.EInvalid, Op: "answer request", Thing: id, Err: fmt.Errorf("rule %s wants a word typed", e.req.Ruling.Rule),
			Remedy: "look at it, then: `countersign approve " + id + " --confirm " + word + "`",
		}
	}
	e.claimed = make(chan struct{})
	return e.req, nil
}

// release gives a claimed request back unanswered.
func (d *Desk) release(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.queue[id]
	close(e.claimed)
	e.claimed = nil
}

// finish answers a claimed request. A grant answers every other request of the
// same command too.
func (d *Desk) finish(id string, a countersign.Approval, g *grants.Grant) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.queue[id]
	close(e.claimed)
	e.claimed = nil
	if a.Scope == "" {
		a.Scope = countersign.ScopeOnce
	}
	d.settle(id, e, a, nil)
	switch {
	case a.Granted:
		d.remember(e, a, g)
	case e.req.Early:
		d.keep(e, a, countersign.ByEarly)
	}
	for other, o := range d.queue {
		if g != nil && o.req.Reuse == g.Key && o.claimed == nil {
			d.settle(other, o, a, g)
		}
	}
	d.notify()
}

func (d *Desk) settle(id string, e *entry, a countersign.Approval, g *grants.Grant) {
	e.answer, e.grant = &a, g
	delete(d.queue, id)
	close(e.done)
}

// look finds an open request that has this digest, if one is given.
func (d *Desk) look(id, digest string) (*entry, error) {
	e := d.queue[id]
	if e == nil || e.claimed != nil {
		return nil, &countersign.Error{
			Code: countersign.ENotFound, Op: "answer request", Thing: id, Err: errors.New("no such open request"),
			Remedy: "it may have been answered elsewhere; `countersign requests` lists the open ones",
		}
	}
	if digest != "" && subtle.ConstantTimeCompare([]byte(digest), []byte(e.req.Digest)) != 1 {
		return nil, &countersign.Error{
			Code: countersign.EInvalid, Op: "answer request", Thing: id,
			Err:    fmt.Errorf("its digest is %s, not %s", e.req.Digest, digest),
			Remedy: "look at it again: `countersign requests --json` has it in full",
		}
	}
	return e, nil
}

// remember keeps what the approval covers beyond this attempt.
func (d *Desk) remember(e *entry, a countersign.Approval, g *grants.Grant) {
	d.approve(e.req.Action)
	switch {
	case a.Scope == countersign.ScopeSession:
		if g == nil {
			g = &grants.Grant{Key: e.req.Reuse, Summary: Summary(e.req.Action), Scope: a.Scope, By: a.By, Means: a.Means, Until: a.Until}
		}
		d.grants[g.Key] = *g
	case a.Scope == countersign.ScopeOnce && e.req.Early:
		d.keep(e, a, countersign.ByEarly)
	case a.Scope == countersign.ScopeOnce && !e.req.Pending:
		d.keep(e, a, countersign.ByLate)
	}
}

// keep has an answer wait for the attempt that it is for.
func (d *Desk) keep(e *entry, a countersign.Approval, basis countersign.Basis) {
	a.Until = d.now().Add(LateFor)
	d.late[e.req.Reuse] = answered{a, basis}
}

// waits reports whether an approval waits for this command. A denial that nobody
// attempted to run into is over then: who asks again is to be answered again.
func (d *Desk) waits(reuse string, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	a, ok := d.late[reuse]
	if ok && a.Granted && now.Before(a.Until) {
		return true
	}
	delete(d.late, reuse)
	return false
}

// lateFor uses up an answer that came after its attempt had ended, or before it.
func (d *Desk) lateFor(reuse string, now time.Time) (answered, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a, ok := d.late[reuse]
	delete(d.late, reuse)
	if !now.Before(a.Until) {
		return a, false
	}
	a.Until = time.Time{}
	return a, ok
}

// granted finds the session's grant of a command.
func (d *Desk) granted(reuse string) (grants.Grant, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g, ok := d.grants[reuse]
	return g, ok
}

// Grants lists the standing approvals of the session.
func (d *Desk) Grants() []grants.Grant {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]grants.Grant, 0, len(d.grants))
	for _, g := range d.grants {
		out = append(out, g)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Key < out[j].Key })
	return out
}

// Revoke ends a standing approval.
func (d *Desk) Revoke(reuse string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.grants[reuse]
	delete(d.grants, reuse)
	return ok
}
