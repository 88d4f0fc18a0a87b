// Package ollama is the wire of Ollama's own API: which paths it has, what policy
// must see of a request, where its strings stand, what its answers say of
// tokens, and how its agents are refused. Its providers (Ollama, LM Studio) serve
// the paths of OpenAI and Anthropic too.
//
// It promises that only calls of models and looks at them have a route: none
// that pulls, pushes, makes or deletes a model.
//
// It is pure, as package wire is.
package ollama

import (
	"iter"
	"net/http"
	"strconv"
	"strings"

	"github.com/countersign/countersign/gateway/wire"
)

// Wire is /api/…, for agents and providers.
type Wire struct{}

// Name is "ollama".
func (Wire) Name() string { return "ollama" }

// Route knows chat, generate, embeddings, the list, one model and the version.
func (Wire) Route(method, path string, _ http.Header) (wire.Route, bool) {
	rt := wire.Route{Wire: "ollama", Name: "ollama-chat"}
	switch method + " " + path {
	case "POST /api/chat":
	case "POST /api/generate":
		rt.Name = "ollama-generate"
	case "POST /api/embed", "POST /api/embeddings":
		rt.Name, rt.Op = "ollama-embed", wire.Count
	case "GET /api/tags", "GET /api/ps":
		rt.Name, rt.Op = "ollama-models", wire.List
	case "POST /api/show":
		rt.Name, rt.Op = "ollama-models", wire.Look
	case "GET /api/version":
		rt.Name, rt.Op = "ollama-version", wire.Look
	case "POST /api/web_search", "POST /api/web_fetch":
		rt.Name, rt.Op, rt.Side = "ollama-web", wire.Side, wire.Feature{Kind: wire.ServerTools, Detail: strings.TrimPrefix(path, "/api/")}
	default:
		return wire.Route{}, false
	}
	return rt, true
}

// Peek reads model and stream, which is on unless it is turned off. Show of old
// clients says name in place of model.
func (Wire) Peek(rt wire.Route, body *wire.Doc) (wire.Request, error) {
	if body == nil || rt.Op == wire.Side {
		return wire.Request{}, nil
	}
	root := body.Root()
	// Ollama reads names without case: an other spelling would be a second one.
	if err := root.Once("model", "name", "stream", "messages"); err != nil {
		return wire.Request{}, err
	}
	name := "model"
	if rt.Op == wire.Look && !root.Get("model").Given() {
		name = "name"
	}
	r, err := wire.NewRequest(rt, body, name)
	r.Stream = rt.Op == wire.Infer && root.Get("stream").Kind() != wire.False
	return r, err
}

// Walk visits every string of a body.
func (Wire) Walk(_ wire.Route, body *wire.Doc, visit func(wire.String) bool) {
	w := &walker{wire.Walker{Visit: visit}}
	w.Each(body.Root(), wire.Other, func(name string, v wire.Value) {
		switch name {
		case "model", "name", "keep_alive":
			w.All(v, wire.Protocol, true)
		case "messages":
			w.Items(v, wire.User, w.message)
		case "prompt", "suffix", "input":
			w.All(v, wire.User, false)
		case "system", "template":
			w.All(v, wire.System, false)
		case "tools", "format":
			w.All(v, wire.ToolSchema, false)
		case "images":
			w.All(v, wire.Media, true)
		default:
			w.All(v, wire.Other, false)
		}
	})
}

type walker struct{ wire.Walker }

func (w *walker) message(v wire.Value) {
	place := wire.User
	switch v.Get("role").Text() {
	case "system":
		place = wire.System
	case "assistant":
		place = wire.Assistant
	case "tool":
		place = wire.ToolResult
	}
	w.Each(v, place, func(name string, v wire.Value) {
		switch name {
		case "role", "tool_name", "tool_call_id":
			w.All(v, wire.Protocol, true)
		case "thinking":
			w.All(v, wire.Thinking, true)
		case "tool_calls":
			w.All(v, wire.ToolCall, false)
		case "images":
			w.All(v, wire.Media, true)
		default:
			w.All(v, place, false)
		}
	})
}

// Meter reads lines, or a whole answer. No token is in two counts.
func (Wire) Meter(_ wire.Route, media string) *wire.Tally {
	calls := 0
	return wire.NewTally(media, func(t *wire.Tally, e wire.Value) {
		wire.Last(&t.Served, e.Get("model"))
		wire.Last(&t.Stop, e.Get("done_reason"))
		c, m := &t.Counts, e.Get("message")
		c.Set(&c.Input, e.Get("prompt_eval_count"))
		c.Set(&c.Output, e.Get("eval_count"))
		t.Say(m.Get("content").Borrow())
		t.Say(e.Get("response").Borrow())
		t.Think(m.Get("thinking").Borrow())
		t.Think(e.Get("thinking").Borrow())
		for call := range m.Get("tool_calls").Items() {
			f := call.Get("function")
			t.Call(strconv.Itoa(calls), call.Get("id").Text(), f.Get("name").Text(), string(f.Get("arguments").Raw()))
			calls++
		}
	}, nil)
}

// Models yields the entries of the list.
func (Wire) Models(_ wire.Route, answer *wire.Doc) (wire.Value, iter.Seq2[string, wire.Value]) {
	list := answer.Root().Get("models")
	return list, wire.Entries(list, func(v wire.Value) string {
		if name := v.Get("model").Text(); name != "" {
			return name
		}
		return v.Get("name").Text()
	})
}

// Rename puts a prefix in front of both names.
func (Wire) Rename(_ wire.Route, entry wire.Value, prefix string) []wire.Edit {
	return append(wire.InFront(entry.Get("name"), 0, prefix), wire.InFront(entry.Get("model"), 0, prefix)...)
}

func envelope(text string) []byte { return wire.Envelope(map[string]string{"error": text}) }

// Refuse answers {"error": text}.
func (Wire) Refuse(_ wire.Route, why wire.Reason, text string) wire.Refusal {
	return wire.Refusal{Status: why.Status(), Body: envelope(text)}
}

// Cut is a line with the error.
func (Wire) Cut(_ wire.Route, media, text string) []byte {
	if !strings.HasPrefix(media, "application/x-ndjson") {
		return nil
	}
	return append(envelope(text), '\n')
}

// Ping is nothing: each line is an answer.
func (Wire) Ping(wire.Route, string) []byte { return nil }

// Serves reports true for the paths of OpenAI and Anthropic too.
func (Wire) Serves(w string) bool { return w == "ollama" || w == "openai" || w == "anthropic" }

// Path is the same: base_url is what stands before /api and /v1.
func (Wire) Path(_, path string) string { return path }

// Authorize sets a bearer token.
func (Wire) Authorize(h http.Header, key string) { h.Set("Authorization", "Bearer "+key) }

// Base wants the server alone.
func (Wire) Base(path string) (wrong, remedy string) {
	for _, v := range []string{"/v1", "/api"} {
		if strings.HasSuffix(path, v) {
			return "ends in " + v, "leave " + v + " out: the server has both"
		}
	}
	return "", ""
}
