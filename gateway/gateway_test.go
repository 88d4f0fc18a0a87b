package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/budget"
)

const (
	token = "session-token-0123456789"
	key   = "sk-company-key-abcdef0123456789"
)

// book is a ledger in memory.
type book struct {
	mu      sync.Mutex
	records []countersign.Record
	blobs   map[string]string
	fail    func(op string) error
	whole   func(countersign.Record) error // nil: takes all
}

func (b *book) Append(ctx context.Context, r countersign.Record, durable bool) (countersign.Receipt, error) {
	for i, p := range r.Payloads {
		var err error
		if r.Payloads[i], err = b.Blob(ctx, p.Role, p.Media, p.Plain); err != nil {
			return countersign.Receipt{}, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.fail(r.Type); err != nil {
		return countersign.Receipt{}, err
	}
	if b.whole != nil {
		if err := b.whole(r); err != nil {
			return countersign.Receipt{}, err
		}
	}
	if r.Type == "model.request" && !durable {
		return countersign.Receipt{}, errors.New("a request's record must be durable")
	}
	if raw, err := r.JSON(); err != nil || len(raw) > 16<<10-512 {
		return countersign.Receipt{}, fmt.Errorf("a record of %d bytes: %w", len(raw), err)
	}
	r.ID = fmt.Sprint("id-", len(b.records))
	b.records = append(b.records, r)
	return countersign.Receipt{ID: r.ID}, nil
}

func (b *book) Blob(_ context.Context, role, media string, plain []byte) (countersign.Payload, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ct := fmt.Sprint(role, "-", len(b.blobs))
	b.blobs[ct] = string(plain)
	return countersign.Payload{Role: role, Media: media, Len: int64(len(plain)), CT: ct}, b.fail(role)
}

// rig is a gateway between a client and a provider that answers as told.
type rig struct {
	config   *Config
	book     *book
	budget   *budget.Book
	door     Door
	gateway  *httptest.Server
	provider *httptest.Server
	got      chan *http.Request
	bodies   chan string
	allowed  string // kinds of features that are allowed, with spaces between
}

func newRig(t *testing.T, answer http.HandlerFunc, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{book: &book{blobs: map[string]string{}, fail: func(string) error { return nil }}, got: make(chan *http.Request, 64), bodies: make(chan string, 64)}
	r.provider = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		r.got <- req
		r.bodies <- string(b)
		answer(w, req)
	}))
	t.Cleanup(r.provider.Close)
	dir := t.TempDir()
	yaml := fmt.Sprintf(`providers:
  - {name: anthropic, wire: anthropic, base_url: "%[1]s", key: {file: key}}
  - {name: openai, wire: openai, base_url: "%[1]s/v1", key: {file: key}}
  - {name: second, wire: openai, base_url: "%[1]s/second/v1", key: {file: key}}
  - {name: local, wire: ollama, base_url: "%[1]s/local"}
  - {name: azure, wire: azure, base_url: "%[1]s", key: {file: key}}
  - {name: gemini, wire: gemini, base_url: "%[1]s", key: {file: key}}
`, r.provider.URL)
	write(t, filepath.Join(dir, "key"), key+"\n")
	write(t, filepath.Join(dir, "gateway.yaml"), yaml)
	cfg, err := Load(filepath.Join(dir, "gateway.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	r.config = cfg
	o := Options{
		Feature: func(kind, _ string) countersign.Ruling {
			if strings.Contains(r.allowed, kind) {
				return countersign.Ruling{Verdict: countersign.Allow, Rule: "models-features"}
			}
			return countersign.Ruling{Verdict: countersign.Deny, Rule: "models-features", Reason: "not among models.features", Bundle: "sha256:b"}
		},
		Config: cfg, Keys: Keys{Dir: dir}, Ledger: r.book, Session: "s1", Agent: "claude", Token: token, Now: time.Now,
		Allow: func(provider, model string) countersign.Ruling {
			if strings.Contains(model, "forbidden") || provider == "openai" && model == "second-only" {
				return countersign.Ruling{Verdict: countersign.Deny, Rule: "models-allow", Reason: "not among models.allow", Bundle: "sha256:b"}
			}
			return countersign.Ruling{Verdict: countersign.Allow, Rule: "models-allow", Reason: "r", Bundle: "sha256:b"}
		},
	}
	for _, f := range change {
		f(&o)
	}
	r.budget = o.Budget
	r.door = New(o)
	r.gateway = httptest.NewServer(r.door)
	t.Cleanup(r.gateway.Close)
	return r
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) do(t *testing.T, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	resp := r.begin(t, method, path, body, headers...)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// begin is do, for an answer that the caller reads and closes.
func (r *rig) begin(t *testing.T, method, path, body string, headers ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequest(method, r.gateway.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// untilClosed waits for the answer's record: it is written after the last byte.
func (r *rig) untilClosed(t *testing.T, n int) []countersign.Record {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		r.book.mu.Lock()
		out := append([]countersign.Record(nil), r.book.records...)
		r.book.mu.Unlock()
		if len(out) >= n {
			return out
		}
	}
	t.Fatalf("no %d records: %+v", n, r.book.records)
	return nil
}

func (r *rig) reached() int { return len(r.bodies) }

// oddBody is what a decoder and an encoder would not keep.
const oddBody = "{ \"unknown\":12345678901234567890, \"f\":1.0,\t\"model\" : \"claude-x\",\"thinking\":{\"signature\":\"a\\u002fb\\/c\"},\"dup\":1,\"dup\":2,\"stream\":true,\"e\":\"\\ud83d\\ude00\"}\n"

const sse = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude-x-1\",\"usage\":{\"input_tokens\":10,\"cache_read_input_tokens\":5,\"cache_creation_input_tokens\":3,\"output_tokens\":1}}}\n\n: ping\n\nevent: ping\r\ndata: {\"type\": \"ping\"}\r\n\r\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":42}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"

func TestBytesArePassedAsTheyAre(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Request-Id", "req_1")
		_, _ = io.WriteString(w, sse)
	})
	resp, body := r.do(t, "POST", "/v1/messages?beta=true&a=%2F", oddBody,
		"Authorization", "Bearer "+token, "X-Api-Key", token, "Anthropic-Beta", "a,b", "X-Stainless-Retry-Count", "1", "User-Agent", "claude-cli/2", "Cookie", "c=1")
	if resp.StatusCode != 200 || body != sse || resp.Header.Get("Request-Id") != "req_1" {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	got, sent := <-r.got, <-r.bodies
	if sent != oddBody {
		t.Errorf("the provider got %q", sent)
	}
	if got.URL.Path != "/v1/messages" || got.URL.RawQuery != "beta=true&a=%2F" {
		t.Errorf("%s", got.URL)
	}
	want := map[string]string{"X-Api-Key": key, "Authorization": "", "Anthropic-Beta": "a,b", "User-Agent": "claude-cli/2", "Cookie": "", "Accept-Encoding": "identity", "X-Forwarded-For": ""}
	for h, v := range want {
		if got.Header.Get(h) != v {
			t.Errorf("%s: %q", h, got.Header.Get(h))
		}
	}
	recs := r.untilClosed(t, 2)
	req, res := recs[0], recs[1]
	if req.Type != "model.request" || req.Decision.Verdict != "allow" || req.Policy.Rule != "models-allow" || req.Policy.Bundle != "sha256:b" || req.Session != "s1" || req.Agent.Name != "claude" {
		t.Errorf("%+v", req)
	}
	if r.book.blobs[req.Payloads[0].CT] != oddBody || r.book.blobs[res.Payloads[0].CT] != sse {
		t.Error("prompt or answer is not on record as it was")
	}
	if res.Type != "model.response" || res.Parent != req.ID || res.Model.Served != "claude-x-1" || res.Model.Provider != "anthropic" || res.Outcome.Status != "ok" || res.Detail["stop"] != "end_turn" || res.Detail["status"] != 200 {
		t.Errorf("%+v %+v", res, res.Model)
	}
	if diff := cmp.Diff(&countersign.Usage{Input: 10, Output: 42, CacheRead: 5, CacheWrite: 3}, res.Usage); diff != "" {
		t.Error(diff)
	}
}

func TestEachEventIsFlushed(t *testing.T) {
	step := make(chan bool)
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: {\"n\":%d}\n\n", i)
			w.(http.Flusher).Flush()
			<-step
		}
	})
	resp := r.begin(t, "POST", "/v1/chat/completions", `{"model":"m","stream":true}`, "Authorization", "Bearer "+token)
	defer resp.Body.Close()
	buf := make([]byte, 256)
	for i := range 3 {
		// The provider does not go on before this event was read here.
		n, err := resp.Body.Read(buf)
		if want := fmt.Sprintf("data: {\"n\":%d}\n\n", i); err != nil || string(buf[:n]) != want {
			t.Fatalf("%q, %v", buf[:n], err)
		}
		step <- true
	}
}

