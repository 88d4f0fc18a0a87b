package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/wire"
)

// odd is what a decoder and an encoder would not keep, in any wire's body.
const odd = "\t\"unknown\" : 12345678901234567890, \"f\":1.0 ,\r\n \"dup\":1,\"dup\":2,\"e\":\"\\ud83d\\ude00\\/\\u00e9é\""

// Each wire: request and answer byte for byte, query and headers kept, the key in
// its place, the usage read beside it.
func TestEveryWireByteForByte(t *testing.T) {
	const thinking = `{"type":"thinking","thinking":"a\u002fb","signature":"EqQB\/+==\u003d"}`
	tests := []struct {
		name, path, body, upstream, sent string // sent: empty where it is the body
		header                           string // where the key must be
		media, answer                    string
		usage                            countersign.Usage
	}{
		{
			"anthropic", "/v1/messages?beta=true&x=%2F", `{` + odd + `,"model":"claude-x","messages":[{"role":"assistant","content":[` + thinking + `]}]}` + "\n", "/v1/messages?beta=true&x=%2F", "", "X-Api-Key",
			"text/event-stream", "event: ping\r\ndata: {\"type\": \"ping\"}\r\n\r\n: x\n\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude-x\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n",
			countersign.Usage{Input: 3, Output: 1},
		},
		{
			"anthropic, prefixed", "/v1/messages", `{` + odd + `,"model":"anthropic\/claude-x"}`, "/v1/messages", `{` + odd + `,"model":"claude-x"}`, "X-Api-Key",
			"application/json", "{ \"type\":\"message\",\n\"usage\":{\"input_tokens\":3,\"output_tokens\":1}} ",
			countersign.Usage{Input: 3, Output: 1},
		},
		{
			"chat", "/v1/chat/completions", `{` + odd + `,"model":"m"}`, "/v1/chat/completions", "", "Authorization",
			"text/event-stream; charset=utf-8", "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1},\"n\":1.0}\n\ndata: [DONE]\n\n",
			countersign.Usage{Input: 3, Output: 1},
		},
		{
			"responses", "/v1/responses", `{` + odd + `,"model":"second/m","store":false,"input":[{"type":"reasoning","encrypted_content":"g\/A="}]}`, "/second/v1/responses", `{` + odd + `,"model":"m","store":false,"input":[{"type":"reasoning","encrypted_content":"g\/A="}]}`, "Authorization",
			"text/event-stream", "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n",
			countersign.Usage{Input: 3, Output: 1},
		},
		{
			"azure deployment", "/openai/deployments/dep-1/chat/completions?api-version=2024-10-21", `{` + odd + `}`, "/openai/deployments/dep-1/chat/completions?api-version=2024-10-21", "", "Api-Key",
			"application/json", "{\"model\":\"gpt-x\",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}",
			countersign.Usage{Input: 3, Output: 1},
		},
		{
			"azure deployment, prefixed", "/openai/deployments/azure%2Fdep-1/chat/completions?api-version=1", `{` + odd + `,"model":"azure/dep-1"}`, "/openai/deployments/dep-1/chat/completions?api-version=1", `{` + odd + `,"model":"dep-1"}`, "Api-Key",
			"application/json", "{\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}",
			countersign.Usage{Input: 3, Output: 1},
		},
		{
			"azure by OpenAI's path", "/v1/chat/completions", `{` + odd + `,"model":"azure/dep-1"}`, "/openai/v1/chat/completions", `{` + odd + `,"model":"dep-1"}`, "Api-Key",
			"application/json", "{\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}",
			countersign.Usage{Input: 3, Output: 1},
		},
		{
			"gemini", "/v1beta/models/gemini-x:streamGenerateContent?alt=sse&key=" + token, `{` + odd + `,"contents":[{"parts":[{"text":"x","thoughtSignature":"a\/b"}]}]}`, "/v1beta/models/gemini-x:streamGenerateContent?alt=sse", "", "X-Goog-Api-Key",
			"text/event-stream", "data: {\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":1}}\r\n\r\n",
			countersign.Usage{Input: 3, Output: 1},
		},
		{
			"gemini, prefixed", "/v1beta/models/gemini/gemini-x:generateContent", `{` + odd + `}`, "/v1beta/models/gemini-x:generateContent", "", "X-Goog-Api-Key",
			"application/json", "[{\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":1}}\r\n]",
			countersign.Usage{Input: 3, Output: 1},
		},
		{
			"ollama", "/api/chat", `{` + odd + `,"model":"q"}`, "/local/api/chat", "", "",
			"application/x-ndjson", "{\"done\":false}\n{\"done\":true,\"prompt_eval_count\":3,\"eval_count\":1}\n",
			countersign.Usage{Input: 3, Output: 1},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tt.media)
				w.Header().Set("X-Vendor", "v")
				for b := []byte(tt.answer); len(b) > 0; { // odd pieces
					n := min(7, len(b))
					_, _ = w.Write(b[:n])
					w.(http.Flusher).Flush()
					b = b[n:]
				}
			})
			resp, body := r.do(t, "POST", tt.path, tt.body, "Authorization", "Bearer "+token, "X-Stainless-Lang", "js", "X-Codex-Turn-Metadata", "{}", "X-Portkey-Provider", "evil", "User-Agent", "u/1")
			if resp.StatusCode != 200 || body != tt.answer || resp.Header.Get("X-Vendor") != "v" || resp.Header.Get("Content-Type") != tt.media {
				t.Fatalf("%d %q %v", resp.StatusCode, body, resp.Header)
			}
			got, sent := <-r.got, <-r.bodies
			if tt.sent == "" {
				tt.sent = tt.body
			}
			if sent != tt.sent || got.URL.String() != tt.upstream {
				t.Errorf("the provider got %s %q", got.URL, sent)
			}
			if got.Header.Get("X-Stainless-Lang") != "js" || got.Header.Get("X-Codex-Turn-Metadata") != "{}" || got.Header.Get("User-Agent") != "u/1" || got.Header.Get("X-Portkey-Provider") != "" {
				t.Errorf("%v", got.Header)
			}
			for _, h := range []string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"} {
				if has := strings.Contains(got.Header.Get(h), key); has != (h == tt.header) || strings.Contains(got.Header.Get(h), token) {
					t.Errorf("%s: %q", h, got.Header.Get(h))
				}
			}
			res := r.untilClosed(t, 2)[1]
			if diff := cmp.Diff(&tt.usage, res.Usage); diff != "" {
				t.Error(diff)
			}
			if res.Detail["served_otherwise"] != nil {
				t.Errorf("%+v", res.Model)
			}
		})
	}
}

