package gateway

import (
	"net/http"
	"strings"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/leaf"
	"github.com/countersign/countersign/gateway/price"
	"github.com/countersign/countersign/gateway/scan"
	"github.com/countersign/countersign/gateway/screen"
	"github.com/countersign/countersign/gateway/wire"
)

// clean is leaf.Clip for an agent's words, which may hold what a rule knows.
func (c *call) clean(s string) string {
	s = s[:min(len(s), 1<<10)]
	found, err := c.g.Scanner.Outside(s, scan.NewBudget(0))
	if err != nil {
		return ""
	}
	return leaf.Clip(screen.Replace(s, found))
}

// request builds the record of a request, allowed or denied.
func (c *call) request(ruling countersign.Ruling, size int, payloads []countersign.Payload) countersign.Record {
	m, r := c.model, c.r
	a := countersign.Action{Kind: countersign.KindModel, Session: c.g.Session, Model: &m}
	rec := c.base("model.request", m)
	rec.Action.Digest = a.Digest(nil, nil)
	rec.Policy = &countersign.PolicyRecord{Bundle: ruling.Bundle, Rule: ruling.Rule}
	rec.Decision = &countersign.DecisionRecord{Verdict: ruling.Verdict, Basis: countersign.ByPolicy, Reason: leaf.Clip(ruling.Reason)}
	rec.Payloads = payloads
	rec.Detail["method"], rec.Detail["path"], rec.Detail["bytes"] = r.Method, c.clean(r.URL.Path), size
	if len(r.Method) > len(http.MethodOptions) { // a word of the agent's own
		rec.Detail["method"] = c.clean(r.Method)
	}
	if len(c.features) > 0 {
		rec.Detail["features"] = c.features
	}
	if c.from != "" {
		rec.Detail["from"] = c.from
	}
	c.found.Into(rec.Detail, leaf.Clip)
	for name, header := range map[string]string{
		"client": "User-Agent", "retry": "X-Stainless-Retry-Count", "client_session": "X-Claude-Code-Session-Id", "client_request": "X-Client-Request-Id",
		"codex_session": "Session-Id", "opencode_session": "X-Session-Id",
	} {
		if v := r.Header.Get(header); v != "" {
			rec.Detail[name] = c.clean(v)
		}
	}
	if ruling.Verdict != countersign.Allow {
		rec.Outcome = &countersign.Outcome{Status: "refused"}
	}
	return rec
}

// base is what every record of a call has: whose it is.
func (c *call) base(typ string, m countersign.Model) countersign.Record {
	agent, detail := c.g.Agent, map[string]any{}
	if h := c.holder; h.Name != "" {
		agent = h.Name
		for name, v := range map[string]string{"user": h.User, "project": h.Project} {
			if v != "" {
				detail[name] = v
			}
		}
	}
	return countersign.Record{
		Type: typ, Session: c.g.Session,
		Actor: &countersign.Actor{Kind: "agent", ID: agent}, Agent: &countersign.Agent{Name: agent},
		Action: &countersign.ActionRecord{Kind: countersign.KindModel, Summary: strings.TrimPrefix(m.Provider+"/"+m.Requested, "/")},
		Model:  &m, Detail: detail,
	}
}

// response builds the record of an answer, whole or not.
func (c *call) response(said wire.Answer) countersign.Record {
	m := c.model
	m.Served = leaf.Clip(said.Served)
	rec := c.base("model.response", m)
	rec.Parent = c.record
	rec.Usage = said.Usage
	if t, estimated, ok := c.used(c.heard()); ok {
		var cost price.Cost
		rec.Cost, cost = c.priced(said, t, estimated)
		c.settle(&t, cost)
	} else {
		c.settle(nil, price.Cost{})
	}
	if c.ended.IsZero() { // no answer was handed through
		c.ended = c.g.Now()
	}
	rec.Detail["duration_ms"], rec.Detail["bytes"] = c.ended.Sub(c.began).Milliseconds(), c.kept.Len()
	put := func(name string, given bool, v any) {
		if given {
			rec.Detail[name] = v
		}
	}
	put("status", c.status != 0, c.status)
	put("ttft_ms", !c.first.IsZero(), c.first.Sub(c.began).Milliseconds())
	put("asked_ms", c.waited > 0, c.waited.Milliseconds())
	put("stop", said.Stop != "", leaf.Clip(said.Stop))
	put("tier", said.Tier != "", leaf.Clip(said.Tier))
	put("cache_write_1h", said.Counts.CacheWriteLong > 0, said.Counts.CacheWriteLong)
	put("tools", len(said.Calls) > 0, toolNames(said.Calls))
	put("served_otherwise", c.servedOtherwise(m), true)
	put("kept_first_bytes", c.cut, maxKept)
	put("unsent", !c.left.Load(), true)
	put("partial", c.partial != "", true)
	put("unscanned", c.unscanned, true)
	c.answered.Into(rec.Detail, leaf.Clip)
	rec.Outcome = &countersign.Outcome{Status: "ok"}
	switch {
	case c.refused != nil:
		rec.Policy = &countersign.PolicyRecord{Bundle: c.refused.Bundle, Rule: c.refused.Rule}
		rec.Decision = &countersign.DecisionRecord{Verdict: countersign.Deny, Basis: countersign.ByPolicy, Reason: leaf.Clip(c.refused.Reason)}
		rec.Outcome = &countersign.Outcome{Status: "refused", Error: c.partial}
	case c.partial != "":
		rec.Outcome = &countersign.Outcome{Status: "failed", Error: c.partial}
	case c.status != 0 && (c.status < http.StatusOK || c.status >= http.StatusMultipleChoices):
		rec.Outcome = &countersign.Outcome{Status: "failed", Error: "the provider answered " + http.StatusText(c.status)}
	}
	return rec
}

// toolNames counts the calls of each tool.
func toolNames(calls []wire.Call) map[string]int {
	out := map[string]int{}
	for _, call := range calls {
		if len(out) < 64 {
			out[leaf.Clip(call.Name)]++
		}
	}
	return out
}

// servedOtherwise reports that another model answered than was asked. A version
// that only says more precisely which (a date, a tag) is the same; the name of
// an Azure deployment says nothing of its model.
func (c *call) servedOtherwise(m countersign.Model) bool {
	if m.Served == "" || m.Requested == "" || c.provider == nil || c.provider.Wire == "azure" {
		return false
	}
	return !wire.SameModel(m.Requested, m.Served)
}
