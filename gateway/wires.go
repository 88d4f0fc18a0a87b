package gateway

import (
	"net/http"
	"strings"

	"github.com/countersign/countersign/gateway/anthropic"
	"github.com/countersign/countersign/gateway/azure"
	"github.com/countersign/countersign/gateway/envelope"
	"github.com/countersign/countersign/gateway/gemini"
	"github.com/countersign/countersign/gateway/ollama"
	"github.com/countersign/countersign/gateway/openai"
	"github.com/countersign/countersign/gateway/wire"
)

// wires are the protocols of this version, in the order in which a path is
// offered to them.
func wires() []wire.Wire {
	return []wire.Wire{anthropic.Wire{}, openai.Wire{}, azure.Wire{Wire: openai.Wire{}}, gemini.Wire{}, ollama.Wire{}}
}

func vendor(name string) wire.Vendor {
	for _, w := range wires() {
		if v, ok := w.(wire.Vendor); ok && w.Name() == name {
			return v
		}
	}
	return nil
}

// routeOf finds the wire and the route of a request. Where there is none, it
// returns the wire whose words the agent most likely reads.
func (g *gateway) routeOf(r *http.Request) (wire.Wire, wire.Route, bool) {
	path := r.URL.EscapedPath()
	for _, w := range g.wires {
		if rt, ok := w.Route(r.Method, path, r.Header); ok && envelope.Straight(path) {
			return w, rt, true
		}
	}
	guess := "openai"
	switch {
	case r.Header.Get("Anthropic-Version") != "" || strings.HasPrefix(path, "/v1/messages"):
		guess = "anthropic"
	case strings.HasPrefix(path, "/v1beta") || strings.HasPrefix(path, "/v1alpha") || r.Header.Get("X-Goog-Api-Key") != "":
		guess = "gemini"
	case strings.HasPrefix(path, "/api/"):
		guess = "ollama"
	case strings.HasPrefix(path, "/openai/"):
		guess = "azure"
	}
	for _, w := range g.wires {
		if w.Name() == guess {
			return w, wire.Route{Wire: guess, Name: guess}, false
		}
	}
	return g.wires[0], wire.Route{}, false
}
