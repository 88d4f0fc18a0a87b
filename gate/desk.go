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
	grants  map[string]Grant // by reuse key
	late    map[string]Grant // by reuse key: good once
	changed []chan struct{}
}

type entry struct {
	req     countersign.Request
	order   int
	waiting int // attempts that wait for this answer
	answer  *countersign.Approval
	done    chan struct{}
}

// Grant is an approval that covers more than one attempt.
type Grant struct {
	Reuse    string
	Summary  string
	Approval countersign.Approval
	Until    time.Time // zero: the end of the session
}

// NewDesk returns an empty desk. newID names requests: short, unique, easy to type.
func NewDesk(now func() time.Time, newID func() string) *Desk {
	return &Desk{now: now, newID: newID, queue: map[string]*entry{}, grants: map[string]Grant{}, late: map[string]Grant{}}
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

// ask puts the request on the desk and waits for its answer. Requests with the
// same digest are answered once. When ctx ends first the request stays, no
// longer pending, and a later approval becomes a late one.
func (d *Desk) ask(ctx context.Context, req countersign.Request) (countersign.Approval, error) {
	d.mu.Lock()
	e := d.find(req.Digest)
	if e == nil {
		req.ID = d.newID()
		d.order++
		e = &entry{req: req, order: d.order, done: make(chan struct{})}
		d.queue[req.ID] = e
	}
	e.waiting++
	e.req.Pending = true
	d.notify()
	d.mu.Unlock()
	select {
	case <-e.done:
		return *e.answer, nil
	case <-ctx.Done():
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if e.answer != nil {
		return *e.answer, nil
	}
	e.waiting--
	e.req.Pending = e.waiting > 0
	d.notify()
	return countersign.Approval{}, ctx.Err()
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
	d.mu.Lock()
	defer d.mu.Unlock()
	e, err := d.look(id, digest)
	if err != nil {
		return err
	}
	if a.Scope == "" {
		a.Scope = countersign.ScopeOnce
	}
	d.remember(e, a)
	e.answer = &a
	delete(d.queue, id)
	close(e.done)
	d.notify()
	return nil
}

// look finds an open request that has this digest, if one is given.
func (d *Desk) look(id, digest string) (*entry, error) {
	e := d.queue[id]
	if e == nil {
		return nil, &countersign.Error{
			Code: countersign.ENotFound, Op: "answer request", Thing: id, Err: errors.New("no such open request"),
			Remedy: "it may have been answered elsewhere; `countersign requests` lists the open ones",
		}
	}
	if digest != "" && subtle.ConstantTimeCompare([]byte(digest), []byte(e.req.Digest)) != 1 {
		return nil, &countersign.Error{
			Code: countersign.EInvalid, Op: "answer request", Thing: id,
			Err:    fmt.Errorf("its digest is %s, not %s", e.req.Digest, digest),
			Remedy: "look at it again: `countersign requests`",
		}
	}
	return e, nil
}

// request is a copy of an open request.
func (d *Desk) request(id, digest string) (countersign.Request, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e, err := d.look(id, digest)
	if err != nil {
		return countersign.Request{}, err
	}
	return e.req, nil
}

// remember keeps what the approval covers beyond this attempt.
func (d *Desk) remember(e *entry, a countersign.Approval) {
	if !a.Granted {
		return
	}
	g := Grant{Reuse: e.req.Reuse, Summary: Summary(e.req.Action), Approval: a, Until: a.Until}
	switch {
	case a.Scope == countersign.ScopeSession:
		d.grants[g.Reuse] = g
	case !e.req.Pending:
		g.Until = d.now().Add(LateFor)
		d.late[g.Reuse] = g
	}
}

// standing finds an approval that is already good for this command. A late one
// is used up by it.
func (d *Desk) standing(reuse string, now time.Time) (countersign.Approval, countersign.Basis, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if g, ok := d.grants[reuse]; ok {
		if g.Until.IsZero() || now.Before(g.Until) {
			return g.Approval, countersign.ByGrant, true
		}
		delete(d.grants, reuse)
	}
	if g, ok := d.late[reuse]; ok {
		delete(d.late, reuse)
		if now.Before(g.Until) {
			return g.Approval, countersign.ByLate, true
		}
	}
	return countersign.Approval{}, "", false
}

// Grants lists the standing approvals of the session.
func (d *Desk) Grants() []Grant {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]Grant, 0, len(d.grants))
	for _, g := range d.grants {
		out = append(out, g)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Reuse < out[j].Reuse })
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
