package gateway

import (
	"bytes"
	"io"
	"net/http"
	"sync"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/aside"
	"github.com/countersign/countersign/gateway/envelope"
	"github.com/countersign/countersign/gateway/wire"
)

// maxList bounds a list of models.
const maxList = 8 << 20

// models answers the list of models of every provider of the wire, without those
// that the policy denies. Each entry stays as its provider wrote it, but for the
// provider's name in front where the name alone would choose another.
func (c *call) models() {
	all := c.g.serving(c.r.Context(), c.route.Wire)
	switch len(all) {
	case 0:
		c.write(http.StatusOK, []byte(`{"object":"list","data":[],"models":[]}`))
	case 1:
		c.list(all[0])
	default:
		c.merged(all)
	}
}

// merged puts the lists of several providers into that of the first that
// answers. A provider that does not is left out, with its record.
func (c *call) merged(all []*Provider) {
	parts := make([]aside.Answer, len(all))
	var wg sync.WaitGroup
	for i, p := range all {
		wg.Go(func() {
			part := &call{g: c.g, w: &parts[i], r: c.r, wire: c.wire, route: c.route, model: c.model, holder: c.holder}
			part.list(p)
		})
	}
	wg.Wait()
	var first *aside.Answer
	var list wire.Value
	var entries [][]byte
	for i := range parts {
		doc, err := wire.ParseObject(parts[i].Body)
		if parts[i].Status != http.StatusOK || err != nil {
			continue
		}
		own, names := c.wire.Models(c.route, doc)
		if own.Kind() != wire.Array {
			continue
		}
		if first == nil {
			first, list = &parts[i], own
		}
		for name, entry := range names {
			entries = append(entries, c.told(all[i], name, entry))
		}
	}
	if first == nil { // as if it were the only one
		c.write(parts[0].Status, parts[0].Body)
		return
	}
	from, to := list.Range()
	body, err := wire.Apply(first.Body, wire.Edit{From: from + 1, To: to - 1, With: bytes.Join(entries, []byte(","))})
	if err != nil {
		body = first.Body
	}
	c.write(http.StatusOK, body)
}

// told is an entry under a name that chooses its provider.
func (c *call) told(p *Provider, name string, entry wire.Value) []byte {
	if chosen, _, _ := c.g.choose(c.r.Context(), c.route.Wire, name); chosen == p {
		return entry.Raw()
	}
	edits := c.wire.Rename(c.route, entry, p.Name+"/")
	from, _ := entry.Range()
	for i := range edits {
		edits[i].From -= from
		edits[i].To -= from
	}
	if out, err := wire.Apply(entry.Raw(), edits...); err == nil {
		return out
	}
	return entry.Raw()
}

// list answers one provider's list, without what the policy denies.
func (c *call) list(p *Provider) {
	body, doc, ok := c.fetch(p)
	if !ok {
		return
	}
	list, entries := c.wire.Models(c.route, doc)
	var kept [][]byte
	denied := false
	for name, entry := range entries {
		if c.g.listed(c.r.Context(), p, name, entry).Verdict == countersign.Allow {
			kept = append(kept, entry.Raw())
		} else {
			denied = true
		}
	}
	if denied {
		from, to := list.Range()
		if out, err := wire.Apply(body, wire.Edit{From: from + 1, To: to - 1, With: bytes.Join(kept, []byte(","))}); err == nil {
			body = out
		}
	}
	c.write(http.StatusOK, body)
}

// fetch gets one provider's list. Where it cannot, it has answered.
func (c *call) fetch(p *Provider) (body []byte, doc *wire.Doc, ok bool) {
	c.provider = p
	c.model.Provider = p.Name
	c.ruling = countersign.Ruling{Verdict: countersign.Allow, Rule: "gateway-models", Reason: "lists models"}
	c.path = c.r.URL.EscapedPath()
	if !c.prepare(nil) {
		return nil, nil, false
	}
	resp, ok := c.reach(nil)
	if !ok {
		return nil, nil, false
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		c.keepFailure(resp)
		c.failed(resp)
		return nil, nil, false
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxList))
	body = envelope.Blank(c.key, body)
	c.keep(body)
	if err == nil {
		doc, err = wire.ParseObject(body)
	}
	if err != nil {
		c.partial = "the list cannot be read"
	}
	c.done()
	c.close()
	if err != nil {
		c.answer(c.wire.Refuse(c.route, wire.Policy, "Countersign: the list of models of provider "+p.Name+" cannot be read"), true)
	}
	return body, doc, err == nil
}