func TestFeaturesByRule(t *testing.T) {
	tests := []struct{ name, path, body, kind, feature string }{
		{"server tools", "/v1/messages", `{"model":"c","tools":[{"type":"web_search_20250305"}]}`, "server-tools", "server-tools/web_search_20250305"},
		{"remote mcp", "/v1/responses", `{"model":"g","store":false,"tools":[{"type":"mcp"}]}`, "remote-mcp", "remote-mcp/mcp"},
		{"stored", "/v1/responses", `{"model":"g","store":true}`, "stored-responses", "stored-responses/store"},
		{"background", "/v1/responses", `{"model":"g","store":false,"background":true}`, "background", "background/background"},
		{"batch", "/v1/messages/batches", `{"requests":[{"params":{"model":"c"}}]}`, "batch", "batch/messages"},
		{"batch in the path", "/v1beta/models/m:batchGenerateContent", `{}`, "batch", "batch/batchGenerateContent"},
		{"gemini search", "/v1beta/models/m:generateContent", `{"tools":[{"google_search":{}}]}`, "server-tools", "server-tools/googleSearch"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
			resp, b := r.do(t, "POST", tt.path, tt.body, "X-Api-Key", token)
			if resp.StatusCode != 400 || !strings.Contains(b, "policy denies "+tt.feature+" (rule models-features)") || r.reached() != 0 {
				t.Errorf("%d %s, reached %d", resp.StatusCode, b, r.reached())
			}
			r.allowed = tt.kind
			if resp, b := r.do(t, "POST", tt.path, tt.body, "X-Api-Key", token); resp.StatusCode != 200 || r.reached() != 1 {
				t.Fatalf("%d %s", resp.StatusCode, b)
			}
			if sent := <-r.bodies; sent != tt.body {
				t.Errorf("sent %s", sent)
			}
			recs := r.untilClosed(t, 3)
			deny, allow := recs[0], recs[1]
			if deny.Decision.Verdict != "deny" || deny.Policy.Rule != "models-features" || deny.Policy.Bundle != "sha256:b" || deny.Outcome.Status != "refused" || !strings.Contains(deny.Decision.Reason, tt.feature) {
				t.Errorf("%+v %+v", deny.Decision, deny.Policy)
			}
			if diff := cmp.Diff(map[string]string{tt.feature: "deny"}, deny.Detail["features"]); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(map[string]string{tt.feature: "allow"}, allow.Detail["features"]); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestABatchNamesOnlyAllowedModels(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
	r.allowed = "batch"
	resp, b := r.do(t, "POST", "/v1/messages/batches", `{"requests":[{"params":{"model":"c"}},{"params":{"model":"forbidden-1"}}]}`, "X-Api-Key", token)
	if resp.StatusCode != 400 || !strings.Contains(b, "anthropic/forbidden-1") || r.reached() != 0 {
		t.Errorf("%d %s", resp.StatusCode, b)
	}
}

// Relays such as OpenRouter answer with any model of a list: each must be allowed.
func TestAListOfModelsIsAllowedAsAWhole(t *testing.T) {
	for _, path := range []string{"/v1/chat/completions", "/v1/messages"} {
		r := newRig(t, okAnswer)
		resp, b := r.do(t, "POST", path, `{"model":"m","models":["n","forbidden-1"]}`, "X-Api-Key", token)
		if resp.StatusCode != 400 || !strings.Contains(b, "/forbidden-1") || r.reached() != 0 {
			t.Errorf("%s: %d %s", path, resp.StatusCode, b)
		}
		if resp, b := r.do(t, "POST", path, `{"model":"m","models":["n"]}`, "X-Api-Key", token); resp.StatusCode != 200 || r.reached() != 1 {
			t.Errorf("%s: %d %s", path, resp.StatusCode, b)
		}
	}
}

// Responses keeps an answer unless it is told not to: it is told.
func TestStoringByDefaultIsTurnedOff(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
	for _, tt := range []struct{ path, body, want string }{
		{"/v1/responses", ` { "model":"openai/m"}`, ` {"store":false, "model":"m"}`},
		{"/openai/v1/responses", `{"model":"m"}`, `{"store":false,"model":"m"}`},
	} {
		if resp, b := r.do(t, "POST", tt.path, tt.body, "X-Api-Key", token); resp.StatusCode != 200 {
			t.Fatal(resp.StatusCode, b)
		}
		if sent := <-r.bodies; sent != tt.want {
			t.Errorf("sent %s", sent)
		}
	}
	rec := r.untilClosed(t, 4)[0]
	if diff := cmp.Diff(map[string]string{"stored-responses/by-default": "off"}, rec.Detail["features"]); diff != "" {
		t.Error(diff)
	}
	r.allowed = "stored-responses"
	r.do(t, "POST", "/v1/responses", `{"model":"m"}`, "X-Api-Key", token)
	if sent := <-r.bodies; sent != `{"model":"m"}` {
		t.Errorf("sent %s", sent)
	}
}

func TestLoginsOfConsumerPlansStayOutside(t *testing.T) {
	// {"iss":"https://auth.openai.com"} and {"iss":"https://idp.example.com"}
	const chatGPT = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2F1dGgub3BlbmFpLmNvbSJ9.c2ln"
	const company = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlLmNvbSJ9.c2ln"
	r := newRig(t, func(http.ResponseWriter, *http.Request) {})
	tests := []struct {
		headers []string
		rule    string
		status  int
	}{
		{[]string{"Authorization", "Bearer sk-ant-oat01-abc"}, "gateway-subscription", 400},
		{[]string{"Authorization", "Bearer " + chatGPT}, "gateway-subscription", 400},
		{[]string{"Authorization", "Bearer " + token, "X-Api-Key", "sk-ant-oat01-abc"}, "gateway-subscription", 400},
		{[]string{"Authorization", "Bearer " + company}, "gateway-token", 401},
		{[]string{"X-Api-Key", "sk-ant-api03-personal"}, "gateway-token", 401},
		{[]string{"Authorization", "Bearer ya29.abc"}, "gateway-subscription", 400},
	}
	for i, tt := range tests {
		resp, b := r.do(t, "POST", "/v1/messages", `{"model":"m"}`, tt.headers...)
		rec := r.untilClosed(t, i+1)[i]
		if resp.StatusCode != tt.status || rec.Policy.Rule != tt.rule || rec.Decision.Verdict != "deny" || r.reached() != 0 {
			t.Errorf("%v: %d %s by %s", tt.headers, resp.StatusCode, b, rec.Policy.Rule)
		}
		all, err := json.Marshal(rec)
		for _, h := range tt.headers {
			if secret := strings.TrimPrefix(h, "Bearer "); err != nil || len(secret) > 12 && secret != "Authorization" && strings.Contains(string(all)+b, secret) {
				t.Errorf("%q is on record", secret)
			}
		}
	}
}

// A stream that the provider cuts ends in an error that the agent understands.
func TestAStreamThatIsCutEndsInTheWiresWords(t *testing.T) {
	tests := []struct{ name, path, body, media, piece, want string }{
		{"anthropic", "/v1/messages", `{"model":"m"}`, "text/event-stream", "event: message_start\ndata: {}\n\n", "event: error\ndata: {\"type\":\"error\""},
		{"in the middle of an event", "/v1/messages", `{"model":"m"}`, "text/event-stream", "event: message_start\ndata: {\"ty", "\n\nevent: error\ndata: {\"type\":\"error\""},
		{"chat", "/v1/chat/completions", `{"model":"m"}`, "text/event-stream", "data: {}\n\n", "data: {\"error\":{\"message\""},
		{"responses", "/v1/responses", `{"model":"m"}`, "text/event-stream", "data: {}\n\n", "event: response.failed\ndata: {\"response\""},
		{"azure", "/openai/deployments/d/chat/completions", `{}`, "text/event-stream", "data: {}\n\n", "data: {\"error\":{\"message\""},
		{"gemini", "/v1beta/models/m:streamGenerateContent?alt=sse", `{}`, "text/event-stream", "data: {}\r\n\r\n", "data: {\"error\":{\"code\":502"},
		{"ollama", "/api/chat", `{"model":"m"}`, "application/x-ndjson", "{\"done\":false}\n", "{\"error\":\"Countersign"},
		{"no stream", "/v1/messages", `{"model":"m"}`, "application/json", "{\"type\":", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tt.media)
				_, _ = io.WriteString(w, tt.piece)
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			})
			resp := r.begin(t, "POST", tt.path, tt.body, "X-Api-Key", token)
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if !strings.HasPrefix(string(b), tt.piece+tt.want) || (err == nil) != (tt.want != "") {
				t.Errorf("%q, %v", b, err)
			}
			res := r.untilClosed(t, 2)[1]
			if res.Outcome.Status != "failed" || res.Outcome.Error != "the provider's answer was cut off" || r.book.blobs[res.Payloads[0].CT] != tt.piece {
				t.Errorf("%+v %q", res.Outcome, r.book.blobs)
			}
		})
	}
}