func TestOnlyTheSessionsTokenIsGood(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
	const body = `{"model":"m"}`
	good := [][]string{{"Authorization", "Bearer " + token}, {"Authorization", "bearer " + token}, {"X-Api-Key", token}, {"Api-Key", token}, {"X-Goog-Api-Key", token}, {}}
	for i, h := range good {
		path := "/v1/messages"
		if len(h) == 0 {
			path += "?a=1&key=" + token + "&b=2"
		}
		if resp, b := r.do(t, "POST", path, body, h...); resp.StatusCode != 200 {
			t.Errorf("%v: %d %s", h, resp.StatusCode, b)
		}
		got := <-r.got
		<-r.bodies
		if raw := got.URL.RawQuery; i == len(good)-1 && raw != "a=1&b=2" {
			t.Errorf("query %q", raw)
		}
		for name, vs := range got.Header {
			if strings.Contains(strings.Join(vs, " "), token) {
				t.Errorf("the token reached the provider in %s", name)
			}
		}
	}
	bad := [][]string{{}, {"Authorization", "Bearer x"}, {"Authorization", token + "x"}, {"Authorization", "Basic " + token}, {"X-Api-Key", ""}, {"Authorization", "Bearer " + token, "X-Api-Key", "sk-personal"}}
	for _, h := range bad {
		for _, path := range []string{"/v1/messages", "/v1/chat/completions", "/v1/responses", "/nowhere"} {
			resp, b := r.do(t, "POST", path, body, h...)
			if resp.StatusCode != 401 || resp.Header.Get("X-Should-Retry") != "false" || !json.Valid([]byte(b)) {
				t.Errorf("%v: %d %s", h, resp.StatusCode, b)
			}
		}
	}
	if r.reached() != 0 {
		t.Error("a request without the token reached the provider")
	}
	recs := r.untilClosed(t, 2*len(good)+4*len(bad))
	denied := 0
	for _, rec := range recs {
		if rec.Policy != nil && rec.Policy.Rule == "gateway-token" && rec.Decision.Verdict == "deny" {
			denied++
		}
	}
	if denied == 0 {
		t.Errorf("no refusal is on record: %+v", recs)
	}
}

