// Package nearby finds the model servers that people run on their own machine:
// Ollama and LM Studio, on their usual ports of the loopback.
//
// It promises that nothing but the loopback is reached, that nothing of a prompt
// is sent, that a port whose owner is another person of the machine is left
// alone (who listens there first would read prompts), and that a look takes no
// longer than a second and is not repeated within half a minute, ten seconds
// where a server did not answer. One that was found and is too busy to answer,
// as with a model at work, is still there while its port is listened on.
//
// It may dial these ports and read /proc/net. It must never start a server, nor
// take the word of one for more than what it is.
package nearby

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/loopback"
)

// Server is a server that was found.
type Server struct {
	Name string // "ollama" or "lmstudio"
	URL  string // http://127.0.0.1:PORT
}

// place is where a server may be, and how it says what it is.
type place struct {
	name, url, path string
	is              func(answer []byte) bool
}

// Finder looks for servers. Its methods may be called concurrently.
type Finder struct {
	places []place
	now    func() time.Time
	mine   func(port string) bool
	client *http.Client

	mu    sync.Mutex
	found []Server
	until time.Time // that found is good
}

// fresh is how long an answer is good, doubt how long none is, patience how long a
// look may take.
const (
	fresh    = 30 * time.Second
	doubt    = 10 * time.Second
	patience = time.Second
)

// New returns a finder of what listens on the usual ports, or for Ollama where
// OLLAMA_HOST says, if that is on the loopback.
func New(getenv func(string) string, now func() time.Time) *Finder {
	return at(ollamaURL(getenv("OLLAMA_HOST")), "http://127.0.0.1:1234", now)
}

func at(ollama, lmstudio string, now func() time.Time) *Finder {
	f := &Finder{now: now, mine: trusted, client: &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // it might lead elsewhere
		},
	}}
	if ollama != "" {
		f.places = append(f.places, place{"ollama", ollama, "/api/version", isOllama})
	}
	f.places = append(f.places, place{"lmstudio", lmstudio, "/lmstudio-greeting", isLMStudio})
	return f
}

// ollamaURL reads OLLAMA_HOST as Ollama does: a host, a port, a URL; it binds to
// every interface where it says so, which is reached on the loopback too. Empty
// if it is elsewhere.
func ollamaURL(host string) string {
	host = strings.TrimSpace(host)
	if host == "" {
		return "http://127.0.0.1:11434"
	}
	if !strings.Contains(host, "://") {
		host = "http://" + host
	}
	u, err := url.Parse(host)
	if err != nil || u.Scheme != "http" {
		return ""
	}
	name, port := u.Hostname(), u.Port()
	ip := net.ParseIP(name)
	switch {
	case name == "" || ip != nil && ip.IsUnspecified():
		name = "127.0.0.1"
	case !loopback.Is(name):
		return ""
	}
	if port == "" {
		port = "11434"
	}
	return "http://" + net.JoinHostPort(name, port)
}

// isOllama knows {"version":"…"}.
func isOllama(answer []byte) bool {
	var v struct{ Version string }
	return json.Unmarshal(answer, &v) == nil && v.Version != ""
}

// isLMStudio knows {"lmstudio":true}.
func isLMStudio(answer []byte) bool {
	var v struct{ LMStudio bool }
	return json.Unmarshal(answer, &v) == nil && v.LMStudio
}

// Find returns the servers that answer, Ollama first.
func (f *Finder) Find(ctx context.Context) []Server {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now().Before(f.until) {
		return f.found
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	there := make([]answer, len(f.places))
	var wg sync.WaitGroup
	for i, p := range f.places {
		wg.Go(func() { there[i] = f.answers(ctx, p) })
	}
	wg.Wait()
	before := f.found
	f.found = nil
	good := fresh
	for i, p := range f.places {
		s := Server{p.name, p.url}
		if there[i] == yes || there[i] == silent && slices.Contains(before, s) {
			f.found = append(f.found, s)
		} else if there[i] == silent {
			good = doubt
		}
	}
	f.until = f.now().Add(good)
	return f.found
}

// answer is what a port says.
type answer int

const (
	no answer = iota
	yes
	silent // somebody listens and has not said who
)

func (f *Finder) answers(ctx context.Context, p place) answer {
	u, err := url.Parse(p.url)
	if err != nil || !f.mine(u.Port()) {
		return no
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+p.path, nil)
	if err != nil {
		return no
	}
	resp, err := f.client.Do(req)
	if err == nil {
		defer resp.Body.Close()
		var b []byte
		if b, err = io.ReadAll(io.LimitReader(resp.Body, 4<<10)); err == nil && resp.StatusCode == http.StatusOK && p.is(bytes.TrimSpace(b)) {
			return yes
		}
	}
	if err != nil && ctx.Err() != nil {
		return silent
	}
	return no
}
