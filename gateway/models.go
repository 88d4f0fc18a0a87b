package gateway

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	countersign "github.com/countersign/countersign"
)

// models answers the list of models: that of the first provider of the wire,
// without those that the policy denies. It is the one body that is written
// anew; each entry stays as the provider wrote it.
func (g *gateway) models(w http.ResponseWriter, r *http.Request) {
	wire := wireOf(r)
	m := countersign.Model{Wire: string(wire) + "-models"}
	if !g.authentic(w, r, m) {
		return
	}
	var p *Provider
	for i := range g.Config.Providers {
		if g.Config.Providers[i].speaks(wire) {
			p = &g.Config.Providers[i]
			break
		}
	}
	if p == nil {
		g.list(w, map[string]any{"object": "list", "data": []any{}})
		return
	}
	m.Provider = p.Name
	c := call{g: g, wire: wire, provider: p, model: m, ruling: countersign.Ruling{Verdict: countersign.Allow, Rule: "gateway-models", Reason: "lists models"}}
	c.serveModels(w, r)
}

func (c *call) serveModels(w http.ResponseWriter, r *http.Request) {
	key, err := c.g.key(r.Context(), c.provider)
	if err != nil {
		c.noKey(w, r, err)
		return
	}
	c.key = key
	rec := c.g.request(c.model, c.ruling, r, 0, nil)
	receipt, err := c.g.append(r.Context(), rec, true)
	if err != nil {
		c.g.shut(w, c.wire, err)
		return
	}
	c.record, c.began = receipt.ID, c.g.Now()
	resp, err := c.g.transport.RoundTrip(c.outgoing(r, nil))
	if err != nil {
		c.unreached(w, r, err)
		return
	}
	defer resp.Body.Close()
	c.status, c.media = resp.StatusCode, resp.Header.Get("Content-Type")
	if resp.StatusCode != http.StatusOK {
		c.keyRefused(w, r, resp)
		return
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxEvent))
	body = blank(c.key, body)
	c.keep(body)
	var all map[string]json.RawMessage
	var data []json.RawMessage
	if err != nil || json.Unmarshal(body, &all) != nil || json.Unmarshal(all["data"], &data) != nil {
		c.partial = "the list cannot be read"
		c.close(r.Context())
		refuse(w, c.wire, http.StatusBadRequest, invalidRequest, "the provider's list of models cannot be read")
		return
	}
	c.close(r.Context())
	kept := []json.RawMessage{}
	for _, raw := range data {
		var one struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(raw, &one) == nil && c.g.Allow(c.provider.Name, one.ID).Verdict == countersign.Allow {
			kept = append(kept, raw)
		}
	}
	out := map[string]any{}
	for k, v := range all {
		out[k] = v
	}
	out["data"] = kept
	c.g.list(w, out)
}

func (g *gateway) list(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte(`{"object":"list","data":[]}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b)
}
