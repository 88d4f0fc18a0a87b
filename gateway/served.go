package gateway

import (
	"slices"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/leaf"
	"github.com/countersign/countersign/gateway/wire"
)

// maxWait bounds how much of a stream waits for the name of the model that gave
// it: every wire says it in the first event, or never.
const maxWait = 256 << 10

// watching reports whether the answer's beginning waits until it says who gave
// it.
func (c *call) watching() bool {
	return c.g.Served != nil && !c.judged && c.status < 400 && c.route.Op == wire.Infer
}

// judge looks at an answer whose beginning waits. It returns what may go on:
// nothing as long as nobody has said who gave it. end says that no more comes.
func (c *call) judge(more []byte, end bool) []byte {
	had := c.kept.Len()
	c.take(more)
	all := func() []byte {
		if c.kept.Len()-had == len(more) {
			return c.kept.Bytes() // kept whole
		}
		return slices.Concat(c.kept.Bytes(), more[c.kept.Len()-had:])
	}
	served := c.tally.Served
	if end {
		served = c.heard().Served // one JSON text is read when it is whole
	}
	limit := maxKept
	if c.tally.Streams() {
		limit = maxWait
	}
	if served == "" && !end && c.kept.Len() < limit {
		return nil
	}
	c.judged = true
	m := c.model
	m.Served = served
	if !c.servedOtherwise(m) {
		return all()
	}
	if r := c.g.Served(c.provider.Name, served); r.Verdict != countersign.Allow {
		c.refused, c.partial = &r, "policy refuses the model that answered"
		c.message = "policy refuses the answer: " + leaf.Clip(served) + " gave it in place of " + c.model.Provider + "/" + c.model.Requested + " (rule " + r.Rule + "): " + r.Reason
		return nil
	}
	return all()
}

// instead answers in the place of an answer that policy refuses.
func (c *call) instead() {
	for name := range c.w.Header() {
		c.w.Header().Del(name)
	}
	c.answer(c.wire.Refuse(c.route, wire.Policy, "Countersign: "+c.message), true)
}

// heard is what the answer said, read to its end once.
func (c *call) heard() wire.Answer {
	if c.said == nil {
		said := wire.Answer{}
		if c.tally != nil {
			c.catchUp()
			said = c.tally.End()
		}
		c.said = &said
	}
	return *c.said
}

// begin writes the status before the first byte.
func (c *call) begin(status int) {
	if !c.begun {
		c.begun = true
		c.w.WriteHeader(status)
	}
}
