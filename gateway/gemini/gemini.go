// Package gemini is the wire of Google's generateContent: which paths it has,
// what policy must see of a request, where its strings stand, what its answers
// say of tokens, and how its agents are refused.
//
// It promises that the model is the one in the path; that a field is known under
// both names that Google reads (camelCase and snake_case); that a thought and
// its signature are never offered for an edit; and that a kind of tool it does
// not know counts as one that runs at the provider.
//
// It is pure, as package wire is.
package gemini

import (
	"iter"
	"net/http"
	"strings"

	"github.com/countersign/countersign/gateway/wire"
)

// Wire is generateContent, for agents and providers.
type Wire struct{}

// Name is "gemini".
func (Wire) Name() string { return "gemini" }

// Route knows /VERSION/models and the verbs of a model.
func (Wire) Route(method, path string, _ http.Header) (wire.Route, bool) {
	version, rest, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	rt := wire.Route{Wire: "gemini", Name: "gemini"}
	switch {
	case !ok || version != "v1beta" && version != "v1alpha" && version != "v1":
		return rt, false
	case method == http.MethodGet && rest == "models" && version != "v1":
		rt.Name, rt.Op = "gemini-models", wire.List
		return rt, true
	case version != "v1" && (rest == "cachedContents" || strings.HasPrefix(rest, "cachedContents/")):
		rt.Name, rt.Op, rt.Side = "gemini-cache", wire.Side, wire.Feature{Kind: wire.StoredResponses, Detail: "cachedContents"}
		return rt, true
	case version != "v1" && (rest == "batches" || strings.HasPrefix(rest, "batches/")):
		rt.Name, rt.Op, rt.Side = "gemini-batch", wire.Side, wire.Feature{Kind: wire.Batch, Detail: "batches"}
		return rt, true
	}
	name, ok := strings.CutPrefix(rest, "models/")
	if !ok {
		return rt, false
	}
	rt.From = len(path) - len(name)
	name, verb := cutVerb(name)
	rt.To = rt.From + len(name)
	rt.Model, ok = wire.PathModel(name)
	return verbRoute(rt, method, verb, version, ok)
}

// cutVerb takes the verb off, whose colon may be escaped.
func cutVerb(s string) (name, verb string) {
	for _, colon := range []string{":", "%3A", "%3a"} {
		if i := strings.LastIndex(s, colon); i >= 0 {
			return s[:i], s[i+len(colon):]
		}
	}
	return s, ""
}

func verbRoute(rt wire.Route, method, verb, version string, ok bool) (wire.Route, bool) {
	switch {
	case method == http.MethodGet && verb == "" && version != "v1":
		rt.Name, rt.Op = "gemini-models", wire.Look
	case method != http.MethodPost:
		return rt, false
	case verb == "generateContent":
	case verb == "streamGenerateContent":
		rt.Stream = true
	case verb == "countTokens":
		rt.Name, rt.Op = "gemini-count", wire.Count
	case verb == "embedContent" || verb == "batchEmbedContents":
		rt.Name, rt.Op = "gemini-embed", wire.Count
	case verb == "batchGenerateContent" || verb == "asyncBatchEmbedContent":
		rt.Name, rt.Op, rt.Side = "gemini-batch", wire.Side, wire.Feature{Kind: wire.Batch, Detail: verb}
	default:
		return rt, false
	}
	return rt, ok
}

// Peek reads the features of a request; the model is in the path, and bodies
// that name one too must name the same.
func (Wire) Peek(rt wire.Route, body *wire.Doc) (wire.Request, error) {
	r := wire.Request{Model: rt.Model, Stream: rt.Stream}
	if body == nil || rt.Op == wire.Side {
		return r, nil
	}
	s := sight{wire.Sight{Request: &r}}
	s.request(body.Root())
	for _, name := range []string{"generateContentRequest", "generate_content_request"} {
		s.request(body.Root().Get(name)) // of countTokens
	}
	for one := range body.Root().Get("requests").Items() { // of batchEmbedContents
		s.request(one)
	}
	return r, s.Err
}

// sight collects what happens out of the gateway's sight.
type sight struct{ wire.Sight }

// camel is the name that Google reads a snake_case one as.
func camel(s string) string {
	parts := strings.Split(s, "_")
	for i, p := range parts {
		if i > 0 && p != "" {
			parts[i] = strings.ToUpper(p[:1]) + p[1:]
		}
	}
	return strings.Join(parts, "")
}

