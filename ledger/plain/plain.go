// Package plain encodes records, and those of ordinary execs, of which a build
// makes thousands, and of calls of models, for which an agent waits, without
// reflection.
//
// It promises: what it encodes is byte for byte what encoding/json makes of it
// (without escaping for HTML, so that && is found as it was typed); a record with
// anything that it does not know by itself is left to that. It touches nothing.
package plain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	countersign "github.com/countersign/countersign"
)

// blank is how encoding/json begins a Record whose ledger fields are empty.
const blank = `{"v":0,"id":"","node":"","epoch":0,"seq":0,"prev":"","t":{"wall":"","mono_ns":0},`

// Body appends a record's JSON from its type on, without the fields that the ledger
// fills.
func Body(to []byte, r *countersign.Record) ([]byte, error) {
	if b, ok := known(to, r); ok {
		return b, nil
	}
	rest := *r
	rest.V, rest.ID, rest.Node, rest.Epoch, rest.Seq, rest.Prev, rest.T = 0, "", "", 0, 0, "", countersign.Time{}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(rest); err != nil {
		return nil, err
	}
	b, ok := bytes.CutPrefix(bytes.TrimSpace(buf.Bytes()), []byte(blank))
	if !ok {
		return nil, fmt.Errorf("its encoding begins with %.60s", buf.Bytes())
	}
	return append(to, b...), nil
}

// known appends the body of a record without reflection. false: there is something
// in it that this does not know, and b is not to be used.
func known(b []byte, r *countersign.Record) ([]byte, bool) {
	if len(r.Payloads) > 0 || r.Canary || r.Turn != 0 {
		return b, false
	}
	e := encoder{b: b}
	e.text("type", r.Type)
	e.some("org", r.Org)
	e.some("session", r.Session)
	e.some("call", r.Call)
	e.some("parent", r.Parent)
	e.some("trace", r.Trace)
	e.actor(r.Actor)
	if a := r.Agent; a != nil {
		e.open("agent")
		e.text("name", a.Name)
		e.some("ver", a.Ver)
		e.close()
	}
	e.action(r.Action)
	if p := r.Policy; p != nil {
		e.open("policy")
		e.text("bundle", p.Bundle)
		e.some("preset", p.Preset)
		e.some("rule", p.Rule)
		e.close()
	}
	e.decision(r.Decision)
	e.outcome(r.Outcome)
	e.model(r.Model)
	e.usage(r.Usage)
	e.cost(r.Cost)
	if c := r.Cov; c != nil {
		e.open("cov")
		e.some("tier", c.Tier)
		e.some("isolation", c.Isolation)
		e.close()
	}
	e.detail(r.Detail)
	e.close()
	return e.b, !e.odd
}

type encoder struct {
	b    []byte
	next bool // a comma is due
	odd  bool // something stood in it that is not known here
}

// comma separates what comes from what was before.
func (e *encoder) comma() {
	if e.next {
		e.b = append(e.b, ',')
	}
	e.next = true
}

func (e *encoder) key(name string) {
	e.comma()
	e.b = append(append(append(e.b, '"'), name...), `":`...)
}

func (e *encoder) open(name string) {
	e.key(name)
	e.object()
}

func (e *encoder) object() { e.b, e.next = append(e.b, '{'), false }

func (e *encoder) close() { e.b, e.next = append(e.b, '}'), true }

// quote writes text of printable ASCII that needs no escape.
func (e *encoder) quote(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			e.odd = true
			return
		}
	}
	e.b = append(append(append(e.b, '"'), s...), '"')
}

func (e *encoder) text(name, s string) {
	e.key(name)
	e.quote(s)
}

func (e *encoder) some(name, s string) {
	if s != "" {
		e.text(name, s)
	}
}

func (e *encoder) number(name string, n int64) {
	e.key(name)
	e.b = strconv.AppendInt(e.b, n, 10)
}

func (e *encoder) list(name string, all []string) {
	if len(all) == 0 {
		return
	}
	e.key(name)
	e.b = append(e.b, '[')
	for i, s := range all {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.quote(s)
	}
	e.b = append(e.b, ']')
}

func (e *encoder) actor(a *countersign.Actor) {
	if a == nil {
		return
	}
	e.open("actor")
	e.text("kind", a.Kind)
	e.some("id", a.ID)
	if p := a.Peer; p != nil {
		e.open("peer")
		e.number("pid", int64(p.PID))
		if p.Start != 0 {
			e.key("start")
			e.b = strconv.AppendUint(e.b, p.Start, 10)
		}
		e.number("uid", int64(p.UID))
		e.some("exe", p.Exe)
		e.list("argv", p.Argv)
		e.close()
	}
	e.close()
}

func (e *encoder) action(a *countersign.ActionRecord) {
	if a == nil {
		return
	}
	e.open("action")
	e.text("kind", string(a.Kind))
	e.some("digest", a.Digest)
	e.some("risk", a.Risk)
	e.some("summary", a.Summary)
	e.list("argv", a.Argv)
	e.some("cwd", a.Cwd)
	e.some("path", a.Path)
	e.some("exe", a.Exe)
	e.list("env", a.Env)
	e.some("host", a.Host)
	if a.Port != 0 {
		e.number("port", int64(a.Port))
	}
	e.some("op", a.Op)
	e.some("invoked", a.Invoked)
	e.yes("writable", a.Writable)
	e.list("interp", a.Interp)
	e.list("scripts", a.Scripts)
	e.close()
}

func (e *encoder) decision(d *countersign.DecisionRecord) {
	if d == nil {
		return
	}
	if d.ShownMS != 0 || d.Scope != "" {
		e.odd = true // a person decided
	}
	e.open("decision")
	e.text("verdict", string(d.Verdict))
	e.text("basis", string(d.Basis))
	e.text("by", d.By)
	e.some("means", d.Means)
	e.text("shown", d.Shown)
	e.some("reason", d.Reason)
	e.some("sig", d.Sig)
	e.some("until", d.Until)
	e.some("confirmed", d.Confirmed)
	e.some("grant", d.Grant)
	e.some("gives_up", d.GivesUp)
	e.close()
}
