package gateway

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/early"
	"github.com/countersign/countersign/gateway/wire"
)

// A call that is asked about reaches the agent when it is answered: what the model
// said before goes on at once, the agent hears that its answer is under way, and
// every byte stays as it was.
func TestCallsWaitForTheirAnswer(t *testing.T) {
	const chat = `data: {"model":"m","choices":[{"index":0,"delta":{"content":"Let me look."}}]}` + "\n\n"
	const call = `data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"TOOL","arguments":"{\"commands\":"}}]}}]}` + "\n\n" +
		`data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"[\"npm test\"]}"}}]},"finish_reason":"tool_calls"}]}` + "\n\ndata: [DONE]\n\n"
	const said = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Let me\"}}\n\n"
	const used = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"TOOL\",\"input\":{}}}\n\n" +
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"commands\\\":[\\\"npm test\\\"]}\"}}\n\n" +
		"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
	const whole = `{"type":"message","model":"m","content":[{"type":"tool_use","id":"c","name":"TOOL","input":{"commands":["npm test"]}}]}`
	tests := []struct{ name, path, media, before, held, ping, input string }{
		{"chat", "/v1/chat/completions", "text/event-stream", chat, call, ": countersign\n\n", `{"commands":["npm test"]}`},
		{"anthropic", "/v1/messages", "text/event-stream", said, used, "event: ping\ndata: {\"type\":\"ping\"}\n\n", `{"commands":["npm test"]}`},
		{"returns", "/v1/chat/completions", "text/event-stream", strings.ReplaceAll(chat, "\n", "\r\n"), strings.ReplaceAll(call, "\n", "\r\n"), ": countersign\n\n", `{"commands":["npm test"]}`},
		{"whole", "/v1/messages", "application/json", "", whole, "", `{"commands":["npm test"]}`},
		{"lines", "/api/chat", "application/x-ndjson", `{"model":"m","message":{"content":"a"}}` + "\n", `{"message":{"tool_calls":[{"function":{"name":"TOOL","arguments":{"commands":["npm test"]}}}]}}` + "\n" + `{"done":true}` + "\n", "", `{"commands":["npm test"]}`},
	}
	for _, tt := range tests {
		for _, tool := range []string{"run", "read"} {
			t.Run(tt.name+" "+tool, func(t *testing.T) {
				held, asked, answered := strings.ReplaceAll(tt.held, "TOOL", tool), make(chan wire.Call, 1), make(chan struct{})
				r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", tt.media)
					for b := tt.before + held; b != ""; { // in pieces that end anywhere
						n := min(7, len(b))
						_, _ = io.WriteString(w, b[:n])
						w.(http.Flusher).Flush()
						b = b[n:]
					}
				}, func(o *Options) {
					o.Quiet = time.Millisecond
					o.Early = &early.Asker{
						Wants: func(tool string) (time.Duration, bool) { return time.Minute, tool == "run" },
						Ask:   func(_ context.Context, c wire.Call) { asked <- c; <-answered },
					}
				})
				opened := r.open(t, tt.path)
				var first string
				if tool == "run" {
					if c := <-asked; c.Name != "run" || c.Input != tt.input {
						t.Errorf("asked about %+v", c)
					}
				}
				var resp *http.Response
				if tt.before != "" {
					resp = <-opened
					first = readAtLeast(t, resp.Body, len(tt.before))
					if tool == "run" && strings.Contains(first, "npm") {
						t.Errorf("the agent heard %q before the answer", first)
					}
					if tool == "run" && tt.ping != "" {
						first += readAtLeast(t, resp.Body, 3*len(tt.ping))
					}
				}
				close(answered)
				if resp == nil {
					resp = <-opened
				}
				defer resp.Body.Close()
				got := first
				rest, err := io.ReadAll(resp.Body)
				got += string(rest)
				if tt.ping != "" {
					got = strings.ReplaceAll(got, tt.ping, "")
				}
				if err != nil || got != tt.before+held {
					t.Errorf("%q is not %q: %v", got, tt.before+held, err)
				}
				res := r.untilClosed(t, 2)[1]
				if _, waited := res.Detail["asked_ms"]; res.Outcome.Status != "ok" || waited != (tool == "run") {
					t.Errorf("%+v", res)
				}
			})
		}
	}
}

// Nobody is asked about what no agent will get: half an answer, or one that is
// refused; and an agent that hangs up takes its question back.
func TestNobodyIsAskedForNothing(t *testing.T) {
	const call = `data: {"model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"run","arguments":"{}"}}]}}]}` + "\n\n"
	asked, over := make(chan struct{}, 1), make(chan struct{})
	cut := true
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, call)
		w.(http.Flusher).Flush()
		if cut {
			panic(http.ErrAbortHandler)
		}
	}, func(o *Options) {
		o.Early = &early.Asker{
			Wants: func(string) (time.Duration, bool) { return time.Hour, true },
			Ask:   func(ctx context.Context, _ wire.Call) { asked <- struct{}{}; <-ctx.Done(); close(over) },
		}
		o.Served = func(string, string) countersign.Ruling { return countersign.Ruling{Verdict: countersign.Allow} }
	})
	resp := <-r.open(t, "/v1/chat/completions")
	_, _ = io.ReadAll(resp.Body)
	resp.Body.Close()
	if res := r.untilClosed(t, 2)[1]; res.Outcome.Status != "failed" || len(asked) != 0 {
		t.Errorf("%+v, asked %d", res, len(asked))
	}
	cut = false
	ctx, hangUp := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "POST", r.gateway.URL+"/v1/chat/completions", strings.NewReader(`{"model":"m","stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", token)
	go func() { _, _ = http.DefaultTransport.RoundTrip(req) }()
	<-asked
	hangUp()
	<-over
	if res := r.untilClosed(t, 4)[3]; res.Outcome.Status != "failed" {
		t.Errorf("%+v", res)
	}
}

// open asks for a stream; what it returns gives the answer when its head is there.
func (r *rig) open(t *testing.T, path string) <-chan *http.Response {
	t.Helper()
	req, err := http.NewRequest("POST", r.gateway.URL+path, strings.NewReader(`{"model":"m","stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", token)
	c := make(chan *http.Response, 1)
	go func() {
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Error(err)
			resp = &http.Response{Body: http.NoBody}
		}
		c <- resp
	}()
	return c
}

func readAtLeast(t *testing.T, in io.Reader, n int) string {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(in, b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}
