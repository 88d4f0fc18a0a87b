package gateway

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/budget"
	"github.com/countersign/countersign/gateway/price"
	"github.com/countersign/countersign/gateway/wire"
)

// What is reserved for a call before anybody can count: a prompt of a token to
// every three bytes, and what the request lets the model say at most, or, where
// it does not say, this.
const (
	perTokenAtMost = 3
	outputUnsaid   = 8192
)

// who makes the call, as budgets count it. The holder of a standing gateway's
// token is a session of its own.
func (c *call) who() budget.Who {
	if h := c.holder; h.Name != "" {
		w := budget.Who{Session: "token:" + h.Name, Project: h.Project, User: h.User}
		if w.User == "" {
			w.User = w.Session
		}
		return w
	}
	return budget.Who{Session: c.g.Session, Project: c.g.Project, User: c.g.User}
}

// need is what the call may use at most.
func (c *call) need(body []byte) budget.Need {
	in, out := int64(len(body)+perTokenAtMost-1)/perTokenAtMost, c.most
	if c.route.Op != wire.Infer {
		out = 0
	}
	n := budget.Need{Provider: c.provider.Name, Model: c.model.Requested, Tokens: in + out}
	if c.route.Op == wire.Side {
		return n // a batch is billed later, and unseen
	}
	for _, t := range []price.Tokens{{Input: in, Output: out}, {CacheWrite: in, Output: out}, {Input: min(in, 100_000), Output: out}} {
		for _, tier := range []string{"", c.tier} {
			if cost := c.g.Config.Prices.Cost(c.priceOf("", tier, t)); cost.Known {
				n.Priced, n.NanoUSD = true, max(n.NanoUSD, int64(cost.Nano))
			}
		}
	}
	return n
}

// reserve asks the budgets, and answers where one refuses.
func (c *call) reserve(body []byte) bool {
	switch op := c.route.Op; {
	case c.g.Budget == nil, op == wire.List, op == wire.Look, op == wire.Count && !strings.Contains(c.route.Name, "embed"), op == wire.Side && (c.route.Side.Kind != wire.Batch || c.r.Method != http.MethodPost):
		return true // nobody pays for it
	}
	need := c.need(body)
	hold, no, err := c.g.Budget.Reserve(c.who(), need)
	switch {
	case err != nil:
		c.refuse(wire.Policy, "gateway-budget", "the budgets cannot be kept, so nothing was sent: "+countersign.RemedyOf(err))
		return false
	case no != nil:
		c.overBudget(no)
		return false
	}
	c.hold, c.needed = hold, need
	return true
}

// soon is how long a wait an agent is left to sit out.
const soon = time.Minute

// overBudget records a refusal and answers so that agents wait where that helps
// and stop where it does not.
func (c *call) overBudget(no *budget.Refusal) {
	ruling := no.Limit.Ruling
	ruling.Reason = no.String() + ": " + ruling.Reason
	why, wait := wire.Budget, time.Duration(0)
	switch {
	case no.What == budget.Price:
		why = wire.Policy
	case no.Busy():
		why, wait = wire.Rate, time.Second
	case no.Wait > 0 && no.Wait <= soon:
		why, wait = wire.Rate, no.Wait
	}
	if _, err := c.g.append(c.r.Context(), c.request(ruling, 0, nil), true); err != nil {
		c.shut(err)
		return
	}
	out := c.wire.Refuse(c.route, why, "Countersign: budget "+ruling.Rule+": "+ruling.Reason)
	if why == wire.Rate {
		c.w.Header().Set("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
	}
	// The AI SDK does not hear X-Should-Retry and tries again on every 429.
	if ua := c.r.UserAgent(); why == wire.Budget && (strings.Contains(ua, "ai-sdk/") || strings.Contains(ua, "opencode/")) {
		out.Status = http.StatusBadRequest
	}
	c.answer(out, why != wire.Rate)
}

// settle puts what was used in the place of what was reserved: nothing, where
// nothing is owed. A failure leaves the reservation, which counts.
func (c *call) settle(used *price.Tokens, cost price.Cost) {
	hold := c.hold
	c.hold = budget.Hold{}
	switch {
	case used == nil:
		_ = hold.Settle(0, 0)
	case !cost.Known:
		_ = hold.Settle(c.needed.NanoUSD, used.All()) // the model that answered has no price
	default:
		_ = hold.Settle(int64(cost.Nano), used.All())
	}
}
