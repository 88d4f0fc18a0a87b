// Package aliases tells which models of an Ollama on this machine run elsewhere:
// Ollama hands those of its cloud on, under their own names or any that
// `ollama cp` gave them.
//
// It promises: nothing of a prompt is sent; an answer is believed for half a
// minute; what cannot be told is an error, on which nothing may go on.
//
// It may ask the server that it is given, at POST /api/show, and nothing else.
package aliases

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/countersign/countersign/gateway/wire"
)

// fresh is how long an answer is good, patience how long one may take, maxShow how
// large it may be; maxKnown bounds the names that are remembered.
const (
	fresh    = 30 * time.Second
	patience = 5 * time.Second
	maxShow  = 16 << 20
	maxKnown = 1024
)

// Finder asks servers about their models. It is safe for concurrent use.
type Finder struct {
	transport http.RoundTripper
	now       func() time.Time

	mu    sync.Mutex
	known map[[2]string]answer
}

type answer struct {
	elsewhere bool
	until     time.Time
}

// New returns a Finder that reaches servers through transport.
func New(transport http.RoundTripper, now func() time.Time) *Finder {
	return &Finder{transport: transport, now: now}
}

// Elsewhere reports whether the server at base (its base_url) has a model of this
// name that runs elsewhere. authorize adds what the server wants to see; nil:
// nothing. A model that is not there runs nowhere.
func (f *Finder) Elsewhere(ctx context.Context, base, model string, authorize func(http.Header)) (bool, error) {
	key := [2]string{base, model}
	f.mu.Lock()
	a, ok := f.known[key]
	f.mu.Unlock()
	if ok && f.now().Before(a.until) {
		return a.elsewhere, nil
	}
	elsewhere, err := f.ask(ctx, base, model, authorize)
	if err != nil {
		return false, fmt.Errorf("where the model runs cannot be told: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil || len(f.known) >= maxKnown {
		f.known = map[[2]string]answer{}
	}
	f.known[key] = answer{elsewhere, f.now().Add(fresh)}
	return elsewhere, nil
}

func (f *Finder) ask(ctx context.Context, base, model string, authorize func(http.Header)) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	body, err := json.Marshal(map[string]string{"model": model})
	if err != nil {
		return false, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(base, "/")+"/api/show", bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/json")
	if authorize != nil {
		authorize(req.Header)
	}
	resp, err := f.transport.RoundTrip(req)
	if err != nil {
		return false, errors.New("the server does not answer")
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusMethodNotAllowed: // no such model, or a server that has no others than its own
		return false, nil
	default:
		return false, fmt.Errorf("the server answers with status %d", resp.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxShow))
	if err != nil {
		return false, errors.New("the server's answer was cut off")
	}
	doc, err := wire.ParseObject(b)
	if err != nil {
		return false, errors.New("the server's answer is no JSON object")
	}
	return Says(doc.Root()), nil
}

// Says reports whether what Ollama says of a model, in /api/show or /api/tags, is
// that it runs elsewhere.
func Says(v wire.Value) bool {
	for _, name := range []string{"remote_host", "remote_model"} {
		if r := v.Get(name); r.Given() && (r.Kind() != wire.Text || r.Text() != "") {
			return true
		}
	}
	return false
}
