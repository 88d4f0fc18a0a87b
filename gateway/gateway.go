package gateway

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	countersign "github.com/countersign/countersign"
)

// Options is what a session's gateway needs.
type Options struct {
	Config  *Config
	Keys    KeySource
	Ledger  countersign.Ledger
	Allow   func(provider, model string) countersign.Ruling
	Session string
	Agent   string // its name, for the record
	Token   string // the session's; the only credential an agent has
	Now     func() time.Time
	// Transport reaches the providers; nil means one of our own, without the
	// environment's proxies.
	Transport http.RoundTripper
}

// maxBody bounds a request: 64 MiB holds a conversation with many images.
const maxBody = 64 << 20

// gateway is the handler of one session.
type gateway struct {
	Options
	transport http.RoundTripper

	mu     sync.Mutex
	closed error
	keys   map[string]cachedKey
}

type cachedKey struct {
	key   string
	until time.Time
}

// keyLife is how long a key is kept in memory before it is asked for again.
const keyLife = 5 * time.Minute

// New returns the handler of a session's gateway. After the ledger has failed
// once it refuses everything.
func New(o Options) http.Handler {
	g := &gateway{Options: o, transport: o.Transport, keys: map[string]cachedKey{}}
	if g.transport == nil {
		t := &http.Transport{
			DisableCompression: true, ForceAttemptHTTP2: true, MaxIdleConns: 64, MaxIdleConnsPerHost: 32,
			IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second, ExpectContinueTimeout: time.Second,
		}
		g.transport = t
	}
	mux := http.NewServeMux()
	mux.HandleFunc("HEAD /{$}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("HEAD /api/hello", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /v1/messages", g.route(Anthropic, "anthropic"))
	mux.HandleFunc("POST /v1/messages/count_tokens", g.route(Anthropic, "anthropic-count"))
	mux.HandleFunc("POST /v1/chat/completions", g.route(OpenAI, "openai-chat"))
	mux.HandleFunc("POST /v1/responses", g.route(OpenAI, "openai-responses"))
	mux.HandleFunc("GET /v1/responses", g.upgradeRequired)
	mux.HandleFunc("GET /v1/models", g.models)
	mux.HandleFunc("/", g.unknown)
	return mux
}

// upgradeRequired turns Codex's WebSocket away: on 426 it goes on over HTTP at
// once, on 404 it tries for seconds.
func (g *gateway) upgradeRequired(w http.ResponseWriter, r *http.Request) {
	m := countersign.Model{Wire: "openai-responses"}
	ruling := countersign.Ruling{Verdict: countersign.Deny, Rule: "gateway-websocket", Reason: "no WebSocket here: use HTTP"}
	if g.authentic(w, r, m) && g.denied(w, r, m, ruling) {
		refuse(w, OpenAI, http.StatusUpgradeRequired, invalidRequest, ruling.Reason)
	}
}

func wireOf(r *http.Request) Wire {
	if r.Header.Get("Anthropic-Version") != "" || strings.HasPrefix(r.URL.Path, "/v1/messages") {
		return Anthropic
	}
	return OpenAI
}

func (g *gateway) unknown(w http.ResponseWriter, r *http.Request) {
	m := countersign.Model{Wire: string(wireOf(r))}
	ruling := countersign.Ruling{Verdict: countersign.Deny, Rule: "gateway-route", Reason: "the gateway serves no " + r.Method + " " + clip(r.URL.Path)}
	if !g.authentic(w, r, m) || !g.denied(w, r, m, ruling) {
		return
	}
	refuse(w, wireOf(r), http.StatusNotFound, "not_found_error", ruling.Reason)
}

// credentials are the ways in which agents hand over their key.
var credentials = []string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"}

// token reports whether the request carries the session's token, and no other
// credential beside it: a personal key or login must not get through unseen.
func (g *gateway) token(r *http.Request) bool {
	given := r.URL.Query()["key"]
	for _, h := range credentials {
		for _, v := range r.Header.Values(h) {
			if scheme, rest, ok := strings.Cut(v, " "); ok && strings.EqualFold(scheme, "Bearer") {
				v = rest
			}
			given = append(given, strings.TrimSpace(v))
		}
	}
	ok := len(given) > 0 && g.Token != ""
	for _, v := range given {
		if subtle.ConstantTimeCompare([]byte(v), []byte(g.Token)) != 1 {
			ok = false
		}
	}
	return ok
}

// authentic answers for a request without the token and says whether it had it.
func (g *gateway) authentic(w http.ResponseWriter, r *http.Request, m countersign.Model) bool {
	if g.token(r) {
		return true
	}
	ruling := countersign.Ruling{Verdict: countersign.Deny, Rule: "gateway-token", Reason: "only the session's own token is good here; a personal key or login stays outside"}
	if g.denied(w, r, m, ruling) {
		refuse(w, wireOf(r), http.StatusUnauthorized, authentication, ruling.Reason)
	}
	return false
}