func TestServedModel(t *testing.T) {
	tests := []struct {
		asked, served string
		other         bool
	}{
		{"claude-sonnet-4-5", "claude-sonnet-4-5-20250929", false},
		{"gpt-4o", "gpt-4o-2024-08-06", false},
		{"gpt-4o", "gpt-4o-mini", true},
		{"gpt-4o-2024-08-06", "gpt-4o-2024-05-13", true},
		{"gpt-4o-2024-08-06", "gpt-4o", true},
		{"claude-3-5-haiku-latest", "claude-3-5-haiku-20241022", false},
		{"qwen3", "qwen3:latest", false},
		{"claude-opus-4-1", "deepseek-chat", true},
		{"Gemini-2.5-Pro", "models/gemini-2.5-pro", false},
		{"m", "m", false},
		{"gpt-5", "gpt-5.1", true},
	}
	for _, tt := range tests {
		if got := wire.SameModel(tt.asked, tt.served); got == tt.other {
			t.Errorf("%s answered by %s: same %v", tt.asked, tt.served, got)
		}
	}
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"type":"message","model":"deepseek-chat"}`)
	})
	r.do(t, "POST", "/v1/messages", `{"model":"claude-opus-4-1"}`, "X-Api-Key", token)
	if res := r.untilClosed(t, 2)[1]; res.Detail["served_otherwise"] != true || res.Model.Served != "deepseek-chat" {
		t.Errorf("%+v", res.Detail)
	}
}

// An error of the provider that names its account stays outside; one that the
// agent must read does not.
func TestErrorsOfTheProvider(t *testing.T) {
	status := 0
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.Header().Set("Openai-Organization", "org-secret")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"error":{"message":"org-secret: prompt is too long"}}`)
	})
	n := 0
	for _, status = range []int{400, 404, 413, 402, 429, 500, 503, 529} {
		resp, b := r.do(t, "POST", "/v1/chat/completions", `{"model":"m"}`, "X-Api-Key", token)
		passes := status == 400 || status == 404 || status == 413
		if resp.StatusCode != status || strings.Contains(b, "org-secret") != passes || resp.Header.Get("Retry-After") != "7" || resp.Header.Get("Openai-Organization") != "" {
			t.Errorf("%d: %d %s %v", status, resp.StatusCode, b, resp.Header)
		}
		if n += 2; !strings.Contains(r.book.blobs[r.untilClosed(t, n)[n-1].Payloads[0].CT], "org-secret") {
			t.Error("the provider's words are not on record")
		}
	}
}