func TestPolicyRefusesInTheWiresShape(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
	tests := []struct{ path, body, says string }{
		{"/v1/messages", `{"model":"forbidden-1"}`, "policy denies anthropic/forbidden-1 (rule models-allow)"},
		{"/v1/messages/count_tokens", `{"model":"forbidden-1"}`, "policy denies"},
		{"/v1/chat/completions", `{"model":"openai/forbidden"}`, "policy denies openai/forbidden"},
		{"/v1/responses", `{"model":"forbidden"}`, "policy denies"},
		{"/v1/messages", `{"Model":"claude-x"}`, "spells it otherwise"},
		{"/v1/messages", `{"model":"claude-x","model":"forbidden"}`, "twice"},
		{"/v1/messages", `{"model":"claude-x"} {}`, "after the end"},
		{"/v1/messages", "\ufeff" + `{"model":"claude-x"}`, "not a JSON object"},
		{"/v1/messages", `{"model":7}`, "no name"},
		{"/v1/messages", `{"m":7}`, "names no model"},
		{"/v1/messages", `[]`, "not a JSON object"},
		{"/v1/messages", ``, "not a JSON object"},
		{"/v1/messages", `{"model":"x"`, "not JSON"},
	}
	for _, tt := range tests {
		resp, b := r.do(t, "POST", tt.path, tt.body, "X-Api-Key", token)
		var e struct {
			Type  string
			Error struct{ Type, Message string }
		}
		if err := json.Unmarshal([]byte(b), &e); err != nil || resp.StatusCode != 400 || e.Error.Type != "invalid_request_error" || !strings.Contains(e.Error.Message, tt.says) {
			t.Errorf("%s %s: %d %s", tt.path, tt.body, resp.StatusCode, b)
		}
		if anthropic := strings.HasPrefix(tt.path, "/v1/messages"); anthropic != (e.Type == "error") {
			t.Errorf("%s: the shape of another wire: %s", tt.path, b)
		}
	}
	if resp, b := r.do(t, "POST", "/v1/messages", `{"model":"x"}`, "X-Api-Key", token, "Content-Encoding", "gzip"); resp.StatusCode != 400 || !strings.Contains(b, "compressed") {
		t.Errorf("%d %s", resp.StatusCode, b)
	}
	if resp, _ := r.do(t, "GET", "/v1/responses", "", "Authorization", "Bearer "+token, "Connection", "Upgrade", "Upgrade", "websocket"); resp.StatusCode != 426 {
		t.Errorf("WebSocket: %d", resp.StatusCode)
	}
	if resp, _ := r.do(t, "POST", "/v1/files", "{}", "Authorization", "Bearer "+token); resp.StatusCode != 404 {
		t.Errorf("unknown path: %d", resp.StatusCode)
	}
	if r.reached() != 0 {
		t.Error("a refused request reached the provider")
	}
	for _, rec := range r.untilClosed(t, len(tests)+3) {
		if rec.Decision.Verdict != "deny" || rec.Outcome.Status != "refused" || len(rec.Payloads) != 0 {
			t.Errorf("%+v", rec)
		}
	}
}

