package reading

import (
	"fmt"
	"strings"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
)

// Describe is one record for a person. A row of the self-test says what came of the
// attempt: "ok" beside "read the ledger" would say the opposite.
func Describe(r countersign.Record) string {
	when := r.T.Wall
	if t, err := time.Parse(time.RFC3339Nano, r.T.Wall); err == nil {
		when = t.Local().Format("2006-01-02 15:04:05.000")
	}
	parts := []string{fmt.Sprintf("%6d  %s  %-8s  %-18s", r.Seq, when, r.Session, r.Type)}
	if d := r.Decision; d != nil {
		by := string(d.Basis)
		if d.By != "" {
			by += " " + d.By
		}
		parts = append(parts, fmt.Sprintf("%s (%s)", d.Verdict, by))
	}
	if state, ok := r.Detail["state"].(string); ok && r.Type == "canary.result" {
		parts = append(parts, fmt.Sprintf("%s  %v:", state, r.Detail["row"]))
	} else if o := r.Outcome; o != nil {
		s := o.Status
		if o.Exit != nil {
			s = fmt.Sprintf("%s %d", s, *o.Exit)
		}
		parts = append(parts, s)
	}
	if r.Action != nil && r.Action.Summary != "" {
		parts = append(parts, r.Action.Summary)
	}
	parts = append(parts, spent(r)...)
	if r.Type == "ledger.recovered" {
		parts = append(parts, gone(r.Detail)...)
	}
	if p := r.Policy; p != nil && p.Rule != "" {
		parts = append(parts, "["+p.Rule+"]")
	}
	if d := r.Decision; d != nil && d.GivesUp != "" {
		parts = append(parts, "gives up "+d.GivesUp)
	}
	if r.Canary && r.Type != "canary.result" {
		parts = append(parts, "(self-test)")
	}
	return strings.TrimRight(base.Plain(strings.Join(parts, "  ")), " ")
}

// gone says what a power cut took and gave back, and whose payloads a start of the
// ledger did not find.
func gone(detail map[string]any) (out []string) {
	if n, ok := detail["restored_bytes"].(float64); ok {
		out = append(out, fmt.Sprintf("a power cut took %.0f bytes of records, which a copy gave back", n))
	}
	if seqs, ok := detail["lost_payloads"].([]any); ok {
		out = append(out, fmt.Sprintf("a power cut took payloads of records %v", seqs))
	}
	if seqs, ok := detail["missing_payloads"].([]any); ok {
		out = append(out, fmt.Sprintf("without a power cut payloads are gone of records %v", seqs))
	}
	return out
}

// spent is what an answer used and cost.
func spent(r countersign.Record) []string {
	var out []string
	if u := r.Usage; u != nil {
		out = append(out, fmt.Sprintf("%d in, %d cached, %d out", u.Input, u.CacheRead+u.CacheWrite, u.Output))
	}
	switch c := r.Cost; {
	case c == nil:
	case c.NanoUSD == nil:
		out = append(out, "cost unknown: "+c.Unknown)
	case c.Estimated:
		out = append(out, "about $"+c.USD)
	default:
		out = append(out, "$"+c.USD)
	}
	return out
}
