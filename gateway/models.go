package gateway

import (
	"bytes"
	"io"
	"net/http"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/wire"
)

// maxList bounds a list of models.
const maxList = 8 << 20

// models answers the list of models: that of the first provider of the wire,
// without those that the policy denies. Each entry stays as the provider wrote
// it.
func (c *call) models() {
	c.provider = c.g.first(c.route.Wire)
	if c.provider == nil {
		c.write(http.StatusOK, []byte(`{"object":"list","data":[],"models":[]}`))
		return
	}
	c.model.Provider = c.provider.Name
	c.ruling = countersign.Ruling{Verdict: countersign.Allow, Rule: "gateway-models", Reason: "lists models"}
	c.path = c.r.URL.EscapedPath()
	if !c.prepare(nil) {
		return
	}
	resp, ok := c.reach(nil)
	if !ok {
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		c.keepFailure(resp)
		c.failed(resp)
		return
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxList))
	body = blank(c.key, body)
	c.keep(body)
	var out []byte
	if err == nil {
		out, err = c.permitted(body)
	}
	if err != nil {
		c.partial = "the list cannot be read"
		c.close()
		c.answer(c.wire.Refuse(c.route, wire.Policy, "Countersign: the provider's list of models cannot be read"), true)
		return
	}
	c.close()
	c.write(http.StatusOK, out)
}

// permitted takes out of a list what the policy denies.
func (c *call) permitted(body []byte) ([]byte, error) {
	doc, err := wire.ParseObject(body)
	if err != nil {
		return nil, err
	}
	list, entries := c.wire.Models(c.route, doc)
	if list.Kind() != wire.Array {
		return body, nil // no list, nothing to hide
	}
	var kept [][]byte
	denied := false
	for name, entry := range entries {
		if c.g.permits(c.provider, name).Verdict == countersign.Allow {
			kept = append(kept, entry.Raw())
		} else {
			denied = true
		}
	}
	if !denied {
		return body, nil
	}
	from, to := list.Range()
	return wire.Apply(body, wire.Edit{From: from + 1, To: to - 1, With: bytes.Join(kept, []byte(","))})
}