func TestProviders(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
	tests := []struct{ path, model, wantPath, wantModel, auth string }{
		{"/v1/chat/completions", "m", "/v1/chat/completions", "m", "Bearer " + key},
		{"/v1/chat/completions", "openai/m", "/v1/chat/completions", "m", "Bearer " + key},
		{"/v1/chat/completions", "second/m", "/second/v1/chat/completions", "m", "Bearer " + key},
		{"/v1/chat/completions", "second-only", "/second/v1/chat/completions", "second-only", "Bearer " + key},
		{"/v1/chat/completions", "vendor/m", "/v1/chat/completions", "vendor/m", "Bearer " + key},
		{"/v1/chat/completions", "anthropic/m", "/v1/chat/completions", "anthropic/m", "Bearer " + key},
		{"/v1/chat/completions", "local/hf.co/x", "/local/v1/chat/completions", "hf.co/x", ""},
		{"/v1/messages", "local/q", "/local/v1/messages", "q", ""},
		{"/v1/messages/count_tokens", "claude", "/v1/messages/count_tokens", "claude", ""},
	}
	for _, tt := range tests {
		body := fmt.Sprintf(`{"a":1.0, "model" : %q ,"z":[]}`, tt.model)
		if resp, b := r.do(t, "POST", tt.path, body, "Authorization", "Bearer "+token); resp.StatusCode != 200 {
			t.Errorf("%s: %d %s", tt.model, resp.StatusCode, b)
			continue
		}
		got, sent := <-r.got, <-r.bodies
		want := fmt.Sprintf(`{"a":1.0, "model" : %q ,"z":[]}`, tt.wantModel)
		if got.URL.Path != tt.wantPath || sent != want || got.Header.Get("Authorization") != tt.auth {
			t.Errorf("%s at %s: %s %q %q", tt.model, tt.path, got.URL.Path, sent, got.Header.Get("Authorization"))
		}
	}
}

