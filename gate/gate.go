// Package gate is the only room that issues permits. It takes an action, asks
// the policy, asks a person where the policy says so, has the decision written
// down, and only then lets it go.
//
// It promises: no permit before the decision's record is durable (for a covered
// exec: written); every refusal is a record; deny wins over cover, grant and
// approval; an approval binds the digest of what was shown; whatever fails, the
// answer is no; a grant is on record before it counts and when it ends. It may
// touch the ledger, the desk's socket, the grants of its project (gate/grants) and
// nothing else; it must never start a process, dial, or write a project's file.
package gate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gate/grants"
	"github.com/countersign/countersign/internal/mask"
)

// Policy is what the gate asks. *policy.Policy is one.
type Policy interface {
	Exec(e *countersign.Exec, covered bool) countersign.Ruling
	Net(n countersign.Net) countersign.Ruling
	Record(rule string) *countersign.PolicyRecord
}

// Config is what a gate needs to know of its session.
type Config struct {
	Policy   Policy
	Ledger   countersign.Ledger
	Session  string
	Agent    countersign.Agent
	Tier     string        // of the posture, for every record
	Headless bool          // nobody can be asked: every ask is a deny
	Own      bool          // the person's own shell: its launch covers what it starts
	Timeout  time.Duration // after which a waiting attempt is denied; the request stays
	// Unmet names the rules that ask for more than this machine can give (a
	// second approver, a passkey): what they match is denied.
	Unmet func(rule string) (what string, unmet bool)
	Now   func() time.Time
	NewID func() string      // record ids, UUIDv7
	Key   *countersign.Keyer // for keyed hashes in digests; its key is the ledger's secret
	Desk  *Desk
	// Typed names the rules whose approval is a typed word (optional).
	Typed func(rule string) bool
	// Same is argv as it stands in a reuse key (optional): without what an agent's
	// own wrapper has new in it each time, so that an approval is good for the same
	// command again.
	Same func(argv []string) []string
	// Mask covers what was lent, in records and grants (optional).
	Mask *mask.Mask
	// Kept holds the grants of the project (optional).
	Kept *grants.File
}

// Gate decides for one session. Its methods may be called concurrently.
type Gate struct {
	cfg    Config
	closed error
	launch error // the refusal of the agent's own start, if it was
	mu     sync.Mutex
	denied atomic.Int64

	reports sync.RWMutex // held while an outcome is written
	over    bool         // the session has ended: no outcome comes behind it

	open map[string]openExec  // permits whose outcome is not known yet, by record id
	own  []countersign.Action // what the agent itself ran last, one for each program
}

type openExec struct {
	action countersign.Action
	digest string
	ruling countersign.Ruling
}

// ErrDenied is the error of every refused action; its Op, Thing and Err say
// which rule or person refused.
var ErrDenied = errors.New("denied")

// New returns an open gate.
func New(cfg Config) *Gate {
	return &Gate{cfg: cfg, open: map[string]openExec{}}
}

// Denied is how many commands were denied so far.
func (g *Gate) Denied() int { return int(g.denied.Load()) }

// Desk returns the queue of requests of this gate.
func (g *Gate) Desk() *Desk { return g.cfg.Desk }

// Close closes the gate for good: what is asked from now on is denied. The
// reason stands in every refusal.
func (g *Gate) Close(reason error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed == nil {
		g.closed = reason
	}
}

// LaunchRefused says why the agent itself was not started, if it was refused.
func (g *Gate) LaunchRefused() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.launch
}

func (g *Gate) shut() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

// Exec decides an exec whose process is stopped. It blocks while a person is
// asked. A nil error comes with a permit whose record is durable (covered:
// written). Any error means no.
func (g *Gate) Exec(ctx context.Context, a countersign.Action) (countersign.Permit, error) {
	if err := g.shut(); err != nil {
		return countersign.Permit{}, &countersign.Error{Code: countersign.EClosed, Op: "decide", Thing: a.Summary, Err: err}
	}
	a.Session = g.cfg.Session
	covered := a.Exec.Root != nil && !a.Exec.Launch && !g.configured(a) && len(a.Exec.Lends) == 0
	ruling := g.cfg.Policy.Exec(asLent(a.Exec), covered)
	if covered && ruling.Verdict == countersign.Allow {
		return g.cover(ctx, a, ruling)
	}
	if a.Exec.Root == nil && !a.Exec.Launch {
		g.remember(a)
	}
	d := g.decide(ctx, &a, ruling)
	return g.settle(ctx, a, d)
}

// cover lets a command go under the approval of the one above it. Its digest
// leaves out what nobody was shown; the record alone says what ran.
func (g *Gate) cover(ctx context.Context, a countersign.Action, ruling countersign.Ruling) (countersign.Permit, error) {
	d := countersign.Decision{Verdict: countersign.Allow, Basis: countersign.ByCover, Ruling: ruling}
	if a.Exec.Traced {
		d.Reason = "a debugger holds it: what runs is not compared with this"
	}
	digest := a.Digest(g.cfg.Key, g.secret)
	r := g.record("exec.decided", a, digest, d)
	r.Parent = a.Exec.Root.Record
	receipt, err := g.cfg.Ledger.Append(ctx, r, false)
	if err != nil {
		return g.fail(a, err)
	}
	return countersign.Permit{Record: receipt.ID, Seq: receipt.Seq, Digest: digest, Covers: g.covers(a), Basis: d.Basis}, nil
}

