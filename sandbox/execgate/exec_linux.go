//go:build amd64 || arm64

package execgate

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/sandbox/execgate/held"
	"github.com/countersign/countersign/sandbox/seccomp"
)

// exec answers an execve or execveat: read, decide, hold, compare.
func (w *worker) exec(call string) {
	r := w.s.tree.cover(&w.t)
	if r == nil {
		w.pass()
	}
	p, n := w.read(call, r == nil)
	if n == nil && r != nil && w.s.cfg.Closely != nil && w.s.cfg.Closely(&p.exec) {
		p, n = w.read(call, true)
	}
	if n != nil {
		if n.why != "" {
			w.refuse(call+": "+n.why, n.errno)
		} else {
			w.fail(n.errno)
		}
		return
	}
	if r != nil {
		c := r.CoverRoot
		p.exec.Root, p.exec.Traced = &c, traced(w.t.tid, r)
	} else {
		p.exec.Launch = w.s.launch.expects(&w.t, &p.exec, p.movable)
		if !p.exec.Launch {
			p.exec.Outlived = w.s.tree.outlived(&w.t)
		}
	}
	p.exec.Again = !p.exec.Launch && w.s.launch.again(&p.exec, p.loaded)
	a := countersign.Action{Kind: countersign.KindExec, Session: w.s.cfg.Session, Peer: w.t.peer(w.s.tree, r != nil)}
	a.Exec = &p.exec
	if !w.s.listener.Valid(w.n.ID) {
		return // the caller is gone: what was read may be another's
	}
	ctx := &waiting{Context: w.s.ctx, listener: w.s.listener, id: w.n.ID, pass: w.pass}
	ans := w.s.cfg.Judge.Exec(ctx, a)
	ctx.release()
	if ans.Errno != 0 || ans.Permit.Record == "" {
		if ans.Errno == 0 {
			ans.Errno = unix.EACCES
		}
		w.fail(ans.Errno)
		return
	}
	w.carryOut(p, a, ans, r)
}

// waiting is a context that ends when the notified call does. It costs nothing
// until somebody asks for Done: a covered exec never does.
type waiting struct {
	context.Context
	listener seccomp.Listener
	id       uint64
	pass     func() // of the turn, before somebody waits
	mu       sync.Mutex
	inner    context.Context
	cancel   context.CancelFunc
}

const checkEvery = 50 * time.Millisecond

func (c *waiting) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		c.pass()
		c.inner, c.cancel = context.WithCancel(c.Context)
		go c.watch(c.inner, c.cancel)
	}
	return c.inner.Done()
}

func (c *waiting) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner != nil {
		return c.inner.Err()
	}
	return c.Context.Err()
}

func (c *waiting) watch(ctx context.Context, cancel context.CancelFunc) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if !c.listener.Valid(c.id) {
				cancel()
				return
			}
		}
	}
}

func (c *waiting) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		c.cancel()
	}
}

// outcome names.
const (
	statusFailed = "failed"
	statusKilled = "killed"
)

// carryOut lets a permitted exec go and holds it at its exec stop.
func (w *worker) carryOut(p *plan, a countersign.Action, ans Answer, r *root) {
	s, permit := w.s, ans.Permit
	covered := r != nil && (permit.Basis == countersign.ByCover || permit.Basis == "")
	end := &ending{judge: s.cfg.Judge, permit: permit, action: a}
	finish := func(status, why string) {
		if ans.Elsewhere != nil {
			ans.Elsewhere.Drop()
		}
		end.report(countersign.Outcome{Status: status, Error: why})
	}
	if p.exec.Traced && covered && ans.Elsewhere == nil {
		w.letGo(p, end, r)
		return
	}
	pins, why := (*pins)(nil), ""
	if ans.Elsewhere == nil { // else its script is sealed there
		pins, why = w.pin(p, covered)
	}
	if why != "" {
		w.fail(unix.EACCES)
		finish(statusFailed, why)
		return
	}
	h := held.Thread{TID: w.t.tid}
	if errno := h.Seize(); errno != 0 {
		pins.release()
		w.fail(unix.EACCES)
		finish(statusFailed, "it could not be held: "+errno.Error())
		return
	}
	if !s.cfg.Restarts {
		h.Interrupt()
	}
	err := s.listener.Continue(w.n.ID)
	if s.cfg.Restarts || err != nil {
		h.Interrupt()
	}
	if s.listener.Waits() {
		w.pass()
	}
	pid, ended := h.UntilExec()
	if pid == 0 {
		pins.release()
		finish(statusFailed, ended)
		return
	}
	why = w.compare(pid, p)
	switch {
	case why != "":
	case ans.Elsewhere != nil:
		why = w.standIn(pid, end, ans.Elsewhere, p.loaded, &h)
	default:
		why = w.settle(pid, p, end, r, covered, pins, &h)
	}
	if why != "" {
		finish(statusKilled, why)
		h.Kill(pid)
		pins.release()
	}
}

// standIn has the verified image wait, and run nothing, for as long as its command
// runs elsewhere.
func (w *worker) standIn(pid int, end *ending, to Elsewhere, argv []string, h *held.Thread) string {
	w.pass()
	w.s.tree.set(pid, &image{id: w.t.who.ID, decided: true, argv: argv, action: end.action, permit: end.permit})
	return h.StandIn(pid, func() int { return to.Run(pid) }, to.Signal)
}

// ending reports the end of an exec once, whoever learns of it first.
type ending struct {
	once   sync.Once
	judge  Judge
	permit countersign.Permit
	action countersign.Action
}

func (e *ending) report(o countersign.Outcome) {
	e.once.Do(func() { e.judge.Finished(e.permit, e.action, o) })
}

// settle lets the verified image go on. What it is, is known to the tree before
// it runs one instruction.
func (w *worker) settle(pid int, p *plan, end *ending, r *root, covered bool, pins *pins, h *held.Thread) string {
	s, a, permit := w.s, end.action, end.permit
	img := &image{id: w.t.who.ID, root: r, covers: permit.Covers, alone: p.exec.Again, decided: !covered, argv: p.loaded, permit: permit, pins: pins}
	img.action = countersign.Action{Kind: a.Kind, Session: a.Session, Peer: a.Peer, Exec: &countersign.Exec{Argv: p.exec.Argv, Cwd: p.exec.Cwd, Exe: p.exec.Exe}}
	if !covered {
		img.root = nil
		if permit.Covers {
			img.root = &root{CoverRoot: countersign.CoverRoot{Record: permit.Record, PID: pid, Start: a.Peer.Start}, id: w.t.who.ID, debugs: permit.Debugs}
		}
		if p.exec.ProgramFromAgent && r != nil {
			s.tree.taint(r)
		}
	}
	if img.root != nil && (!covered || s.tree.alone(pid, img.id)) {
		var err error
		if img.strangers, err = s.tree.census.Children(pid); err != nil {
			return "its children cannot be told from the agent's"
		}
	}
	s.tree.set(pid, img)
	if p.exec.Launch {
		s.launch.done(pid, w.t.who.ID, &p.exec, p.loaded, permit.Covers)
	}
	s.cfg.Judge.Started(permit, a)
	if !covered {
		s.follow(pid, end, pins, img.root)
	}
	if pins.any() {
		w.pass() // its interpreter makes calls of its own before it opens the script
		return watchOpens(h, pid, w, pins, p.exec.Cwd)
	}
	h.Detach(pid, 0)
	return ""
}