// No ledger, no request; and none after it either.
func TestALedgerThatFailsClosesTheDoor(t *testing.T) {
	for _, op := range []string{"prompt", "model.request"} {
		t.Run(op, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
			failing := true
			r.book.fail = func(o string) error {
				if failing && o == op {
					return errors.New("disk full")
				}
				return nil
			}
			for range 2 {
				resp, b := r.do(t, "POST", "/v1/messages", `{"model":"m"}`, "X-Api-Key", token)
				if resp.StatusCode != 400 || !strings.Contains(b, "nothing was sent") || r.reached() != 0 {
					t.Fatalf("%d %s, reached %d", resp.StatusCode, b, r.reached())
				}
				failing = false // once closed it stays closed
			}
		})
	}
	t.Run("at the answer", func(t *testing.T) {
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
		failed := make(chan bool, 1)
		r.book.fail = func(o string) error {
			if o == "model.response" {
				failed <- true
				return errors.New("disk full")
			}
			return nil
		}
		if resp, _ := r.do(t, "POST", "/v1/messages", `{"model":"m"}`, "X-Api-Key", token); resp.StatusCode != 200 {
			t.Fatal(resp.StatusCode)
		}
		<-failed
		for end := time.Now().Add(10 * time.Second); ; {
			resp, _ := r.do(t, "POST", "/v1/messages", `{"model":"m"}`, "X-Api-Key", token)
			if resp.StatusCode == 400 {
				break
			}
			if time.Now().After(end) {
				t.Fatal("still open")
			}
			<-failed
		}
	})
}

// A provider that echoes the key in its answer, its headers or its errors.
func TestTheKeyComesBackNowhere(t *testing.T) {
	status := 200
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Echo", key)
		w.WriteHeader(status)
		// In two pieces, so that neither holds it whole.
		_, _ = io.WriteString(w, `{"error":"bad `+key[:9])
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, key[9:]+`"}`)
	})
	for _, status = range []int{200, 400, 401, 403, 429, 500} {
		resp, b := r.do(t, "POST", "/v1/messages", `{"model":"m"}`, "X-Api-Key", token)
		<-r.got
		<-r.bodies
		if strings.Contains(b, key) || strings.Contains(fmt.Sprint(resp.Header), key) {
			t.Errorf("%d: the key came back: %v %s", status, resp.Header, b)
		}
		if (status == 401 || status == 403) && (resp.StatusCode != 400 || !strings.Contains(b, "countersign keys set anthropic")) {
			t.Errorf("%d became %d %s", status, resp.StatusCode, b)
		}
		if status == 429 && resp.StatusCode != 429 {
			t.Errorf("%d became %d", status, resp.StatusCode)
		}
	}
	recs := r.untilClosed(t, 12)
	all, err := json.Marshal(recs)
	if err != nil {
		t.Fatal(err)
	}
	if s := fmt.Sprint(r.book.blobs); bytes.Contains(all, []byte(key)) || strings.Contains(s, key) || bytes.Contains(all, []byte(token)) {
		t.Error("the key or the token is on record")
	}
}

func TestAnAgentThatHangsUpCancelsAndIsRecorded(t *testing.T) {
	gone := make(chan bool, 1)
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: {\"type\":\"message_start\",\"message\":{\"model\":\"m\",\"usage\":{\"input_tokens\":7}}}\n\n")
		w.(http.Flusher).Flush()
		<-req.Context().Done()
		gone <- true
	})
	ctx, cancel := context.WithCancel(context.Background())
	req, _ := http.NewRequestWithContext(ctx, "POST", r.gateway.URL+"/v1/messages", strings.NewReader(`{"model":"m","stream":true}`))
	req.Header.Set("X-Api-Key", token)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := resp.Body.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Fatal("the provider still answers")
	}
	res := r.untilClosed(t, 2)[1]
	if res.Outcome.Status != "failed" || res.Detail["partial"] != true || res.Usage == nil || res.Usage.Input != 7 || len(res.Payloads) != 1 {
		t.Errorf("%+v %+v", res, res.Usage)
	}
}

