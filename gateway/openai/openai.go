// Package openai is the wire of OpenAI's Chat Completions and Responses: which
// paths it has, what policy must see of a request, where its strings stand, what
// its answers say of tokens, and how its agents are refused. Many other
// providers speak it.
//
// It promises that encrypted reasoning is never offered for an edit, and that a
// tool type it does not know counts as one that runs at the provider.
//
// It is pure, as package wire is.
package openai

import (
	"iter"
	"net/http"
	"strings"

	"github.com/countersign/countersign/gateway/wire"
)

// Wire is both protocols, for agents and providers.
type Wire struct{}

// Name is "openai".
func (Wire) Name() string { return "openai" }

// The names of the routes in records.
const (
	chat      = "openai-chat"
	responses = "openai-responses"
)

// Route knows the paths below /v1.
func (Wire) Route(method, path string, _ http.Header) (wire.Route, bool) {
	rest, ok := strings.CutPrefix(path, "/v1/")
	if !ok {
		return wire.Route{}, false
	}
	return route(method, path, rest)
}

// route finds the route of what stands after a prefix of the wire's paths.
func route(method, path, rest string) (wire.Route, bool) {
	rt := wire.Route{Wire: "openai", Name: chat}
	post, get := method == http.MethodPost, method == http.MethodGet
	switch {
	case post && rest == "chat/completions", post && rest == "completions":
	case post && rest == "responses":
		rt.Name = responses
	case get && rest == "responses":
		rt.Name, rt.Op = responses, wire.Socket
	case post && rest == "responses/input_tokens":
		rt.Name, rt.Op = responses, wire.Count
	case post && rest == "responses/compact":
		rt.Name = responses
	case post && rest == "embeddings":
		rt.Name, rt.Op = "openai-embeddings", wire.Count
	case strings.HasPrefix(rest, "responses/"):
		rt.Name, rt.Op, rt.Side = responses, wire.Side, wire.Feature{Kind: wire.StoredResponses, Detail: "fetch"}
	case rest == "conversations" || strings.HasPrefix(rest, "conversations/"):
		rt.Name, rt.Op, rt.Side = responses, wire.Side, wire.Feature{Kind: wire.StoredResponses, Detail: "conversations"}
	case rest == "batches" || strings.HasPrefix(rest, "batches/"):
		rt.Name, rt.Op, rt.Side = "openai-batch", wire.Side, wire.Feature{Kind: wire.Batch, Detail: "batches"}
	case get && rest == "models":
		rt.Name, rt.Op = "openai-models", wire.List
	case get && strings.HasPrefix(rest, "models/"):
		var ok bool
		rt.Name, rt.Op, rt.From, rt.To = "openai-models", wire.Look, len(path)-len(rest)+len("models/"), len(path)
		rt.Model, ok = wire.PathModel(path[rt.From:])
		return rt, ok
	default:
		return wire.Route{}, false
	}
	return rt, true
}

// Models yields the entries of the list.
func (Wire) Models(_ wire.Route, answer *wire.Doc) (wire.Value, iter.Seq2[string, wire.Value]) {
	list := answer.Root().Get("data")
	return list, wire.Entries(list, func(v wire.Value) string { return v.Get("id").Text() })
}

// Rename puts a prefix in front of the id.
func (Wire) Rename(_ wire.Route, entry wire.Value, prefix string) []wire.Edit {
	return wire.InFront(entry.Get("id"), 0, prefix)
}

type failure struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    string  `json:"code"`
}

const code = "countersign_refused"

// Refuse answers {"error":{…}}. Codex tries again on 429 whatever it is told, so
// that a spent budget is 400 on the wire that it speaks.
func (Wire) Refuse(rt wire.Route, why wire.Reason, text string) wire.Refusal {
	status, kind := why.Status(), why.Kind()
	if why == wire.Budget {
		kind = "insufficient_quota"
		if rt.Name == responses {
			status = http.StatusBadRequest
		}
	}
	return wire.Refusal{Status: status, Body: wire.Envelope(map[string]any{"error": failure{text, kind, nil, code}})}
}

// Cut is response.failed in the one protocol, an error in place of a chunk in
// the other.
func (Wire) Cut(rt wire.Route, media, text string) []byte {
	if !strings.HasPrefix(media, "text/event-stream") {
		return nil
	}
	if rt.Name != responses {
		return frame("", map[string]any{"error": failure{text, "server_error", nil, "upstream_cut"}})
	}
	failed := map[string]any{
		"object": "response", "status": "failed", "output": []any{},
		"error": map[string]string{"code": "server_error", "message": text},
	}
	return frame("event: response.failed\n", map[string]any{"type": "response.failed", "response": failed})
}

func frame(event string, v any) []byte {
	return append(append([]byte(event+"data: "), wire.Envelope(v)...), "\n\n"...)
}

// Ping is a comment of the event stream (WHATWG HTML, section 9.2.6).
func (Wire) Ping(_ wire.Route, media string) []byte {
	if !strings.HasPrefix(media, "text/event-stream") {
		return nil
	}
	return []byte(": countersign\n\n")
}

// Serves reports true for both protocols.
func (Wire) Serves(w string) bool { return w == "openai" }

// Path leaves /v1 to base_url.
func (Wire) Path(_, path string) string { return strings.TrimPrefix(path, "/v1") }

// Authorize sets a bearer token.
func (Wire) Authorize(h http.Header, key string) { h.Set("Authorization", "Bearer "+key) }

// Base takes any path: providers end it in /v1, or otherwise.
func (Wire) Base(string) (wrong, remedy string) { return "", "" }
