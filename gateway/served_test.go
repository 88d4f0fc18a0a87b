package gateway

import (
	"io"
	"net/http"
	"strings"
	"testing"

	countersign "github.com/countersign/countersign"
)

// Where a rule speaks of who answers, an answer of another model does not reach
// the agent, streamed or not, and the rule is on record.
func TestAnotherModelsAnswerIsRefused(t *testing.T) {
	const chunks = "data: {\"model\":\"MODEL\",\"choices\":[]}\n\ndata: [DONE]\n\n"
	tests := []struct {
		name, path, asked, media, answer, served string
		refused                                  bool
	}{
		{"stream, other", "/v1/chat/completions", "gpt-x", "text/event-stream", chunks, "gpt-mini", true},
		{"stream, same", "/v1/chat/completions", "gpt-x", "text/event-stream", chunks, "gpt-x-2026-01-01", false},
		{"stream, other that is allowed", "/v1/chat/completions", "gpt-x", "text/event-stream", chunks, "good", false},
		{"whole, other", "/v1/messages", "claude-x", "application/json", "{\"type\":\"message\",\"content\":[],\n\"model\":\"MODEL\"} ", "other", true},
		{"whole, same", "/v1/messages", "claude-x", "application/json", "{\"type\":\"message\",\"content\":[],\n\"model\":\"MODEL\"} ", "claude-x", false},
		{"nobody says", "/v1/messages", "claude-x", "application/json", "{\"content\":[]}", "", false},
		{"lines, other", "/api/chat", "q", "application/x-ndjson", "{\"model\":\"MODEL\"}\n{\"done\":true}\n", "other", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			answer := strings.ReplaceAll(tt.answer, "MODEL", tt.served)
			r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tt.media)
				w.Header().Set("X-Vendor", "v")
				for b := answer; b != ""; {
					n := min(5, len(b))
					_, _ = io.WriteString(w, b[:n])
					w.(http.Flusher).Flush()
					b = b[n:]
				}
			}, func(o *Options) {
				o.Served = func(_, served string) countersign.Ruling {
					if served == "good" {
						return countersign.Ruling{Verdict: countersign.Allow}
					}
					return countersign.Ruling{Verdict: countersign.Deny, Rule: "models-served", Reason: "not that one", Bundle: "sha256:b"}
				}
			})
			resp, body := r.do(t, "POST", tt.path, `{"model":"`+tt.asked+`","stream":true}`, "X-Api-Key", token)
			res := r.untilClosed(t, 2)[1]
			if !tt.refused {
				if resp.StatusCode != 200 || body != answer || resp.Header.Get("X-Vendor") != "v" || res.Outcome.Status != "ok" {
					t.Errorf("%d %q %+v", resp.StatusCode, body, res)
				}
				return
			}
			if resp.StatusCode != 400 || !strings.Contains(body, "models-served") || strings.Contains(body, "choices") || resp.Header.Get("X-Vendor") != "" || resp.Header.Get("X-Should-Retry") != "false" {
				t.Errorf("%d %q %v", resp.StatusCode, body, resp.Header)
			}
			if res.Outcome.Status != "refused" || res.Policy.Rule != "models-served" || res.Decision.Verdict != countersign.Deny || res.Model.Served != tt.served || len(res.Payloads) == 0 {
				t.Errorf("%+v", res)
			}
		})
	}
}

func TestLocalOnlyReachesNothingElse(t *testing.T) {
	local := countersign.Ruling{Verdict: countersign.Deny, Rule: "models-local-only", Reason: "this machine only", Bundle: "sha256:b"}
	var dialled string
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }, func(o *Options) {
		o.LocalOnly = &local
		far, err := parse("/x/gateway.yaml", []byte("providers: [{name: far, wire: openai, base_url: \"https://models.example.com/v1\", key: {file: /none}}]"))
		if err != nil {
			t.Fatal(err)
		}
		o.Config.Providers = append(far.Providers, o.Config.Providers...)
		o.Transport = transportFunc(func(req *http.Request) (*http.Response, error) {
			dialled = req.URL.Host
			return http.DefaultTransport.RoundTrip(req)
		})
	})
	for _, tt := range []struct {
		model string
		code  int
	}{{"far/m", 400}, {"m", 200}, {"local/q", 200}, {"local/gpt-oss:120b-cloud", 400}, {"local/glm-4.6:CLOUD", 400}} {
		resp, body := r.do(t, "POST", "/v1/chat/completions", `{"model":"`+tt.model+`"}`, "X-Api-Key", token)
		if resp.StatusCode != tt.code || tt.code == 400 && !strings.Contains(body, "models-local-only") {
			t.Errorf("%s: %d %s", tt.model, resp.StatusCode, body)
		}
		if strings.Contains(dialled, "example.com") {
			t.Fatal("another machine was reached")
		}
	}
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Ollama's cloud models are known by what it says of them, whatever their name.
func TestLocalOnlySeesThroughAliases(t *testing.T) {
	local := countersign.Ruling{Verdict: countersign.Deny, Rule: "models-local-only", Reason: "this machine only", Bundle: "sha256:b"}
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.URL.Path, "/api/tags") {
			_, _ = io.WriteString(w, `{"models":[{"name":"here"},{"name":"said","remote_host":"https://ollama.com:443"},{"name":"alias"}]}`)
			return
		}
		_, _ = io.WriteString(w, "{}")
	}, func(o *Options) {
		o.LocalOnly = &local
		o.Transport = transportFunc(func(req *http.Request) (*http.Response, error) {
			if !strings.HasSuffix(req.URL.Path, "/api/show") {
				return http.DefaultTransport.RoundTrip(req)
			}
			b, err := io.ReadAll(req.Body)
			if err != nil {
				return nil, err
			}
			status, answer := http.StatusOK, `{"details":{}}`
			switch {
			case strings.Contains(string(b), `"alias"`):
				answer = `{"remote_model":"big","remote_host":"https://ollama.com:443"}`
			case strings.Contains(string(b), `"ill"`):
				status = http.StatusInternalServerError
			}
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer))}, nil
		})
	})
	for _, tt := range []struct {
		path, body string
		code       int
	}{
		{"/api/chat", `{"model":"here"}`, 200},
		{"/api/chat", `{"model":"alias"}`, 400},
		{"/api/show", `{"model":"alias"}`, 400},
		{"/api/chat", `{"model":"ill"}`, 400},
		{"/v1/messages", `{"model":"local/alias"}`, 400},
		{"/v1/chat/completions", `{"model":"second/alias"}`, 400}, // Ollama under another wire
		{"/v1/chat/completions", `{"model":"second/ill"}`, 200},   // no Ollama at all
		{"/v1/chat/completions", `{"model":"second/here"}`, 200},
	} {
		if resp, body := r.do(t, "POST", tt.path, tt.body, "X-Api-Key", token); resp.StatusCode != tt.code || tt.code == 400 && !strings.Contains(body, "models-local-only") {
			t.Errorf("%s %s: %d %s", tt.path, tt.body, resp.StatusCode, body)
		}
	}
	if _, body := r.do(t, "GET", "/api/tags", "", "X-Api-Key", token); body != `{"models":[{"name":"here"}]}` {
		t.Error(body)
	}
}
