package reviewing

import (
	"encoding/json"
	"errors"
	"sync"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger"
)

// maxPayload is how many bytes of a hunk its record keeps. Of a larger one it
// keeps the sums; what was accepted lies in the store of reviewed bytes.
const maxPayload = 32 << 20

// together is how many payloads are written at a time: the disk flushes them as
// one, and no more lie in memory.
const together = 16

// diffs writes the payloads of some hunks and returns when they are durable.
func (r *Reviewing) diffs(l *ledger.Client, hs []countersign.Hunk, load func(*countersign.Hunk) error) ([]countersign.Payload, error) {
	out, errs := make([]countersign.Payload, len(hs)), make([]error, len(hs))
	var wg sync.WaitGroup
	for i, h := range hs {
		if h.PreLen+h.PostLen <= maxPayload {
			if err := load(&h); err != nil {
				wg.Wait()
				return nil, err
			}
		}
		payload := hunkPayload(h)
		wg.Go(func() { out[i], errs[i] = l.Blob(r.ctx, "diff", "application/json", payload) })
	}
	wg.Wait()
	return out, errors.Join(errs...)
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
