package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"sync"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/aside"
	"github.com/countersign/countersign/gateway/leaf"
)

// Listing is what one provider offers, a contract as JSON.
type Listing struct {
	Provider string `json:"provider"`
	Wire     string `json:"wire"`
	BaseURL  string `json:"base_url"`
	// Found says that nobody configured it: it was found on this machine.
	Found     bool      `json:"found"`
	Local     bool      `json:"local"`
	Reachable bool      `json:"reachable"`
	Error     string    `json:"error,omitempty"`
	Models    []Offered `json:"models"`
}

// Offered is one model and what policy says of it.
type Offered struct {
	ID      string `json:"id"`
	Allowed bool   `json:"allowed"`
	Rule    string `json:"rule"`
	Reason  string `json:"reason"`
}

// surveyTime bounds the wait for one provider's list.
const surveyTime = 10 * time.Second

// Survey asks every provider for its models, with a record of each call as of any
// other. A provider that may not be reached is not.
func Survey(ctx context.Context, o Options) []Listing {
	g := newGateway(o)
	all := g.providers(ctx)
	out := make([]Listing, len(all))
	var wg sync.WaitGroup
	for i, p := range all {
		out[i] = Listing{Provider: p.Name, Wire: p.Wire, BaseURL: p.BaseURL, Found: p.found, Local: p.Local(), Models: []Offered{}}
		if g.LocalOnly != nil && !p.Local() {
			out[i].Error = g.LocalOnly.Reason
			continue
		}
		wg.Go(func() { g.survey(ctx, p, &out[i]) })
	}
	wg.Wait()
	return out
}

func (g *gateway) survey(ctx context.Context, p *Provider, out *Listing) {
	ctx, cancel := context.WithTimeout(ctx, surveyTime)
	defer cancel()
	for _, at := range listPaths(p) {
		answer := &aside.Answer{}
		r := (&http.Request{Method: http.MethodGet, URL: &url.URL{Path: at.path}, Header: http.Header{}, Body: http.NoBody}).WithContext(ctx)
		if at.wire == "anthropic" {
			r.Header.Set("Anthropic-Version", "2023-06-01")
		}
		c := &call{g: g, w: answer, r: r}
		c.wire, c.route, _ = g.routeOf(r)
		c.model.Wire = c.route.Name
		_, doc, ok := c.fetch(p)
		if !ok {
			out.Error = said(answer.Body)
			if c.status == http.StatusNotFound {
				continue // LM Studio has not Ollama's own list
			}
			return
		}
		out.Reachable, out.Error = true, ""
		_, entries := c.wire.Models(c.route, doc)
		for id, entry := range entries {
			r := g.listed(ctx, p, id, entry)
			out.Models = append(out.Models, Offered{ID: leaf.Clip(id), Allowed: r.Verdict == countersign.Allow, Rule: r.Rule, Reason: r.Reason})
		}
		return
	}
}

// listPaths are where a provider may have its list.
func listPaths(p *Provider) []struct{ wire, path string } {
	type place = struct{ wire, path string }
	switch p.Wire {
	case "ollama":
		return []place{{"ollama", "/api/tags"}, {"openai", "/v1/models"}}
	case "gemini":
		return []place{{"gemini", "/v1beta/models"}}
	case "azure":
		return []place{{"azure", "/openai/v1/models"}}
	}
	return []place{{p.Wire, "/v1/models"}}
}

// said is the sentence of an answer of the gateway's own.
func said(body []byte) string {
	var v struct{ Error any }
	_ = json.Unmarshal(body, &v) // ours
	switch e := v.Error.(type) {
	case string:
		return e
	case map[string]any:
		if s, ok := e["message"].(string); ok {
			return s
		}
	}
	return "it does not answer"
}
