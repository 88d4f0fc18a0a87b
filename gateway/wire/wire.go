package wire

import (
	"errors"
	"iter"
	"net/http"
	"strings"
)

// Wire is one vendor's protocol as agents speak it.
type Wire interface {
	// Name is the protocol's, as gateway.yaml says it.
	Name() string
	// Route finds what a request asks for; path is escaped as it came.
	Route(method, path string, h http.Header) (Route, bool)
	// Peek reads what policy must know of a body (nil where the route has none).
	// It refuses a body that two readers could understand in two ways.
	Peek(rt Route, body *Doc) (Request, error)
	// Walk visits every string of a body until visit returns false.
	Walk(rt Route, body *Doc, visit func(String) bool)
	// Meter reads an answer of this media type beside its way to the agent.
	Meter(rt Route, media string) *Tally
	// Models yields the entries of a list of models with the names that policy
	// knows them by; list is the array that holds them.
	Models(rt Route, answer *Doc) (list Value, entries iter.Seq2[string, Value])
	// Rename puts a prefix in front of the name of such an entry.
	Rename(rt Route, entry Value, prefix string) []Edit
	// Refuse is an answer in the form that agents of this wire understand.
	Refuse(rt Route, why Reason, message string) Refusal
	// Cut is what ends a stream whose provider fell silent in the middle; nil
	// where the wire has no such form.
	Cut(rt Route, media, message string) []byte
	// Ping is what tells the agent, between two events of a stream, that its answer
	// is still under way; nil where the wire has no such form.
	Ping(rt Route, media string) []byte
}

// Vendor is the same protocol on the provider's side.
type Vendor interface {
	// Serves reports whether such a provider serves routes of a wire.
	Serves(wire string) bool
	// Path is where below its base_url the provider serves a path of a wire, both
	// escaped.
	Path(wire, path string) string
	// Authorize puts the key where the provider looks for it.
	Authorize(h http.Header, key string)
	// Base says what is wrong with the path of a base_url, and what to do.
	Base(path string) (wrong, remedy string)
}

// Op is what a route does.
type Op int

// What routes do.
const (
	Infer  Op = iota // an answer of a model
	Count            // of tokens, or embeddings: no answer in words
	List             // of models
	Look             // at one model
	Socket           // a WebSocket, which is not served
	Side             // stored responses and batches: beside the model calls
)

// Route is what a request asks for.
type Route struct {
	Wire string // its wire's name
	Name string // in records, for example "openai-chat"
	Op   Op
	// Model is the one in the path, decoded; From and To its bytes there. Empty
	// if the body names it.
	Model    string
	From, To int
	// Stream says that the path asks for a stream.
	Stream bool
	// Side is the feature that a Side route is.
	Side Feature
}

// Request is what policy must know of a request.
type Request struct {
	Model    string
	Stream   bool
	Features []Feature
	// Others are further models that may answer: of a batch, where each of its
	// requests names one, or those of a list in which a relay chooses.
	Others []string

	body Value // the model's name in the body
}

// NewRequest returns the request for the model that the path names, or else the
// body under this name, and refuses one that names none, or two.
func NewRequest(rt Route, body *Doc, name string) (Request, error) {
	v := body.Root().Get(name)
	r := Request{Model: v.Text(), Stream: rt.Stream, body: v}
	switch {
	case rt.Model != "" && !v.Given():
		r.Model = rt.Model
	case rt.Model != "" && r.Model != rt.Model:
		return r, errors.New("the body names another model than the path")
	case v.Kind() == None:
		return r, errors.New("the body names no model")
	case r.Model == "" || len(r.Model) > 256:
		return r, errors.New("the model is no name")
	}
	return r, nil
}