// A stream's words, thinking and tool calls are on record put together.
func TestWhatWasSaidIsOnRecord(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\",\"tool_calls\":[{\"index\":0,\"id\":\"1\",\"function\":{\"name\":\"sh\",\"arguments\":\"{}\"}}]}}]}\n\n")
	})
	r.do(t, "POST", "/v1/chat/completions", `{"model":"m"}`, "X-Api-Key", token)
	res := r.untilClosed(t, 2)[1]
	if len(res.Payloads) != 2 || res.Payloads[1].Role != "said" || r.book.blobs[res.Payloads[1].CT] != `{"text":"ab","calls":[{"id":"1","name":"sh","input":"{}"}]}` {
		t.Errorf("%+v %q", res.Payloads, r.book.blobs)
	}
	if diff := cmp.Diff(map[string]int{"sh": 1}, res.Detail["tools"]); diff != "" {
		t.Error(diff)
	}
}

func TestModelsOfOtherWires(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.WriteString(w, `{"models":[{"name":"models/a","x":1.0},{"name":"models/forbidden-b"} , {"name":"models/c","model":"c"}],"next":null}`)
	})
	for _, path := range []string{"/v1beta/models?pageSize=50", "/api/tags"} {
		resp, b := r.do(t, "GET", path, "", "X-Goog-Api-Key", token)
		if want := `{"models":[{"name":"models/a","x":1.0},{"name":"models/c","model":"c"}],"next":null}`; resp.StatusCode != 200 || b != want {
			t.Errorf("%s: %d %s", path, resp.StatusCode, b)
		}
	}
	if resp, b := r.do(t, "GET", "/v1beta/models/forbidden-b", "", "X-Goog-Api-Key", token); resp.StatusCode != 400 {
		t.Errorf("%d %s", resp.StatusCode, b)
	}
}

