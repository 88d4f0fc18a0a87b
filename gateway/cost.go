package gateway

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"strings"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/leaf"
	"github.com/countersign/countersign/gateway/price"
	"github.com/countersign/countersign/gateway/wire"
)

// perToken is how many bytes of text are taken for one token where nobody
// counts: English text and code have three to five.
const perToken = 4

// perSecond is how many tokens of output a provider makes in a second of which
// nothing is heard, roughly: one that thinks, or whose answer comes in one piece.
const perSecond = 100

// unheard is what a call that was cut off before a word had been charged for:
// whoever hangs up on every answer must not spend unseen.
func unheard(took time.Duration) int64 { return int64(took/time.Second) * perSecond }

func tokensIn(bytes int) int64 { return int64((bytes + perToken - 1) / perToken) }

// traced notes when an attempt has left.
func (c *call) traced(ctx context.Context) context.Context {
	c.sent.Store(false)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() {
		c.left.Store(true)
		c.sent.Store(true)
	}})
}

// used is what an answer used, and whether a part of it is estimated. ok is
// false where nothing is owed: an error, or a request that did not arrive.
func (c *call) used(said wire.Answer) (t price.Tokens, estimated, ok bool) {
	k := said.Counts
	t = price.Tokens{Input: k.Input, Output: k.Output, CacheRead: k.CacheRead, CacheWrite: k.CacheWrite, CacheWriteLong: k.CacheWriteLong, Reasoning: k.Reasoning}
	infers := c.route.Op == wire.Infer
	switch {
	case c.status >= http.StatusMultipleChoices || c.status != 0 && c.status < http.StatusOK || c.status == 0 && !c.sent.Load():
		return t, false, false
	case !infers:
		return t, false, k.Said
	case k.Said && c.partial == "":
		return t, false, true
	}
	// Cut off, or not counted: the provider bills it all the same.
	if !k.Said {
		t.Input = tokensIn(c.size)
	}
	heard := len(said.Text) + len(said.Thinking)
	for _, call := range said.Calls {
		heard += len(call.Name) + len(call.Input)
	}
	t.Output = max(t.Output, tokensIn(heard))
	if heard == 0 && c.partial != "" {
		t.Output = max(t.Output, min(c.most, unheard(c.g.Now().Sub(c.began))))
	}
	return t, true, true
}

// priced is the cost of what was used, for the record.
func (c *call) priced(said wire.Answer, t price.Tokens, estimated bool) (*countersign.Cost, price.Cost) {
	table := c.g.Config.Prices
	cost := table.Cost(c.priceOf(said.Served, said.Tier, t))
	out := &countersign.Cost{Table: table.Version(), Price: leaf.Clip(cost.Line), Unknown: leaf.Clip(cost.Why), Estimated: estimated}
	if cost.Known {
		n := int64(cost.Nano)
		out.NanoUSD, out.USD = &n, cost.Nano.String()
	}
	for f, word := range c.features {
		if word == "allow" && strings.HasPrefix(f, wire.ServerTools+"/") {
			out.Excludes = []string{wire.ServerTools}
		}
	}
	return out, cost
}

func (c *call) priceOf(served, tier string, t price.Tokens) price.Call {
	p := c.provider
	return price.Call{Provider: p.Name, List: p.list, Requested: c.model.Requested, Served: served, Deployment: p.Wire == "azure", Tier: tier, Tokens: t}
}