// denied records a refusal; it answers itself, and says no, if it cannot.
func (g *gateway) denied(w http.ResponseWriter, r *http.Request, m countersign.Model, ruling countersign.Ruling) bool {
	_, err := g.append(r.Context(), g.request(m, ruling, r, 0, nil), true)
	if err != nil {
		g.shut(w, wireOf(r), err)
		return false
	}
	return true
}

func (g *gateway) shut(w http.ResponseWriter, wire Wire, err error) {
	g.close(err)
	refuse(w, wire, http.StatusBadRequest, invalidRequest, "the ledger cannot record, so nothing was sent; see `countersign status`")
}

func (g *gateway) close(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed == nil {
		g.closed = err
	}
}

// open returns why the gateway is closed, nil if it is not.
func (g *gateway) open() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

// append writes a record unless the gateway is closed.
func (g *gateway) append(ctx context.Context, rec countersign.Record, durable bool) (countersign.Receipt, error) {
	if err := g.open(); err != nil {
		return countersign.Receipt{}, err
	}
	// The agent hanging up must not cost a record.
	return g.Ledger.Append(context.WithoutCancel(ctx), rec, durable)
}

// route serves one inference path of a wire.
func (g *gateway) route(wire Wire, name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		m := countersign.Model{Wire: name}
		if !g.authentic(w, r, m) {
			return
		}
		body, p, err := readBody(r)
		if err != nil {
			ruling := countersign.Ruling{Verdict: countersign.Deny, Rule: "gateway-body", Reason: err.Error()}
			if g.denied(w, r, m, ruling) {
				refuse(w, wire, http.StatusBadRequest, invalidRequest, err.Error())
			}
			return
		}
		provider, model, ruling := g.choose(wire, p.model)
		m.Requested = clip(p.model)
		if provider != nil {
			m.Provider, m.Requested = provider.Name, clip(model)
		}
		if ruling.Verdict != countersign.Allow {
			if g.denied(w, r, m, ruling) {
				refuse(w, wire, http.StatusBadRequest, invalidRequest, "policy denies "+m.Provider+"/"+m.Requested+" (rule "+ruling.Rule+"): "+ruling.Reason)
			}
			return
		}
		c := call{g: g, wire: wire, provider: provider, model: m, ruling: ruling, stream: p.stream}
		c.serve(w, r, p.withModel(body, model))
	}
}

func readBody(r *http.Request) ([]byte, peeked, error) {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return nil, peeked{}, errors.New("a compressed request cannot be read: send it as it is")
	}
	// The whole body is read first: the policy needs it, and a proxy that
	// streams it cuts answers (golang/go#40747).
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, peeked{}, errors.New("the request was cut off")
	}
	if len(body) > maxBody {
		return nil, peeked{}, fmt.Errorf("the request is larger than %d MiB", maxBody>>20)
	}
	p, err := peek(body)
	return body, p, err
}

// choose finds the provider: the one whose name stands before the model's, or
// else the first of the wire that the policy allows the model to.
func (g *gateway) choose(wire Wire, requested string) (*Provider, string, countersign.Ruling) {
	var first *Provider
	var ruling countersign.Ruling
	name, rest, prefixed := strings.Cut(requested, "/")
	for i := range g.Config.Providers {
		p := &g.Config.Providers[i]
		if !p.speaks(wire) {
			continue
		}
		if prefixed && p.Name == name && rest != "" {
			return p, rest, g.Allow(p.Name, rest)
		}
	}
	for i := range g.Config.Providers {
		p := &g.Config.Providers[i]
		if !p.speaks(wire) {
			continue
		}
		r := g.Allow(p.Name, requested)
		if r.Verdict == countersign.Allow {
			return p, requested, r
		}
		if first == nil {
			first, ruling = p, r
		}
	}
	if first == nil {
		ruling = countersign.Ruling{Verdict: countersign.Deny, Rule: "gateway-provider", Reason: "no provider of the wire " + string(wire) + " is in gateway.yaml"}
	}
	return first, requested, ruling
}

// key returns a provider's key, from memory for keyLife.
func (g *gateway) key(ctx context.Context, p *Provider) (string, error) {
	g.mu.Lock()
	c, ok := g.keys[p.Name]
	g.mu.Unlock()
	if ok && g.Now().Before(c.until) {
		return c.key, nil
	}
	key, err := g.Keys.Key(ctx, p)
	if err != nil {
		return "", err
	}
	g.mu.Lock()
	g.keys[p.Name] = cachedKey{key, g.Now().Add(keyLife)}
	g.mu.Unlock()
	return key, nil
}

func (g *gateway) forget(p *Provider) {
	g.mu.Lock()
	delete(g.keys, p.Name)
	g.mu.Unlock()
}

// forwardQuery is the query without the agent's credential; the rest stays byte
// for byte.
func forwardQuery(raw string) string {
	if raw == "" {
		return ""
	}
	parts := strings.Split(raw, "&")
	kept := parts[:0]
	for _, part := range parts {
		name, _, _ := strings.Cut(part, "=")
		if n, err := url.QueryUnescape(name); err == nil && n == "key" {
			continue
		}
		kept = append(kept, part)
	}
	return strings.Join(kept, "&")
}
