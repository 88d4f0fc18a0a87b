package gateway

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/nearby"
)

// The lists of all providers of a wire are one list, each model under a name
// that chooses its provider, and one that does not answer is left out.
func TestListsAreMerged(t *testing.T) {
	tests := []struct{ name, path, first, second, want string }{
		{
			"openai", "/v1/models", "{ \"object\": \"list\",\"data\":[{\"id\":\"a\",\"n\":1.0} , {\"id\":\"forbidden\"}]}\n", `{"data":[{"id":"a"},{"id":"second-only"}]}`,
			`{ "object": "list","data":[{"id":"a","n":1.0},{"id":"second/a"},{"id":"second-only"}]}`,
		},
		{"the first is down", "/v1/models", "", `{"data":[{"id":"a"}]}`, `{"data":[{"id":"second/a"}]}`},
		{"the second is no list", "/v1/models", `{"data":[{"id":"a"}]}`, `[]`, `{"data":[{"id":"a"}]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
				body := tt.first
				switch {
				case strings.HasPrefix(req.URL.Path, "/second"):
					body = tt.second
				case req.URL.Path != "/v1/models": // Ollama and Azure, which serve the wire too
					body = ""
				}
				if body == "" {
					w.WriteHeader(http.StatusInternalServerError)
				}
				_, _ = io.WriteString(w, body)
			})
			resp, b := r.do(t, "GET", tt.path, "", "Authorization", "Bearer "+token)
			if resp.StatusCode != 200 || strings.TrimSpace(b) != tt.want {
				t.Errorf("%d %s", resp.StatusCode, b)
			}
			n := map[string]int{}
			for _, rec := range r.untilClosed(t, 8) {
				n[rec.Type]++
			}
			if r.reached() != 4 || n["model.request"] != 4 {
				t.Errorf("%d calls, on record %v", r.reached(), n)
			}
		})
	}
}

func TestGeminiAndOllamaNamesArePrefixed(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/v1beta/models", "/two/v1beta/models":
			_, _ = io.WriteString(w, `{"models":[{"name":"models/g"}]}`)
		case "/local/api/tags", "/near/api/tags":
			_, _ = io.WriteString(w, `{"models":[{"name":"q:1b","model":"q:1b"}]}`)
		case "/near/api/version", "/local/api/version":
			_, _ = io.WriteString(w, `{"version":"1"}`)
		}
	}, func(o *Options) {
		base := o.Config.Providers[0].BaseURL
		more, err := parse("/x/gateway.yaml", []byte("providers: [{name: two, wire: gemini, base_url: \""+base+"/two\"}, {name: near, wire: ollama, base_url: \""+base+"/near\"}]"))
		if err != nil {
			t.Fatal(err)
		}
		o.Config.Providers = append(o.Config.Providers, more.Providers...)
	})
	for path, want := range map[string]string{
		"/v1beta/models": `{"models":[{"name":"models/g"},{"name":"models/two/g"}]}`,
		"/api/tags":      `{"models":[{"name":"q:1b","model":"q:1b"},{"name":"near/q:1b","model":"near/q:1b"}]}`,
		"/api/version":   `{"version":"1"}`,
	} {
		if resp, b := r.do(t, "GET", path, "", "X-Api-Key", token); resp.StatusCode != 200 || b != want {
			t.Errorf("%s: %d %s", path, resp.StatusCode, b)
		}
	}
}

// A server that was found on this machine serves behind those of the
// configuration, and by its name.
func TestFoundServersServe(t *testing.T) {
	ollama := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.WriteString(w, `{"model":"q","message":{"content":"`+req.URL.Path+`"},"done":true}`)
	}))
	t.Cleanup(ollama.Close)
	there := []nearby.Server{{Name: "ollama", URL: ollama.URL}, {Name: "lmstudio", URL: "http://127.0.0.1:1"}}
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }, func(o *Options) {
		o.Nearby = func(context.Context) []nearby.Server { return there }
	})
	for _, tt := range []struct{ path, model, want string }{
		{"/v1/chat/completions", "ollama/q", "/v1/chat/completions"},
		{"/api/chat", "ollama/q", "/api/chat"},
		{"/v1/messages", "ollama/q", "/v1/messages"},
		{"/v1/chat/completions", "q", "{}"}, // the configured come first
		{"/api/chat", "lmstudio/q", "{}"},   // which has not Ollama's paths
	} {
		if resp, b := r.do(t, "POST", tt.path, `{"model":"`+tt.model+`"}`, "X-Api-Key", token); resp.StatusCode != 200 || !strings.Contains(b, tt.want) {
			t.Errorf("%+v: %d %s", tt, resp.StatusCode, b)
		}
	}
	there = nil
	if resp, b := r.do(t, "POST", "/v1/chat/completions", `{"model":"ollama/q"}`, "X-Api-Key", token); resp.StatusCode != 200 || b != "{}" {
		t.Errorf("%d %s", resp.StatusCode, b)
	}
}

func TestSurvey(t *testing.T) {
	lists := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/v1/models":
			_, _ = io.WriteString(w, `{"data":[{"id":"good"},{"id":"bad"}]}`)
		case "/api/tags", "/api/show":
			http.NotFound(w, req)
		}
	}))
	t.Cleanup(lists.Close)
	cfg, err := parse("/x/gateway.yaml", []byte("providers: [{name: one, wire: openai, base_url: \""+lists.URL+"/v1\"}, {name: studio, wire: ollama, base_url: \""+lists.URL+"\"}, {name: down, wire: anthropic, base_url: \"http://127.0.0.1:1\"}, {name: far, wire: gemini, base_url: \"https://192.0.2.1\"}]"))
	if err != nil {
		t.Fatal(err)
	}
	b := &book{blobs: map[string]string{}, fail: func(string) error { return nil }}
	local := countersign.Ruling{Verdict: countersign.Deny, Rule: "models-local-only", Reason: "this machine only"}
	got := Survey(t.Context(), Options{
		Config: cfg, Keys: Keys{Dir: t.TempDir()}, Ledger: b, LocalOnly: &local, Now: time.Now,
		Allow: func(_, model string) countersign.Ruling {
			if model == "bad" {
				return countersign.Ruling{Verdict: countersign.Deny, Rule: "models-deny", Reason: "no"}
			}
			return countersign.Ruling{Verdict: countersign.Allow, Rule: "models-allow", Reason: "yes"}
		},
	})
	models := []Offered{{"good", true, "models-allow", "yes"}, {"bad", false, "models-deny", "no"}}
	for i := range got {
		if got[i].Provider == "down" && !strings.Contains(got[i].Error, "was not reached") {
			t.Errorf("%q", got[i].Error)
		}
		if got[i].Provider == "down" {
			got[i].Error = ""
		}
		got[i].BaseURL = ""
	}
	want := []Listing{
		{Provider: "one", Wire: "openai", Local: true, Reachable: true, Models: models},
		{Provider: "studio", Wire: "ollama", Local: true, Reachable: true, Models: models},
		{Provider: "down", Wire: "anthropic", Local: true, Models: []Offered{}},
		{Provider: "far", Wire: "gemini", Error: "this machine only", Models: []Offered{}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(b.records) != 8 { // of four calls
		t.Errorf("%d records", len(b.records))
	}
}

// What an agent sends again is another attempt at the same request, until it has
// a good answer.
func TestRetriesAreAttempts(t *testing.T) {
	status := 503
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "{}")
	})
	for range 2 {
		r.do(t, "POST", "/v1/messages", `{"model":"m"}`, "X-Api-Key", token)
	}
	r.do(t, "POST", "/v1/messages", `{"model":"m","other":1}`, "X-Api-Key", token)
	status = 200
	for range 2 {
		r.do(t, "POST", "/v1/messages", `{"model":"m"}`, "X-Api-Key", token)
		r.untilClosed(t, 8) // the answer's record comes behind its last byte
	}
	var got []any
	first := ""
	for _, rec := range r.untilClosed(t, 10) {
		if rec.Type != "model.request" {
			continue
		}
		if first == "" {
			first = rec.ID
		}
		if of, ok := rec.Detail["attempt_of"]; ok && of != first {
			t.Errorf("an attempt at %v, not %s", of, first)
		}
		got = append(got, rec.Detail["attempt"])
	}
	if diff := cmp.Diff([]any{nil, 2, nil, 3, nil}, got); diff != "" {
		t.Error(diff)
	}
}
