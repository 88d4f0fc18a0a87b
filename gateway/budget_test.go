package gateway

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/budget"
)

func spending(t *testing.T, limits ...countersign.Limit) func(*Options) {
	t.Helper()
	for i := range limits {
		l := &limits[i]
		l.Ruling.Verdict, l.Ruling.Reason, l.Ruling.Bundle = countersign.Deny, "the reason", "sha256:b"
		if l.Covers == nil {
			l.Covers = func(provider, _ string) bool { return provider != "second" }
		}
	}
	b, err := budget.Open(filepath.Join(t.TempDir(), "spend"), limits, func() time.Time { return time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC) }, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return func(o *Options) { o.Budget, o.User, o.Project = b, "alice", "/p" }
}

func limited(id, per, window string, dollars float64, tokens, requests int64) countersign.Limit {
	return countersign.Limit{Ruling: countersign.Ruling{Rule: id}, Per: per, Window: window, NanoUSD: int64(dollars * 1e9), Tokens: tokens, Requests: requests}
}

// dear is an answer that costs a dollar and a half (opus: 5 in, 25 out).
const dear = `{"type":"message","model":"claude-opus-5","usage":{"input_tokens":100000,"output_tokens":40000}}`

// Agents wait where waiting helps and stop where it does not, each in the way
// that it understands; each refusal is on record under its limit's id.
func TestRefusalsOfBudgetsAreUnderstood(t *testing.T) {
	tests := []struct {
		name, path, body, agent string
		limit                   countersign.Limit
		status                  int
		retry, after, field     string
	}{
		{"Claude Code, spent", "/v1/messages", `{"model":"claude-opus-5"}`, "claude-cli/2", limited("task", "session", "", 1, 0, 0), 429, "false", "", "error.type=billing_error"},
		{"Codex, spent", "/v1/responses", `{"model":"gpt-5","store":false}`, "codex_cli_rs", limited("task", "session", "", 1, 0, 0), 400, "false", "", "error.type=insufficient_quota"},
		{"Copilot, spent", "/v1/chat/completions", `{"model":"gpt-5"}`, "copilot", limited("task", "session", "", 1, 0, 0), 429, "false", "", "error.type=insufficient_quota"},
		{"opencode, spent", "/v1/chat/completions", `{"model":"gpt-5"}`, "opencode/1.18 ai-sdk/openai-compatible", limited("task", "session", "", 1, 0, 0), 400, "false", "", "error.type=insufficient_quota"},
		{"Gemini CLI, spent", "/v1beta/models/gemini-2.5-pro:generateContent", `{}`, "GeminiCLI", limited("task", "session", "", 1, 0, 0), 400, "false", "", "error.status=FAILED_PRECONDITION"},
		{"the day is spent", "/v1/messages", `{"model":"claude-opus-5"}`, "claude-cli/2", limited("day", "user", "day", 1, 0, 0), 429, "false", "", "error.type=billing_error"},
		{"tokens", "/v1/messages", `{"model":"claude-opus-5"}`, "claude-cli/2", limited("day", "user", "day", 0, 140_000, 0), 429, "false", "", "error.type=billing_error"},
		{"too fast", "/v1/messages", `{"model":"claude-opus-5"}`, "claude-cli/2", limited("pace", "user", "minute", 0, 0, 1), 429, "", "60", "error.type=rate_limit_error"},
		{"Codex too fast", "/v1/responses", `{"model":"gpt-5","store":false}`, "codex_cli_rs", limited("pace", "user", "minute", 0, 0, 1), 429, "", "60", "error.type=rate_limit_error"},
		{"Gemini CLI too fast", "/v1beta/models/gemini-2.5-pro:generateContent", `{}`, "GeminiCLI", limited("pace", "user", "minute", 0, 0, 1), 429, "", "60", "error.status=RESOURCE_EXHAUSTED"},
		{"no price", "/v1/messages", `{"model":"claude-next"}`, "claude-cli/2", limited("task", "session", "", 100, 0, 0), 400, "false", "", "error.type=invalid_request_error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, dear) }, spending(t, tt.limit))
			r.listed()
			if resp, body := r.do(t, "POST", "/v1/messages", `{"model":"claude-opus-5"}`, "X-Api-Key", token); resp.StatusCode != 200 {
				t.Fatalf("%d %s", resp.StatusCode, body)
			}
			recs := r.untilClosed(t, 2)
			resp, body := r.do(t, "POST", tt.path, tt.body, "X-Api-Key", token, "User-Agent", tt.agent)
			var said struct {
				Error map[string]any
			}
			if err := json.Unmarshal([]byte(body), &said); err != nil {
				t.Fatal(err)
			}
			name, want, _ := strings.Cut(strings.TrimPrefix(tt.field, "error."), "=")
			if resp.StatusCode != tt.status || resp.Header.Get("X-Should-Retry") != tt.retry || resp.Header.Get("Retry-After") != tt.after || said.Error[name] != want {
				t.Errorf("%d %v %s", resp.StatusCode, resp.Header, body)
			}
			if m, _ := said.Error["message"].(string); !strings.Contains(m, "budget "+tt.limit.Ruling.Rule) || !strings.Contains(m, "the reason") {
				t.Errorf("%s", body)
			}
			recs = r.untilClosed(t, 3)
			if rec := recs[2]; rec.Type != "model.request" || rec.Decision.Verdict != countersign.Deny || rec.Policy.Rule != tt.limit.Ruling.Rule || rec.Policy.Bundle != "sha256:b" || rec.Outcome.Status != "refused" || !strings.Contains(rec.Decision.Reason, "the reason") {
				t.Errorf("%+v %+v", rec, rec.Decision)
			}
			if r.reached() != 1 {
				t.Errorf("%d calls reached the provider", r.reached())
			}
			if resp, _ := r.do(t, "POST", "/v1/chat/completions", `{"model":"second/gpt-5"}`, "X-Api-Key", token); resp.StatusCode != 200 {
				t.Errorf("a model that the limit does not cover: %d", resp.StatusCode)
			}
			if resp, _ := r.do(t, "POST", "/v1/messages/count_tokens", `{"model":"claude-opus-5"}`, "X-Api-Key", token); resp.StatusCode != 200 {
				t.Errorf("a question of size costs nothing: %d", resp.StatusCode)
			}
		})
	}
}

