package gateway

import (
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/redact"
)

// clip makes a stranger's text fit for a leaf: valid, short, without secrets.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s, _ = redact.Arg(s)
	if len(s) <= 200 {
		return s
	}
	n := 200
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// request builds the record of a request, allowed or denied.
func (g *gateway) request(m countersign.Model, ruling countersign.Ruling, r *http.Request, size int, payloads []countersign.Payload) countersign.Record {
	a := countersign.Action{Kind: countersign.KindModel, Session: g.Session, Model: &m}
	rec := g.base("model.request", m)
	rec.Action.Digest = a.Digest(nil, nil)
	rec.Policy = &countersign.PolicyRecord{Bundle: ruling.Bundle, Rule: ruling.Rule}
	rec.Decision = &countersign.DecisionRecord{Verdict: ruling.Verdict, Basis: countersign.ByPolicy, Reason: clip(ruling.Reason)}
	rec.Payloads = payloads
	rec.Detail = map[string]any{"method": r.Method, "path": clip(r.URL.Path), "bytes": size}
	for name, header := range map[string]string{
		"client": "User-Agent", "retry": "X-Stainless-Retry-Count", "client_session": "X-Claude-Code-Session-Id", "client_request": "X-Client-Request-Id",
	} {
		if v := r.Header.Get(header); v != "" {
			rec.Detail[name] = clip(v)
		}
	}
	if ruling.Verdict != countersign.Allow {
		rec.Outcome = &countersign.Outcome{Status: "refused"}
	}
	return rec
}

func (g *gateway) base(typ string, m countersign.Model) countersign.Record {
	return countersign.Record{
		Type: typ, Session: g.Session,
		Actor: &countersign.Actor{Kind: "agent", ID: g.Agent}, Agent: &countersign.Agent{Name: g.Agent},
		Action: &countersign.ActionRecord{Kind: countersign.KindModel, Summary: strings.TrimPrefix(m.Provider+"/"+m.Requested, "/")},
		Model:  &m,
	}
}

// response builds the record of an answer, whole or not.
func (c *call) response() countersign.Record {
	c.usage.end()
	m := c.model
	m.Served = clip(c.usage.model)
	rec := c.g.base("model.response", m)
	rec.Parent = c.record
	rec.Usage = c.usage.usage()
	rec.Detail = map[string]any{"duration_ms": c.g.Now().Sub(c.began).Milliseconds(), "bytes": c.kept.Len()}
	if c.status != 0 {
		rec.Detail["status"] = c.status
	}
	if !c.first.IsZero() {
		rec.Detail["ttft_ms"] = c.first.Sub(c.began).Round(time.Microsecond).Microseconds() / 1000
	}
	if c.usage.stop != "" {
		rec.Detail["stop"] = clip(c.usage.stop)
	}
	if m.Served != "" && !strings.HasPrefix(m.Served, m.Requested) {
		rec.Detail["served_otherwise"] = true
	}
	if c.cut {
		rec.Detail["kept_first_bytes"] = maxKept
	}
	rec.Outcome = &countersign.Outcome{Status: "ok"}
	switch {
	case c.partial != "":
		rec.Outcome = &countersign.Outcome{Status: "failed", Error: c.partial}
		rec.Detail["partial"] = true
	case c.status >= 400:
		rec.Outcome = &countersign.Outcome{Status: "failed", Error: "the provider answered " + http.StatusText(c.status)}
	}
	return rec
}
