package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/budget"
)

// listed gives the rig's providers the price lists of the vendors they play.
func (r *rig) listed() {
	for i := range r.config.Providers {
		p := &r.config.Providers[i]
		p.list = map[string]string{"anthropic": "anthropic", "openai": "openai", "gemini": "gemini", "azure": "azure"}[p.Name]
	}
}

func TestEachAnswerIsPriced(t *testing.T) {
	stream := func(lines ...string) string { return "data: " + strings.Join(lines, "\n\ndata: ") + "\n\n" }
	tests := []struct {
		name, path, body, media, answer string
		status                          int
		want                            string // dollars; or why it is unknown; or none
		estimated                       bool
	}{
		{
			"Anthropic's classes", "/v1/messages", `{"model":"claude-sonnet-4-5"}`, "text/event-stream",
			stream(`{"type":"message_start","message":{"model":"claude-sonnet-4-5-20250929","usage":{"input_tokens":1000,"cache_read_input_tokens":50000,"cache_creation_input_tokens":3000,"cache_creation":{"ephemeral_1h_input_tokens":1000},"output_tokens":1,"service_tier":"standard"}}}`, `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":200}}`),
			200, "0.0345", false,
		},
		{
			"fast is charged otherwise", "/v1/messages", `{"model":"claude-opus-5"}`, "application/json",
			`{"type":"message","model":"claude-opus-5","usage":{"input_tokens":1000,"output_tokens":1,"service_tier":"standard","speed":"fast"}}`,
			200, "no price is known for the service tier fast", false,
		},
		{
			"chat", "/v1/chat/completions", `{"model":"gpt-5-mini"}`, "application/json",
			`{"model":"gpt-5-mini-2025-08-07","service_tier":"flex","usage":{"prompt_tokens":3000,"completion_tokens":1000,"prompt_tokens_details":{"cached_tokens":1000},"completion_tokens_details":{"reasoning_tokens":900}}}`,
			200, "0.0012625", false,
		},
		{
			"Responses", "/v1/responses", `{"model":"gpt-5.5","store":false}`, "text/event-stream",
			stream(`{"type":"response.completed","response":{"model":"gpt-5.5","status":"completed","service_tier":"default","usage":{"input_tokens":10000,"input_tokens_details":{"cached_tokens":9000},"output_tokens":500}}}`),
			200, "0.0245", false,
		},
		{
			"Gemini", "/v1beta/models/gemini-2.5-pro:generateContent", `{"contents":[]}`, "application/json",
			`{"modelVersion":"gemini-2.5-pro","usageMetadata":{"promptTokenCount":3000,"cachedContentTokenCount":1000,"candidatesTokenCount":100,"thoughtsTokenCount":900}}`,
			200, "0.012625", false,
		},
		{
			"a local model", "/api/chat", `{"model":"llama"}`, "application/x-ndjson",
			`{"model":"llama","done":true,"done_reason":"stop","prompt_eval_count":5,"eval_count":7}` + "\n",
			200, "no price is known for local/llama", false,
		},
		{
			"nobody counted", "/v1/chat/completions", `{"model":"gpt-5-mini","messages":["` + strings.Repeat("word ", 796) + `xx"]}`, "text/event-stream",
			stream(`{"model":"gpt-5-mini","choices":[{"index":0,"delta":{"content":"`+strings.Repeat("word", 1000)+`"}}]}`, "[DONE]"),
			200, "0.00225125", true,
		},
		{"an error", "/v1/messages", `{"model":"claude-opus-5"}`, "application/json", `{"type":"error"}`, 529, "", false},
		{"a question of size", "/v1/messages/count_tokens", `{"model":"claude-opus-5"}`, "application/json", `{"input_tokens":55}`, 200, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tt.media)
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.answer)
			})
			r.listed()
			r.do(t, "POST", tt.path, tt.body, "Authorization", "Bearer "+token)
			c := r.untilClosed(t, 2)[1].Cost
			switch {
			case c == nil:
				if tt.want != "" {
					t.Error("no cost")
				}
			case c.NanoUSD == nil && (c.Unknown != tt.want || c.USD != ""), c.NanoUSD != nil && c.USD != tt.want, c.Estimated != tt.estimated, c.Table != r.config.Prices.Version():
				t.Errorf("%+v", c)
			}
		})
	}
}