func (s *sight) request(v wire.Value) {
	for name, val := range v.Members() {
		switch camel(name) {
		case "model":
			if m := strings.TrimPrefix(val.Text(), "models/"); m != s.Request.Model {
				s.Fail(errModel)
			}
		case "tools":
			for tool := range val.Items() {
				s.tool(tool)
			}
			s.tool(val) // one tool in place of a list
		case "cachedContent":
			if val.Given() {
				s.Add(wire.StoredResponses, "cachedContent")
			}
		case "contents", "content", "systemInstruction":
			s.content(val)
		}
	}
}

func (s *sight) tool(v wire.Value) {
	for name, val := range v.Members() {
		switch name := camel(name); {
		case !val.Given() || name == "functionDeclarations" || name == "computerUse":
		case name == "mcpServers":
			s.Add(wire.RemoteMCP, name)
		default:
			s.Add(wire.ServerTools, name)
		}
	}
}

// content looks for files by address; what belongs to a function is its own.
func (s *sight) content(v wire.Value) {
	for item := range v.Items() {
		s.content(item)
	}
	for name, val := range v.Members() {
		switch camel(name) {
		case "fileData":
			s.Add(wire.RemoteFiles, "fileData")
		case "functionCall":
		case "functionResponse":
			for name, val := range val.Members() {
				if name == "parts" {
					s.content(val)
				}
			}
		default:
			s.content(val)
		}
	}
}

// Models yields the entries of the list, without "models/".
func (Wire) Models(_ wire.Route, answer *wire.Doc) (wire.Value, iter.Seq2[string, wire.Value]) {
	list := answer.Root().Get("models")
	return list, wire.Entries(list, func(v wire.Value) string { return strings.TrimPrefix(v.Get("name").Text(), "models/") })
}

// Rename puts a prefix behind "models/".
func (Wire) Rename(_ wire.Route, entry wire.Value, prefix string) []wire.Edit {
	name, skip := entry.Get("name"), 0
	if strings.HasPrefix(name.Text(), "models/") {
		skip = len("models/")
	}
	return wire.InFront(name, skip, prefix)
}

type failure struct {
	Error status `json:"error"`
}

type status struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Status  string `json:"status"`
}

func envelope(code int, text, name string) []byte {
	return wire.Envelope(failure{status{code, text, name}})
}

// Refuse answers {"error":{code,message,status}}, the names as google.rpc.Code.
func (Wire) Refuse(_ wire.Route, why wire.Reason, text string) wire.Refusal {
	name, status := "INVALID_ARGUMENT", why.Status()
	switch why {
	case wire.Budget:
		// On 429 Gemini CLI goes on trying, whatever stands beside it.
		name, status = "FAILED_PRECONDITION", http.StatusBadRequest
	case wire.Rate:
		name = "RESOURCE_EXHAUSTED"
	case wire.Auth:
		name = "UNAUTHENTICATED"
	case wire.Absent:
		name = "NOT_FOUND"
	case wire.Failed:
		name = "UNAVAILABLE"
	}
	return wire.Refusal{Status: status, Body: envelope(status, text, name)}
}

// Cut is an error in place of a chunk.
func (Wire) Cut(_ wire.Route, media, text string) []byte {
	if !strings.HasPrefix(media, "text/event-stream") {
		return nil
	}
	return append(append([]byte("data: "), envelope(http.StatusBadGateway, text, "UNAVAILABLE")...), "\r\n\r\n"...)
}

// Ping is nothing: Google's clients take each event for an answer.
func (Wire) Ping(wire.Route, string) []byte { return nil }

// Serves reports true for generateContent.
func (Wire) Serves(w string) bool { return w == "gemini" }

// Path is the same: base_url is what stands before the version.
func (Wire) Path(_, path string) string { return path }

// Authorize sets x-goog-api-key.
func (Wire) Authorize(h http.Header, key string) { h.Set("X-Goog-Api-Key", key) }

// Base wants no version.
func (Wire) Base(path string) (wrong, remedy string) {
	for _, v := range []string{"/v1beta", "/v1alpha", "/v1"} {
		if strings.HasSuffix(path, v) {
			return "ends in " + v, "leave " + v + " out: this wire's own SDK adds it"
		}
	}
	return "", ""
}
