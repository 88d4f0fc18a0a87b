// Package azure is OpenAI's wire as Azure serves it: the same bodies on paths of
// its own, with the deployment in the path, the api-version in the query and the
// key in the header api-key.
//
// It promises that the model policy speaks of is the deployment where the path
// names one, and that a body which names another is refused.
//
// It is pure, as package wire is.
package azure

import (
	"net/http"
	"strings"

	"github.com/countersign/countersign/gateway/wire"
)

// Wire is Azure's paths over OpenAI's bodies.
type Wire struct {
	wire.Wire // OpenAI's
}

// Name is "azure".
func (Wire) Name() string { return "azure" }

const deployments = "/openai/deployments/"

// Route knows /openai/deployments/NAME/…, /openai/v1/… and, for Responses with
// an api-version, /openai/….
func (w Wire) Route(method, path string, h http.Header) (wire.Route, bool) {
	rest, below := strings.CutPrefix(path, deployments)
	if below {
		// The name may hold slashes: the operation is what stands last.
		for _, op := range []string{"chat/completions", "completions", "embeddings"} {
			name, ok := strings.CutSuffix(rest, "/"+op)
			if !ok || method != http.MethodPost {
				continue
			}
			rt, ok := w.Wire.Route(method, "/v1/"+op, h)
			rt.From, rt.To = len(deployments), len(deployments)+len(name)
			var good bool
			rt.Model, good = wire.PathModel(name)
			return ours(rt), ok && good
		}
		return wire.Route{}, false
	}
	rest, ok := strings.CutPrefix(path, "/openai/")
	if !ok {
		return wire.Route{}, false
	}
	moved := 0
	if after, v1 := strings.CutPrefix(rest, "v1/"); v1 {
		rest, moved = after, len("/openai")
	} else {
		moved = len("/openai/") - len("/v1/")
	}
	rt, ok := w.Wire.Route(method, "/v1/"+rest, h)
	if rt.To > 0 {
		rt.From, rt.To = rt.From+moved, rt.To+moved
	}
	return ours(rt), ok
}

func ours(rt wire.Route) wire.Route {
	rt.Wire, rt.Name = "azure", "azure-"+strings.TrimPrefix(rt.Name, "openai-")
	return rt
}

func theirs(rt wire.Route) wire.Route {
	rt.Wire, rt.Name = "openai", "openai-"+strings.TrimPrefix(rt.Name, "azure-")
	return rt
}

// Peek is OpenAI's, with the model of the path where one is there.
func (w Wire) Peek(rt wire.Route, body *wire.Doc) (wire.Request, error) {
	return w.Wire.Peek(theirs(rt), body)
}

// Walk is OpenAI's.
func (w Wire) Walk(rt wire.Route, body *wire.Doc, visit func(wire.String) bool) {
	w.Wire.Walk(theirs(rt), body, visit)
}

// Meter is OpenAI's.
func (w Wire) Meter(rt wire.Route, media string) *wire.Tally {
	return w.Wire.Meter(theirs(rt), media)
}

// Refuse is OpenAI's.
func (w Wire) Refuse(rt wire.Route, why wire.Reason, text string) wire.Refusal {
	return w.Wire.Refuse(theirs(rt), why, text)
}

// Cut is OpenAI's.
func (w Wire) Cut(rt wire.Route, media, text string) []byte {
	return w.Wire.Cut(theirs(rt), media, text)
}

// Ping is OpenAI's.
func (w Wire) Ping(rt wire.Route, media string) []byte {
	return w.Wire.Ping(theirs(rt), media)
}

// Serves reports true for OpenAI's paths too: they stand below /openai/v1.
func (Wire) Serves(w string) bool { return w == "azure" || w == "openai" }

// Path puts OpenAI's own paths below /openai.
func (Wire) Path(w, path string) string {
	if w == "openai" {
		return "/openai" + path
	}
	return path
}

// Authorize sets api-key.
func (Wire) Authorize(h http.Header, key string) { h.Set("Api-Key", key) }

// Base wants the endpoint alone.
func (Wire) Base(path string) (wrong, remedy string) {
	if strings.Contains(path, "/openai") {
		return "ends in " + path[strings.Index(path, "/openai"):], "write the endpoint alone (https://NAME.openai.azure.com): the rest is in the request's path"
	}
	return "", ""
}