// decide turns a ruling into a decision, asking where it says so.
func (g *Gate) decide(ctx context.Context, a *countersign.Action, ruling countersign.Ruling) countersign.Decision {
	d := countersign.Decision{Verdict: ruling.Verdict, Basis: countersign.ByPolicy, Ruling: ruling, Reason: ruling.Reason}
	if ruling.Verdict == countersign.Deny {
		g.withdraw(ctx, *a, ruling)
		return d
	}
	if why := unlendable(a.Exec); why != "" {
		d.Verdict, d.Basis, d.Reason = countersign.Deny, countersign.ByFault, why
		return d
	}
	if a.Exec != nil && a.Exec.Launch {
		d.Verdict, d.Basis, d.Reason = countersign.Allow, countersign.ByLaunch, "started by the person"
		d.Ruling.Rule = "launch"
		return d
	}
	if ruling.Verdict == countersign.Allow {
		return d
	}
	if what, unmet := g.unmet(ruling.Rule); unmet {
		d.Verdict, d.Basis, d.Reason = countersign.Deny, countersign.ByFault, what
		return d
	}
	return g.ask(ctx, a, d)
}

func (g *Gate) unmet(rule string) (string, bool) {
	if g.cfg.Unmet == nil {
		return "", false
	}
	return g.cfg.Unmet(rule)
}

// ask finds an approval given before, or waits for one.
func (g *Gate) ask(ctx context.Context, a *countersign.Action, d countersign.Decision) countersign.Decision {
	digest, reuse := a.Digest(g.cfg.Key, g.secret), g.reuse(*a)
	typed := g.cfg.Typed != nil && g.cfg.Typed(d.Ruling.Rule)
	standing, err := g.standing(ctx, reuse, typed)
	if standing != nil {
		return g.byStanding(d, *standing)
	}
	if err != nil {
		d.Ruling.Reason = sentences(d.Ruling.Reason, err.Error())
	}
	if g.cfg.Headless {
		d.Verdict, d.Basis, d.Reason = countersign.Deny, countersign.ByHeadless, "nobody can be asked (--approver none)"
		return d
	}
	ctx, cancel := context.WithTimeout(ctx, g.cfg.Timeout)
	defer cancel()
	if a.Exec != nil {
		d.Ruling.Reason = sentences(d.Ruling.Reason, a.Exec.Outlived)
	}
	ap, granted, err := g.cfg.Desk.ask(ctx, countersign.Request{
		Session: g.cfg.Session, Action: *a, Digest: digest, Reuse: reuse, Ruling: d.Ruling, Since: g.cfg.Now(), Pending: true, Confirm: word(a.Exec, typed),
	})
	if granted != nil {
		return g.byStanding(d, approval{grant: *granted, basis: countersign.ByGrant})
	}
	if err != nil {
		d.Verdict, d.Basis, d.Reason = countersign.Deny, countersign.ByTimeout, "not approved yet: an approval given within the next 15 minutes is good for the same command"
		return d
	}
	d.Basis, d.Approval, d.Reason, d.Verdict = countersign.ByPerson, &ap, ap.Reason, countersign.Deny
	if ap.Means == countersign.MeansSelftest {
		d.Basis = countersign.BySelftest
	}
	if ap.Granted {
		d.Verdict = countersign.Allow
	}
	return d
}

// settle writes the decision down and, if it is a yes, issues the permit.
func (g *Gate) settle(ctx context.Context, a countersign.Action, d countersign.Decision) (countersign.Permit, error) {
	digest := a.Digest(g.cfg.Key, g.secret)
	r := g.record("exec.decided", a, digest, d)
	if a.Exec.Root != nil {
		r.Parent = a.Exec.Root.Record
	}
	receipt, err := g.cfg.Ledger.Append(context.WithoutCancel(ctx), r, true)
	if err != nil {
		return g.fail(a, err)
	}
	if d.Verdict != countersign.Allow {
		g.denied.Add(1)
		err := &countersign.Error{Code: countersign.EDenied, Op: "run", Thing: a.Summary, Err: fmt.Errorf("%w by rule %s", ErrDenied, d.Ruling.Rule), Remedy: d.Reason}
		if a.Exec.Launch {
			g.mu.Lock()
			g.launch = err
			g.mu.Unlock()
		}
		return countersign.Permit{}, err
	}
	g.mu.Lock()
	g.open[receipt.ID] = openExec{action: a, digest: digest, ruling: d.Ruling}
	g.mu.Unlock()
	return countersign.Permit{
		Record: receipt.ID, Seq: receipt.Seq, Digest: digest,
		Covers: g.covers(a) && (g.cfg.Own || !a.Exec.Launch && !d.Ruling.Alone), Debugs: d.Ruling.Debugs, Basis: d.Basis,
	}, nil
}

// covers reports whether what a command starts is part of what was decided.
func (g *Gate) covers(a countersign.Action) bool {
	return g.cfg.Own || !a.Exec.ProgramFromAgent && !(ofGit(a.Peer.Exe) && helper(a.Exec))
}

// fail closes the gate: a ledger that cannot write lets nothing through.
func (g *Gate) fail(a countersign.Action, err error) (countersign.Permit, error) {
	g.Close(err)
	return countersign.Permit{}, &countersign.Error{
		Code: countersign.EClosed, Op: "record the decision on", Thing: a.Summary, Err: err,
		Remedy: "the gate is closed: see `countersign verify`, free disk space if it is full, and start the session again",
	}
}
