package openai

import (
	"slices"
	"strings"

	"github.com/countersign/countersign/gateway/wire"
)

// Peek reads model, stream and the features of a request.
func (Wire) Peek(rt wire.Route, body *wire.Doc) (wire.Request, error) {
	if rt.Op == wire.Side || body == nil {
		return wire.Request{Model: rt.Model}, nil
	}
	root := body.Root()
	names := append([]string{"model", "models", "stream", "store", "background", "tools", "messages", "input", "previous_response_id", "conversation", "prompt", "preset"}, atProvider...)
	if err := root.Once(names...); err != nil {
		return wire.Request{}, err
	}
	r, err := wire.NewRequest(rt, body, "model")
	if err != nil {
		return r, err
	}
	r.Stream = root.Get("stream").Kind() == wire.True
	s := sight{wire.Sight{Request: &r}}
	s.tools(root.Get("tools"))
	r.Others, err = wire.Names(root.Get("models")) // asked in the first one's place
	s.Fail(err)
	if strings.HasSuffix(strings.ToLower(r.Model), ":online") { // OpenRouter's short form of a plugin
		s.Add(wire.ServerTools, "online")
	}
	for _, name := range atProvider {
		if v := root.Get(name); v.Given() && v.Kind() != wire.False {
			s.Add(wire.ServerTools, name)
		}
	}
	if k := root.Get("background").Kind(); k != wire.None && k != wire.False && k != wire.Null {
		s.Add(wire.Background, "background")
	}
	s.store(rt, root)
	s.content(root.Get("messages"))
	s.content(root.Get("input"))
	return r, s.Err
}

// atProvider are fields by which providers search, fetch or run in a tool's place:
// OpenAI's, OpenRouter's, Azure's own data, xAI's, Groq's, DashScope's, and
// what of Google's own comes within OpenAI's.
var atProvider = []string{
	"web_search_options", "plugins", "data_sources", "dataSources", "search_parameters", "search_settings", "compound_custom",
	"enable_search", "search_options", "extra_body",
}

// sight collects what happens out of the gateway's sight.
type sight struct{ wire.Sight }

// store looks at what the provider keeps. Responses keeps an answer unless it is
// told not to; that much can be told in the agent's place.
func (s *sight) store(rt wire.Route, root wire.Value) {
	for _, name := range []string{"previous_response_id", "conversation", "preset"} {
		if root.Get(name).Given() {
			s.Add(wire.StoredResponses, name)
		}
	}
	if rt.Name == responses && root.Get("prompt").Given() {
		s.Add(wire.StoredResponses, "prompt")
	}
	switch v := root.Get("store"); {
	case v.Kind() == wire.False:
	case v.Given():
		s.Add(wire.StoredResponses, "store")
	case rt.Name != responses || rt.Op != wire.Infer || v.Kind() == wire.Null:
	default:
		from, _ := root.Range()
		off := &wire.Edit{From: from + 1, To: from + 1, With: []byte(`"store":false,`)}
		s.Request.Features = append(s.Request.Features, wire.Feature{Kind: wire.StoredResponses, Detail: "by-default", Off: off})
	}
}

// clientTools are the types of tools that the client runs.
var clientTools = []string{
	"function", "custom", "local_shell", "apply_patch", "computer", "computer_use_preview", "computer-preview", "namespace",
}

func (s *sight) tools(list wire.Value) {
	for v := range list.Items() {
		if err := v.Once("type", "tools", "environment", "execution"); err != nil {
			s.Fail(err)
			return
		}
		typ := v.Get("type").Text()
		switch {
		case slices.Contains(clientTools, typ):
		case typ == "shell" && (!v.Get("environment").Given() || v.Get("environment", "type").Text() == "local"):
		case typ == "tool_search": // among the request's own tools
		case typ == "mcp":
			s.Add(wire.RemoteMCP, "mcp")
		default:
			s.Add(wire.ServerTools, typ)
		}
		if typ != "mcp" {
			s.tools(v.Get("tools")) // of a namespace
		}
	}
}

// content looks at messages and items: files by id or address, stored items,
// and tools that an item brings.
func (s *sight) content(v wire.Value) {
	for item := range v.Items() {
		s.content(item)
	}
	if v.Kind() != wire.Object {
		return
	}
	if err := v.Once("type", "content", "file_id", "file_url", "image_url"); err != nil {
		s.Fail(err)
	}
	for _, name := range []string{"file_id", "file_url"} {
		if v.Get(name).Given() {
			s.Add(wire.RemoteFiles, name)
		}
	}
	url := v.Get("image_url")
	for _, u := range []wire.Value{url, url.Get("url")} {
		if t := u.Text(); t != "" && !strings.HasPrefix(t, "data:") {
			s.Add(wire.RemoteFiles, "image_url")
		}
	}
	if v.Get("type").Text() == "item_reference" {
		s.Add(wire.StoredResponses, "item_reference")
	}
	if tools := v.Get("tools"); tools.Given() && v.Get("type").Given() {
		s.tools(tools)
	}
	for name, val := range v.Members() {
		switch name {
		case "tools", "arguments", "image_url", "type", "role", "text":
		default:
			s.content(val)
		}
	}
}