// Of 256 calls at once the provider is paid the limit and less than one call
// more; each that went is on record with its cost, each that did not with the
// limit, and what the calls had reserved beyond is free again.
func TestManyCallsAtOnceKeepABudget(t *testing.T) {
	const calls, of = 256, 30.0
	gate, waiting := make(chan bool), atomic.Int64{}
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		waiting.Add(1)
		<-gate
		_, _ = io.WriteString(w, dear)
	}, spending(t, limited("task", "session", "", of, 0, 0)))
	r.listed()
	r.got, r.bodies = make(chan *http.Request, 4*calls), make(chan string, 4*calls)
	var busy, done atomic.Int64
	storm := func(body string) {
		var wg sync.WaitGroup
		for range calls {
			wg.Add(1)
			go func() {
				defer wg.Done()
				defer done.Add(1)
				req, _ := http.NewRequest("POST", r.gateway.URL+"/v1/messages", strings.NewReader(body))
				req.Header.Set("X-Api-Key", token)
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				_, _ = io.Copy(io.Discard, resp.Body)
				if resp.StatusCode == 429 && resp.Header.Get("Retry-After") == "1" {
					busy.Add(1)
				}
			}()
		}
		wg.Wait()
	}
	go func() { // nobody is answered before all have asked
		for done.Load()+waiting.Load() < calls {
			time.Sleep(time.Millisecond)
		}
		close(gate)
	}()
	// 40,000 tokens out and the prompt: a reservation is no less than the cost,
	// which is 1.5 dollars.
	body := `{"model":"claude-opus-5","max_tokens":60000,"system":"` + strings.Repeat("x", 200) + `"}`
	storm(body)
	if n := waiting.Load(); n != 20 || busy.Load() != calls-20 {
		t.Errorf("%d calls went, %d were told to wait; 20 reservations of 1.5 fill the budget", n, busy.Load())
	}
	storm(body)
	spent := float64(waiting.Load()) * 1.5
	if spent < of || spent >= of+1.5 {
		t.Errorf("the provider was paid %v of %v", spent, of)
	}
	recs := r.untilClosed(t, 2*int(waiting.Load())+2*calls-int(waiting.Load()))
	var paid int64
	refused := 0
	for _, rec := range recs {
		if rec.Cost != nil {
			paid += *rec.Cost.NanoUSD
		}
		if rec.Decision != nil && rec.Decision.Verdict == countersign.Deny && rec.Policy.Rule == "task" {
			refused++
		}
	}
	if paid != int64(spent*1e9) || refused != 2*calls-int(waiting.Load()) {
		t.Errorf("%d on record, %v paid; %d refused", paid, spent, refused)
	}
	left, err := r.budget.Left(budget.Who{Session: "s1"})
	if err != nil || left[0].USD.Spent != fmt.Sprint(spent) || left[0].USD.Reserved != "0" {
		t.Errorf("%+v %v", left[0].USD, err)
	}
}

// What is owed is settled however the call ends; what is not is free again.
func TestSettlement(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"an answer", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, dear) }, "1.5"},
		{"an error", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(529) }, "0"},
		{"a refused key", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, "0"},
		{"a bad request", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) }, "0"},
		{"another model without a price, as it was reserved", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"type":"message","model":"claude-other","usage":{"input_tokens":1,"output_tokens":1}}`)
		}, "0.0025875"},
		{"a broken connection", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "0.000055"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.answer, spending(t, limited("task", "session", "", 100, 0, 0)))
			r.listed()
			r.do(t, "POST", "/v1/messages", `{"model":"claude-opus-5","max_tokens":100}`, "X-Api-Key", token)
			r.untilClosed(t, 2)
			left, err := r.budget.Left(budget.Who{Session: "s1"})
			if err != nil || left[0].USD.Spent != tt.want || left[0].USD.Reserved != "0" {
				t.Errorf("%+v %v, want %s", left[0].USD, err, tt.want)
			}
		})
	}
}
