// Package anthropic is the wire of Anthropic's Messages API: which paths it has,
// what policy must see of a request, where its strings stand, what its answers
// say of tokens, and how its agents are refused.
//
// It promises that a signed or encrypted block (thinking, redacted_thinking,
// encrypted_content) is never offered for an edit, and that a tool type it does
// not know counts as one that runs at the provider.
//
// It is pure, as package wire is.
package anthropic

import (
	"iter"
	"net/http"
	"strings"

	"github.com/countersign/countersign/gateway/wire"
)

// Wire is Messages, for agents and providers.
type Wire struct{}

// Name is "anthropic".
func (Wire) Name() string { return "anthropic" }

// Route knows messages, count_tokens, batches of messages, and the list of
// models where the client says it is Anthropic's.
func (Wire) Route(method, path string, h http.Header) (wire.Route, bool) {
	rt := wire.Route{Wire: "anthropic", Name: "anthropic"}
	switch {
	case method == http.MethodPost && path == "/v1/messages":
	case method == http.MethodPost && path == "/v1/messages/count_tokens":
		rt.Name, rt.Op = "anthropic-count", wire.Count
	case path == "/v1/messages/batches" || strings.HasPrefix(path, "/v1/messages/batches/"):
		rt.Name, rt.Op, rt.Side = "anthropic-batch", wire.Side, wire.Feature{Kind: wire.Batch, Detail: "messages"}
	case h.Get("Anthropic-Version") == "" || method != http.MethodGet:
		// The list of models has one path in two wires; the header tells.
		return wire.Route{}, false
	case path == "/v1/models":
		rt.Name, rt.Op = "anthropic-models", wire.List
	case strings.HasPrefix(path, "/v1/models/"):
		var ok bool
		rt.Name, rt.Op, rt.From, rt.To = "anthropic-models", wire.Look, len("/v1/models/"), len(path)
		rt.Model, ok = wire.PathModel(path[rt.From:])
		return rt, ok
	default:
		return wire.Route{}, false
	}
	return rt, true
}

// Peek reads model, stream and the features of a request; of a batch, those of
// each of its requests.
func (Wire) Peek(rt wire.Route, body *wire.Doc) (wire.Request, error) {
	if body == nil {
		return wire.Request{Model: rt.Model}, nil
	}
	root := body.Root()
	if rt.Op != wire.Side {
		r, err := wire.NewRequest(rt, body, "model")
		r.Stream = root.Get("stream").Kind() == wire.True
		s := sight{wire.Sight{Request: &r}}
		s.params(root)
		s.Fail(err)
		return r, s.Err
	}
	r := wire.Request{}
	s := sight{wire.Sight{Request: &r, Err: root.Once("requests")}}
	for one := range root.Get("requests").Items() {
		s.Fail(one.Once("params"))
		params := one.Get("params")
		s.params(params)
		r.Others = append(r.Others, params.Get("model").Text())
	}
	return r, s.Err
}

func (s *sight) params(root wire.Value) {
	s.Fail(root.Once("model", "models", "stream", "tools", "messages", "system", "mcp_servers", "container", "plugins"))
	others, err := wire.Names(root.Get("models")) // a relay's, asked in the first one's place
	s.Fail(err)
	s.Request.Others = append(s.Request.Others, others...)
	if root.Get("plugins").Given() {
		s.Add(wire.ServerTools, "plugins")
	}
	if root.Get("mcp_servers").Given() {
		s.Add(wire.RemoteMCP, "mcp_servers")
	}
	if root.Get("container").Given() {
		s.Add(wire.ServerTools, "container")
	}
	for tool := range root.Get("tools").Items() {
		s.tool(tool)
	}
	s.content(root.Get("system"))
	for m := range root.Get("messages").Items() {
		s.Fail(m.Once("role", "content", "tools"))
		// A message may bring tools of its own.
		for tool := range m.Get("tools").Items() {
			s.tool(tool)
		}
		s.content(m.Get("content"))
	}
}

// sight collects what happens out of the gateway's sight.
type sight struct{ wire.Sight }

// clientTools are the tools that Anthropic defines and the client runs, and the
// search among the request's own tools, which sees nothing else.
var clientTools = []string{"custom", "bash_", "text_editor_", "computer_", "memory_", "tool_search_tool_"}

func (s *sight) tool(v wire.Value) {
	s.Fail(v.Once("type", "name"))
	typ := v.Get("type").Text()
	if !v.Get("type").Given() {
		return
	}
	for _, p := range clientTools {
		if typ == p || strings.HasSuffix(p, "_") && strings.HasPrefix(typ, p) {
			return
		}
	}
	if strings.HasPrefix(typ, "mcp_") {
		s.Add(wire.RemoteMCP, typ)
	} else {
		s.Add(wire.ServerTools, typ)
	}
}

// serverTypes begin the types of tools that the provider runs, wherever in a
// message a definition of one may stand.
var serverTypes = []string{"web_search_2", "web_fetch_2", "code_execution_2", "mcp_toolset"}

// content looks at blocks: sources the provider fetches, and definitions of
// tools. What the model told a tool is the tool's, not the protocol's.
func (s *sight) content(v wire.Value) {
	for b := range v.Items() {
		s.content(b)
	}
	if v.Kind() != wire.Object {
		return
	}
	s.Fail(v.Once("type", "source", "content"))
	typ := v.Get("type").Text()
	for _, p := range serverTypes {
		if strings.HasPrefix(typ, p) {
			s.tool(v)
		}
	}
	switch {
	case typ == "tool_use" || typ == "server_tool_use" || typ == "mcp_tool_use":
		return
	case typ == "file" || typ == "url" || typ == "container_upload":
		s.Add(wire.RemoteFiles, typ)
	}
	for _, val := range v.Members() {
		s.content(val)
	}
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
	Type  string  `json:"type"`
	Error message `json:"error"`
}

type message struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

func envelope(kind, text string) []byte {
	return wire.Envelope(failure{"error", message{kind, text}})
}

// Refuse answers {"type":"error","error":{…}}.
func (Wire) Refuse(_ wire.Route, why wire.Reason, text string) wire.Refusal {
	return wire.Refusal{Status: why.Status(), Body: envelope(why.Kind(), text)}
}

// Cut is the event "error".
func (Wire) Cut(_ wire.Route, media, text string) []byte {
	if !strings.HasPrefix(media, "text/event-stream") {
		return nil
	}
	return append(append([]byte("event: error\ndata: "), envelope("api_error", text)...), "\n\n"...)
}

// Ping is the event "ping".
func (Wire) Ping(_ wire.Route, media string) []byte {
	if !strings.HasPrefix(media, "text/event-stream") {
		return nil
	}
	return []byte("event: ping\ndata: {\"type\":\"ping\"}\n\n")
}

// Serves reports true for Messages.
func (Wire) Serves(w string) bool { return w == "anthropic" }

// Path is the same: base_url is what stands before /v1.
func (Wire) Path(_, path string) string { return path }

// Authorize sets x-api-key.
func (Wire) Authorize(h http.Header, key string) { h.Set("X-Api-Key", key) }

// Base wants no /v1.
func (Wire) Base(path string) (wrong, remedy string) {
	if strings.HasSuffix(path, "/v1") {
		return "ends in /v1", "leave /v1 out: this wire's own SDK adds it"
	}
	return "", ""
}
