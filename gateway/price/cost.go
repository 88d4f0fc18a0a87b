package price

import (
	"strings"

	"github.com/countersign/countersign/internal/lazyre"
)

// Tokens is what a call used, each token in one class, but reasoning, which is a
// part of the output, and what is kept for an hour, a part of what is written to
// the cache.
type Tokens struct {
	Input, Output, CacheRead, CacheWrite, CacheWriteLong, Reasoning int64
}

// All is every token, each once.
func (t Tokens) All() int64 { return t.Input + t.Output + t.CacheRead + t.CacheWrite }

// Call is what is to be priced.
type Call struct {
	Provider  string // its name in gateway.yaml
	List      string // of the built-in table
	Requested string // model; a deployment's name at Azure
	Served    string // model that answered; may be empty
	// Deployment says that Requested is a company's own name for a model.
	Deployment bool
	Tier       string // service tier; several with slashes between
	Tokens     Tokens
}

// Cost is what a call costs.
type Cost struct {
	Known bool
	Nano  Nano
	Line  string // of the table: "list/model", or "company:" and the pattern
	Why   string // it is unknown
}

// maxTokens bounds a count that is believed.
const maxTokens = 1 << 40

// Cost prices a call.
func (t *Table) Cost(c Call) Cost {
	e := t.find(c)
	if e == nil {
		return Cost{Why: "no price is known for " + c.Provider + "/" + firstOf(c.Served, c.Requested)}
	}
	out := Cost{Line: e.name}
	scale, unknownTier := e.scale(c.Tier)
	if unknownTier != "" {
		out.Why = "no price is known for the service tier " + unknownTier
		return out
	}
	k := c.Tokens
	prompt := int64(0)
	for _, n := range []int64{k.Input, k.CacheRead, k.CacheWrite} {
		prompt += min(max(n, 0), maxTokens)
	}
	if e.above > 0 && prompt > e.above {
		out.Why = "no price is known for a prompt as long"
		return out
	}
	r := e.rates[0]
	for _, other := range e.rates[1:] {
		if prompt >= other.from {
			r = other
		}
	}
	var s sum
	for class, n := range r.split(k) {
		switch {
		case n < 0 || n > maxTokens:
			out.Why = "the counts of tokens make no sense"
			return out
		case n > 0 && r.price[class] == unknown:
			out.Why = "no price is known for " + classNames[class] + " tokens"
			return out
		case n > 0:
			s.add(n, r.price[class])
		}
	}
	per, ok := s.over(1_000_000)
	if ok && scale != one {
		per, ok = times(per, scale)
	}
	if !ok {
		out.Why = "the counts of tokens make no sense"
		return out
	}
	out.Known, out.Nano = true, per
	return out
}

var classNames = [classes]string{"input", "output", "cache read", "cache write", "one-hour cache write", "reasoning"}

func (r *rates) split(k Tokens) [classes]int64 {
	out := [classes]int64{input: k.Input, output: k.Output, read: k.CacheRead, write: k.CacheWrite - k.CacheWriteLong, writeLong: k.CacheWriteLong}
	if r.price[reasoning] != unknown {
		out[reasoning], out[output] = k.Reasoning, k.Output-k.Reasoning
	}
	return out
}

// scale is the product of the tiers' factors. What vendors call the ordinary
// tier is no tier.
func (e *entry) scale(tier string) (f factor, unknownTier string) {
	f = one
	for _, name := range strings.Split(strings.ToLower(tier), "/") {
		switch name {
		case "", "default", "standard", "auto", "on_demand":
			continue
		}
		by, ok := e.tiers[name]
		if !ok {
			return 0, name
		}
		if f, ok = times(f, by); !ok {
			return 0, name
		}
	}
	return f, ""
}

// find looks for the model that answered and only where the answer does not say
// it for the one that was asked for: who answers is who is paid.
func (t *Table) find(c Call) *entry {
	if t == nil {
		return nil
	}
	asked := firstOf(c.Served, c.Requested)
	for _, name := range names(asked) {
		if e := t.companyEntry(c.Provider, name); e != nil {
			return e
		}
	}
	if c.Deployment {
		if e := t.companyEntry(c.Provider, strings.ToLower(c.Requested)); e != nil {
			return e
		}
	}
	list := t.lists[c.List]
	for _, name := range names(asked) {
		if e := list[name]; e != nil {
			return e
		}
	}
	return t.bare(c.List)[bare(asked)]
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// stamp is the date or number that vendors put behind a model's name.
var stamp = lazyre.Compile(`(?:[-@](?:\d{8}|\d{4}-\d{2}-\d{2}|\d{2}-\d{4}|\d{2}-\d{2}|\d{3}|latest)|:latest)$`)

func bare(model string) string {
	model = strings.ToLower(strings.TrimPrefix(model, "models/"))
	if n := len(model); n == 0 || model[n-1] != 't' && (model[n-1] < '0' || model[n-1] > '9') {
		return strings.ReplaceAll(model, "@", "-") // the expression is slow
	}
	return stamp().ReplaceAllString(strings.ReplaceAll(model, "@", "-"), "")
}

// names are those under which a model may stand: with its date, and without.
func names(model string) []string {
	m := strings.ToLower(strings.TrimPrefix(model, "models/"))
	return []string{m, strings.ReplaceAll(m, "@", "-"), bare(m)}
}