// What was cut off was billed all the same: what was heard counts.
func TestCutAnswerIsEstimated(t *testing.T) {
	heard := strings.Repeat("word", 1000)
	started := make(chan bool, 1)
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, `data: {"type":"message_start","message":{"model":"claude-opus-5","usage":{"input_tokens":1000,"output_tokens":1}}}`+"\n\n"+`data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"`+heard+`"}}`+"\n\n")
		w.(http.Flusher).Flush()
		started <- true
		<-req.Context().Done()
	})
	r.listed()
	ctx, hangUp := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "POST", r.gateway.URL+"/v1/messages", strings.NewReader(`{"model":"claude-opus-5"}`))
	req.Header.Set("X-Api-Key", token)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	<-started
	for got := 0; got < len(heard); {
		n, err := resp.Body.Read(make([]byte, 4096))
		if err != nil {
			t.Fatal(err)
		}
		got += n
	}
	hangUp()
	recs := r.untilClosed(t, 2)
	if c := recs[1].Cost; c == nil || c.USD != "0.03" || !c.Estimated || recs[1].Usage.Output != 1 {
		t.Errorf("%+v %+v", c, recs[1].Usage)
	}
}

func TestCostSaysWhatItLeavesOut(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"type":"message","model":"claude-opus-5","usage":{"input_tokens":1000,"output_tokens":1}}`)
	})
	r.listed()
	r.allowed = "server-tools"
	r.do(t, "POST", "/v1/messages", `{"model":"claude-opus-5","tools":[{"type":"web_search_20250305","name":"web_search"}]}`, "X-Api-Key", token)
	c := r.untilClosed(t, 2)[1].Cost
	if c == nil || len(c.Excludes) != 1 || c.Excludes[0] != "server-tools" {
		t.Errorf("%+v", c)
	}
	raw, err := countersign.Record{Cost: &countersign.Cost{Unknown: "why", Table: "t"}}.JSON()
	if err != nil || !strings.Contains(string(raw), `"cost":{"nano_usd":null,"unknown":"why","table":"t"}`) {
		t.Errorf("%s %v", raw, err)
	}
}

// Who hangs up on every answer before its first word spends all the same.
func TestUnheardOutputIsEstimated(t *testing.T) {
	for _, tt := range []struct {
		took time.Duration
		most int
		want string
	}{{20 * time.Second, 60_000, "2000"}, {20 * time.Second, 500, "500"}, {900 * time.Millisecond, 500, "0"}} {
		var late atomic.Int64
		start := time.Now()
		started := make(chan bool, 1)
		r := newRig(t, func(_ http.ResponseWriter, req *http.Request) {
			late.Store(int64(tt.took))
			started <- true
			<-req.Context().Done()
		}, spending(t, limited("task", "session", "", 0, 1_000_000, 0)), func(o *Options) {
			o.Now = func() time.Time { return start.Add(time.Duration(late.Load())) }
		})
		ctx, hangUp := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, "POST", r.gateway.URL+"/v1/messages", strings.NewReader(fmt.Sprintf(`{"model":"claude-opus-5","max_tokens":%d}`, tt.most)))
		req.Header.Set("X-Api-Key", token)
		go func() { <-started; hangUp() }()
		if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
			resp.Body.Close()
		}
		r.untilClosed(t, 2)
		left, err := r.budget.Left(budget.Who{Session: "s1"})
		prompt := tokensIn(len(fmt.Sprintf(`{"model":"claude-opus-5","max_tokens":%d}`, tt.most)))
		var out, spent int64
		fmt.Sscan(tt.want, &out)
		fmt.Sscan(left[0].Tokens.Spent, &spent)
		if err != nil || spent != prompt+out || left[0].Tokens.Reserved != "0" {
			t.Errorf("%v of at most %d: %+v %v, want %d", tt.took, tt.most, left[0].Tokens, err, prompt+out)
		}
	}
}