// Names reads a list of models; one that is not there has none.
func Names(list Value) (out []string, err error) {
	if list.Given() && list.Kind() != Array {
		return nil, errors.New("the body has models that are no list")
	}
	for v := range list.Items() {
		if v.Text() == "" || len(v.Text()) > 256 {
			return nil, errors.New("a model of the body is no name")
		}
		out = append(out, v.Text())
	}
	return out, nil
}

// Strip is the edit that takes the first n bytes of the model's name off, in the
// body. It makes none where the body names no model.
func (r Request) Strip(n int) []Edit {
	if r.body.Kind() != Text {
		return nil
	}
	from, to := r.body.Range()
	s := String{From: from + 1, To: to - 1, v: r.body}
	a, b := s.Span(0, n)
	return []Edit{{From: a, To: b}}
}

// StripPath takes the first n bytes of the model's name off the path.
func (rt Route) StripPath(path string, n int) string {
	i := rt.From
	for ; n > 0 && i < rt.To; n-- {
		if path[i] == '%' {
			i += 2
		}
		i++
	}
	return path[:rt.From] + path[min(i, rt.To):]
}

// Feature is something a request asks for that happens out of the gateway's
// sight, so that a rule must allow it.
type Feature struct {
	Kind   string // one of Kinds
	Detail string // the vendor's own word
	// Off turns it off where that needs no more than an edit; nil where a denial
	// refuses the request.
	Off *Edit
}

func (f Feature) String() string { return f.Kind + "/" + f.Detail }

// The kinds of features.
const (
	ServerTools     = "server-tools"     // the provider runs a tool: search, fetch, code
	RemoteMCP       = "remote-mcp"       // the provider calls an MCP server
	StoredResponses = "stored-responses" // the provider keeps the conversation, or takes it from its store
	Background      = "background"       // the answer is fetched later
	Batch           = "batch"            // many requests in one, answered later
	RemoteFiles     = "remote-files"     // content that the provider fetches by id or address
)

// Reason is why the gateway answers in the provider's place.
type Reason int

// The reasons.
const (
	Policy   Reason = iota // a rule, the body, a missing key: trying again is useless
	Budget                 // spent: trying again is useless for long
	Rate                   // too fast: trying again soon may help
	Auth                   // not the session's token
	Absent                 // no such route
	Upgrade                // WebSocket
	Failed                 // the provider answered with an error whose words stay here
	Misnamed               // the request names another server
)

// Refusal is an answer of the gateway itself.
type Refusal struct {
	Status int
	Body   []byte
}

// Status is what most agents take a reason best for: 400 for what is final, as
// on 403 and 5xx they retry up to thirty times or blame the login.
func (why Reason) Status() int {
	switch why {
	case Budget, Rate:
		return http.StatusTooManyRequests
	case Auth:
		return http.StatusUnauthorized
	case Absent:
		return http.StatusNotFound
	case Upgrade:
		return http.StatusUpgradeRequired
	case Failed:
		return http.StatusBadGateway
	case Misnamed:
		return http.StatusMisdirectedRequest
	}
	return http.StatusBadRequest
}

// Kind is the reason in the words that Anthropic and OpenAI share.
func (why Reason) Kind() string {
	switch why {
	case Budget:
		return "billing_error"
	case Rate:
		return "rate_limit_error"
	case Auth:
		return "authentication_error"
	case Absent:
		return "not_found_error"
	case Failed:
		return "api_error"
	}
	return "invalid_request_error"
}

// PathModel decodes and checks a model's name in a path; ok is false for one
// that could change the path's meaning.
func PathModel(escaped string) (model string, ok bool) {
	model = strings.NewReplacer("%2F", "/", "%2f", "/", "%3A", ":", "%3a", ":", "%40", "@").Replace(escaped)
	if model == "" || len(model) > 256 {
		return "", false
	}
	for _, part := range strings.Split(model, "/") {
		if part == "" || part == "." || part == ".." {
			return "", false
		}
	}
	for _, c := range []byte(model) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("._:@/+-", rune(c)) {
			return "", false
		}
	}
	return model, true
}