// At 64 at once, with every fifth agent hanging up: what the provider saw is on
// record, request and answer, once each.
func TestManyAtOnce(t *testing.T) {
	var mu sync.Mutex
	seen := 0
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		seen++
		mu.Unlock()
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 8 {
			fmt.Fprintf(w, "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"%d\"}}\n\n", i)
			w.(http.Flusher).Flush()
		}
		_, _ = io.WriteString(w, "data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":8}}\n\n")
	})
	done := make(chan bool)
	go func() {
		for {
			select {
			case <-r.got:
			case <-r.bodies:
			case <-done:
				return
			}
		}
	}()
	defer close(done)
	const workers, each = 64, 10
	var wg sync.WaitGroup
	for n := range workers {
		wg.Go(func() {
			for i := range each {
				if err := r.stream((n+i)%5 == 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	count := map[string]int{}
	answered := map[string]int{}
	for _, rec := range r.untilClosed(t, 2*workers*each) {
		count[rec.Type]++
		answered[rec.Parent]++
		if rec.Type == "model.response" && rec.Outcome.Status == "ok" && (rec.Usage == nil || rec.Usage.Output != 8) {
			t.Errorf("%+v", rec)
		}
	}
	delete(answered, "")
	mu.Lock()
	defer mu.Unlock()
	if count["model.request"] != workers*each || len(answered) != workers*each || seen > workers*each || seen < workers*each*4/5 {
		t.Errorf("%v, %d answered, the provider saw %d", count, len(answered), seen)
	}
}

// stream asks once and reads the answer, or hangs up after its first line.
func (r *rig) stream(hangUp bool) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", r.gateway.URL+"/v1/messages", strings.NewReader(`{"model":"m","stream":true}`))
	if err != nil {
		return err
	}
	req.Header.Set("X-Api-Key", token)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if hangUp {
		_, err := bufio.NewReader(resp.Body).ReadString('\n')
		return err
	}
	b, err := io.ReadAll(resp.Body)
	if err == nil && strings.Count(string(b), "text_delta") != 8 {
		err = errors.New("not the whole answer: " + string(b))
	}
	return err
}

// The gateway's names of features are those that a policy can say.
func TestKindsOfFeatures(t *testing.T) {
	want := []string{"server-tools", "remote-mcp", "stored-responses", "background", "batch", "remote-files"}
	if diff := cmp.Diff(want, []string{wire.ServerTools, wire.RemoteMCP, wire.StoredResponses, wire.Background, wire.Batch, wire.RemoteFiles}); diff != "" {
		t.Error(diff)
	}
}
