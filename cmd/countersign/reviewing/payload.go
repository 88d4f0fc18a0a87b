package reviewing

import (
	"encoding/json"
	"errors"
	"sync"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/ledger"
)

// maxPayload is how many bytes of a hunk its record keeps. Of a larger one it
// keeps the sums; what was accepted lies in the store of reviewed bytes.
const maxPayload = 32 << 20

// together is how many decisions go to the ledger at a time, as long as their
// payloads are no more than maxPayload in all: it flushes them as one.
const together = 512

// recordDecisions writes one hunk.decided for each hunk, durable before the decision
// counts; its bytes go into an encrypted payload, never into the leaf.
func (r *Reviewing) recordDecisions(hs []countersign.Hunk, load func(*countersign.Hunk) error) error {
	l, err := r.book()
	if err != nil {
		return err
	}
	for len(hs) > 1 {
		n, room := 0, int64(maxPayload)
		for n < len(hs)-1 && n < together && (n == 0 || room >= hs[n].PreLen+hs[n].PostLen) {
			room -= hs[n].PreLen + hs[n].PostLen
			n++
		}
		if err := r.sideBySide(l, hs[:n], load); err != nil {
			return err
		}
		hs = hs[n:]
	}
	for _, h := range hs { // the flush of the last one is that of all before it
		rec, err := r.decision(h, load)
		if err != nil {
			return err
		}
		if _, err := l.Append(r.ctx, rec, true); err != nil {
			return err
		}
	}
	return nil
}

// sideBySide writes the decisions on some hunks at once.
func (r *Reviewing) sideBySide(l *ledger.Client, hs []countersign.Hunk, load func(*countersign.Hunk) error) error {
	errs := make([]error, len(hs))
	var wg sync.WaitGroup
	for i, h := range hs {
		rec, err := r.decision(h, load)
		if err != nil {
			errs[i] = err
			break
		}
		wg.Go(func() { _, errs[i] = l.Append(r.ctx, rec, false) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// decision is the record of what was said of a hunk, with its bytes.
func (r *Reviewing) decision(h countersign.Hunk, load func(*countersign.Hunk) error) (countersign.Record, error) {
	if h.PreLen+h.PostLen <= maxPayload {
		if err := load(&h); err != nil {
			return countersign.Record{}, err
		}
	}
	verdict, means := countersign.Allow, "cli"
	if h.State == countersign.Rejected {
		verdict = countersign.Deny
	}
	if r.quiet {
		means = "tty" // the screen
	}
	rec := countersign.Record{
		Type: "hunk.decided", Session: r.kept.ID, Actor: r.Human(), Agent: &countersign.Agent{Name: r.kept.Agent},
		Action:   &countersign.ActionRecord{Kind: countersign.KindFileWrite, Digest: h.Digest, Risk: string(h.Risk), Path: base.Printable(h.Path), Op: string(h.Op), Summary: summary(h)},
		Policy:   r.policy.Record("review"),
		Decision: &countersign.DecisionRecord{Verdict: verdict, Basis: countersign.ByPerson, By: base.Who(), Means: means, Shown: h.Digest, Scope: countersign.ScopeOnce},
		Payloads: []countersign.Payload{{Role: "diff", Media: "application/json", Plain: hunkPayload(h)}},
		Detail:   map[string]any{"hunk": h.ID, "state": said(h), "lines": []int{h.OldStart, h.OldLines, h.NewStart, h.NewLines}, "edited": h.State == countersign.Edited},
	}
	if h.OldPath != "" {
		rec.Detail["old_path"] = base.Printable(h.OldPath)
	}
	if h.Unread() {
		rec.Detail["unread"] = true
	}
	return rec, nil
}

func hunkPayload(h countersign.Hunk) []byte {
	m := map[string]any{"path": []byte(h.Path), "op": h.Op, "pre": h.Pre, "post": h.Post, "base": h.Base}
	if h.OldPath != "" {
		m["old_path"] = []byte(h.OldPath)
	}
	if h.PreLen+h.PostLen > maxPayload {
		delete(m, "pre")
		delete(m, "post")
		m["pre_sha256"], m["pre_bytes"], m["post_sha256"], m["post_bytes"] = h.PreSum, h.PreLen, h.PostSum, h.PostLen
	}
	b, _ := json.Marshal(m)
	return b
}
