package gateway

import (
	"strconv"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/wire"
)

// refuse records a refusal of the gateway's own and answers it.
func (c *call) refuse(why wire.Reason, rule, reason string) {
	c.deny(countersign.Ruling{Verdict: countersign.Deny, Rule: rule, Reason: reason, Bundle: c.ruling.Bundle}, why, reason)
}

// refuseBy records and answers what policy says of a model.
func (c *call) refuseBy(ruling countersign.Ruling) {
	ruling.Verdict = countersign.Deny // nobody is asked at this door
	c.deny(ruling, wire.Policy, "policy denies "+c.model.Provider+"/"+c.model.Requested+" (rule "+ruling.Rule+"): "+ruling.Reason)
}

// deny records a refusal, then answers it in the words of the wire.
func (c *call) deny(ruling countersign.Ruling, why wire.Reason, message string) {
	if _, err := c.g.append(c.r.Context(), c.request(ruling, 0, nil), true); err != nil {
		c.shut(err)
		return
	}
	c.answer(c.wire.Refuse(c.route, why, "Countersign: "+message), true)
}

// shut answers after the ledger has failed.
func (c *call) shut(err error) {
	c.g.close(err)
	c.answer(c.wire.Refuse(c.route, wire.Policy, "Countersign: the ledger cannot record, so nothing was sent; see `countersign status`"), true)
}

// answer writes an answer of the gateway itself. final stops the agents that
// listen from trying again.
func (c *call) answer(out wire.Refusal, final bool) {
	if final {
		c.w.Header().Set("X-Should-Retry", "false")
	}
	c.write(out.Status, out.Body)
}

func (c *call) write(status int, json []byte) {
	h := c.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(json)))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(json) // the agent has hung up, if anything
}