func TestAnAnswerThatIsCutOff(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "{")
	})
	req, _ := http.NewRequest("POST", r.gateway.URL+"/v1/messages", strings.NewReader(`{"model":"m"}`))
	req.Header.Set("X-Api-Key", token)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Error("the agent takes a cut answer for a whole one")
	}
	if res := r.untilClosed(t, 2)[1]; res.Outcome.Status != "failed" || res.Outcome.Error != "the provider's answer was cut off" {
		t.Errorf("%+v", res.Outcome)
	}
}

func TestAProviderThatIsNotThere(t *testing.T) {
	r := newRig(t, func(http.ResponseWriter, *http.Request) {})
	r.provider.Close()
	resp, b := r.do(t, "POST", "/v1/messages", `{"model":"m"}`, "X-Api-Key", token)
	if resp.StatusCode != 400 || !strings.Contains(b, "was not reached") {
		t.Errorf("%d %s", resp.StatusCode, b)
	}
	if res := r.untilClosed(t, 2)[1]; res.Outcome.Status != "failed" {
		t.Errorf("%+v", res.Outcome)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, "/elsewhere", http.StatusTemporaryRedirect)
	})
	if resp, _ := r.do(t, "POST", "/v1/messages", `{"model":"m"}`, "X-Api-Key", token); resp.StatusCode != 400 || resp.Header.Get("Location") != "" || r.reached() != 1 {
		t.Errorf("%d, reached %d times", resp.StatusCode, r.reached())
	}
}

func TestModels(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"object":"list","data":[{"id":"a","n":1.0},{"id":"forbidden-b"},{"id":"c"}],"has_more":false}`)
	})
	resp, b := r.do(t, "GET", "/v1/models?limit=1000", "", "X-Api-Key", token, "Anthropic-Version", "2023-06-01")
	if want := `{"object":"list","data":[{"id":"a","n":1.0},{"id":"c"},{"id":"local/a","n":1.0},{"id":"local/c"}],"has_more":false}`; resp.StatusCode != 200 || b != want {
		t.Errorf("%d %s", resp.StatusCode, b)
	}
	for range 2 {
		got := <-r.got
		if local := strings.HasPrefix(got.URL.Path, "/local"); !local && got.Header.Get("X-Api-Key") != key || local && got.Header.Get("X-Api-Key") != "" || got.URL.RawQuery != "limit=1000" {
			t.Errorf("%s %v", got.URL, got.Header)
		}
	}
	if resp, _ := r.do(t, "HEAD", "/", ""); resp.StatusCode != 200 {
		t.Errorf("HEAD /: %d", resp.StatusCode)
	}
	n := map[string]int{}
	for _, rec := range r.untilClosed(t, 4) {
		n[rec.Type]++
	}
	if n["model.request"] != 2 || n["model.response"] != 2 {
		t.Errorf("%v", n)
	}
}

// Calls that the provider saw and records of them are equal in number.
func TestEveryCallIsOnRecord(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"usage":{"prompt_tokens":3}}`)
	})
	const calls, workers = 400, 16
	go func() {
		for range calls {
			<-r.got
			<-r.bodies
		}
	}()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range calls / workers {
				r.do(t, "POST", "/v1/chat/completions", `{"model":"m"}`, "Authorization", "Bearer "+token)
			}
		})
	}
	wg.Wait()
	n := map[string]int{}
	for _, rec := range r.untilClosed(t, 2*calls) {
		n[rec.Type]++
	}
	if n["model.request"] != calls || n["model.response"] != calls {
		t.Errorf("%v", n)
	}
}
