package gateway

import (
	"context"
	"net/http"
	"slices"
	"strings"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/aliases"
	"github.com/countersign/countersign/gateway/nearby"
	"github.com/countersign/countersign/gateway/wire"
	"github.com/countersign/countersign/internal/loopback"
)

// providers are those of the configuration, in its order, and behind them the
// servers that were found on this machine.
func (g *gateway) providers(ctx context.Context) []*Provider {
	var out []*Provider
	for i := range g.Config.Providers {
		out = append(out, &g.Config.Providers[i])
	}
	if g.Nearby == nil || !g.Config.FindLocal {
		return out
	}
	servers := g.Nearby(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	var found []*Provider
	for _, s := range servers {
		if p := g.known(s); p != nil {
			found = append(found, p)
		}
	}
	g.found = found
	return append(out, found...)
}

// known is the provider that a found server is; nil for one that is configured,
// or whose name is.
func (g *gateway) known(s nearby.Server) *Provider {
	for _, p := range g.found {
		if p.Name == s.Name && p.BaseURL == s.URL {
			return p
		}
	}
	p := &Provider{Name: s.Name, Wire: "ollama", BaseURL: s.URL, found: true, compatible: s.Name != "ollama"}
	if err := p.check("", nil); err != nil {
		return nil
	}
	for i := range g.Config.Providers {
		if c := &g.Config.Providers[i]; c.Name == p.Name || c.base.Port() == p.base.Port() && c.Local() {
			return nil
		}
	}
	return p
}

// serves reports whether the provider has the paths of a wire.
func (p *Provider) serves(wire string) bool {
	return p.vendor.Serves(wire) && (wire != "ollama" || !p.compatible)
}

// Local reports whether the provider is on this machine.
func (p *Provider) Local() bool { return loopback.Is(p.base.Hostname()) }

// serving are the providers of a wire that may be asked at all.
func (g *gateway) serving(ctx context.Context, wire string) []*Provider {
	return slices.DeleteFunc(g.providers(ctx), func(p *Provider) bool {
		return !p.serves(wire) || g.LocalOnly != nil && !p.Local()
	})
}

// first returns the first provider that serves a wire, or nil.
func (g *gateway) first(ctx context.Context, wire string) *Provider {
	if all := g.serving(ctx, wire); len(all) > 0 {
		return all[0]
	}
	return nil
}

// choose finds the provider: the one whose name stands before the model's, or
// else the first of the wire that the policy allows the model to.
func (g *gateway) choose(ctx context.Context, wire, requested string) (*Provider, string, countersign.Ruling) {
	all := slices.DeleteFunc(g.providers(ctx), func(p *Provider) bool { return !p.serves(wire) })
	name, rest, prefixed := strings.Cut(requested, "/")
	for _, p := range all {
		if prefixed && p.Name == name && rest != "" {
			return p, rest, g.permits(ctx, p, rest)
		}
	}
	var ruling countersign.Ruling
	for i, p := range all {
		r := g.permits(ctx, p, requested)
		if r.Verdict == countersign.Allow {
			return p, requested, r
		}
		if i == 0 {
			ruling = r
		}
	}
	if len(all) == 0 {
		return nil, requested, noProvider(wire)
	}
	return all[0], requested, ruling
}

func noProvider(wire string) countersign.Ruling {
	return countersign.Ruling{Verdict: countersign.Deny, Rule: "gateway-provider", Reason: "no provider of the wire " + wire + " is in gateway.yaml"}
}

// permits asks policy of a model at a provider: what runs elsewhere is not asked
// of where only this machine may be reached.
func (g *gateway) permits(ctx context.Context, p *Provider, model string) countersign.Ruling {
	if g.LocalOnly == nil {
		return g.Allow(p.Name, model)
	}
	if !p.Local() || cloudName(model) {
		return *g.LocalOnly
	}
	ruling := g.Allow(p.Name, model)
	if ruling.Verdict != countersign.Allow || p.compatible {
		return ruling
	}
	// Ollama serves the paths of others too, and may stand as one of these.
	elsewhere, err := g.aliases.Elsewhere(ctx, strings.TrimSuffix(p.base.String(), "/v1"), model, func(h http.Header) {
		if key, err := g.key(ctx, p); err == nil && key != "" {
			p.vendor.Authorize(h, key)
		}
	})
	switch {
	case err != nil && p.Wire == "ollama":
		ruling = *g.LocalOnly
		ruling.Reason += "; " + err.Error()
	case elsewhere:
		ruling = *g.LocalOnly
		ruling.Reason += "; " + p.Name + " has this model from its cloud"
	}
	return ruling
}

// cloudName reports whether a model has a name of those that Ollama runs in its
// cloud.
func cloudName(model string) bool {
	name := strings.ToLower(model)
	return strings.HasSuffix(name, "-cloud") || strings.HasSuffix(name, ":cloud")
}

// listed is permits for an entry of a list, which may say more than its name.
func (g *gateway) listed(ctx context.Context, p *Provider, name string, entry wire.Value) countersign.Ruling {
	if g.LocalOnly != nil && aliases.Says(entry) {
		return *g.LocalOnly
	}
	return g.permits(ctx, p, name)
}
