package gateway

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	countersign "github.com/countersign/countersign"
)

// captured is a request of a real agent: the third turn of a task, behind two
// tool calls that the provider had signed where the wire has signatures. Long
// texts are cut short and what tells one machine or person from another is
// blanked; every field, every name and the order of both are the agent's.
type captured struct {
	*http.Request
	head http.Header // with the gateway's token where the agent put it
	body string
}

func readCaptured(t *testing.T, path string) captured {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, body, ok := bytes.Cut(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\n\n"))
	req, err := http.ReadRequest(bufio.NewReader(io.MultiReader(bytes.NewReader(head), strings.NewReader("\n\n"))))
	if !ok || err != nil {
		t.Fatal(path, err)
	}
	c := captured{req, req.Header, string(body)}
	for _, h := range keyHeaders {
		if v := c.head.Get(h); v != "" {
			c.head.Set(h, strings.Replace(v, "TOKEN", token, 1))
		}
	}
	return c
}

// keyHeaders are where agents put a key.
var keyHeaders = []string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"}

// signed is what the provider of the captures signed a turn with.
const signed = `EqQB/+sig01/+==`

// odd is the request with what a decoder and an encoder would not keep: unknown
// fields, integers beyond 64 bits, a name twice, escapes, and a signature as
// long as real ones, escaped as no encoder would.
func (c captured) odd() string {
	long := strings.Repeat(`EqQB\/\u002bA9`, 64) + `\u003d=`
	return " {" + odd + "," + strings.TrimPrefix(strings.ReplaceAll(c.body, signed, long), "{") + "\r\n"
}

// Answers with comments, pings, carriage returns, unknown fields and big integers.
const (
	sseOdd = ": hello\n\nevent: ping\r\ndata: {\"type\": \"ping\"}\r\n\r\n"

	answerMessages = sseOdd + "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude-sonnet-4-5\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1},\"new\":12345678901234567890}}\n\n" +
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"Eq\\/\\u003d=\"}}\n\n"
	answerResponses = ": hello\n\nevent: response.output_item.done\r\ndata: {\"type\":\"response.output_item.done\",\"item\":{\"type\":\"reasoning\",\"encrypted_content\":\"g\\/A=\",\"n\":1.0}}\r\n\r\n" +
		"event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"model\":\"gpt-5.5\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1},\"new\":12345678901234567890}}\n\n"
	answerChat   = ": hello\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\\ud83d\\ude00\",\"reasoning_content\":\"\\/\"}}],\"new\":12345678901234567890}\r\n\r\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1},\"n\":1.0}\n\ndata: [DONE]\n\n"
	answerGemini = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\",\"thoughtSignature\":\"Eq\\/\\u003d=\"}]}}],\"new\":12345678901234567890}\r\n\r\ndata: {\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":1},\"n\":1.0}\r\n\r\n"
	answerOllama = "{\"message\":{\"content\":\"\\u00e9\\/\"},\"done\":false,\"new\":12345678901234567890}\n{ \"done\":true,\"prompt_eval_count\":3,\"eval_count\":1,\"n\":1.0 }\r\n"
)

// What real agents send reaches the provider byte for byte, with each header and
// the query, and the answer comes back as it is: on every wire, as it was
// captured and with what only bytes can keep, while both are searched for
// secrets.
func TestCapturedRequestsByteForByte(t *testing.T) {
	const stream = "text/event-stream"
	tests := []struct{ file, wire, key, media, answer, upstream string }{
		{"claude-code-2.1.331", "anthropic", "X-Api-Key", stream, answerMessages, ""},
		{"opencode-1.18.33-messages", "anthropic", "X-Api-Key", stream, answerMessages, ""},
		{"codex-0.169.0", "openai-responses", "Authorization", stream, answerResponses, ""},
		{"opencode-1.18.33-responses", "openai-responses", "Authorization", stream, answerResponses, ""},
		{"copilot-1.0.102-chat", "openai-chat", "Authorization", stream, answerChat, ""},
		{"cline-3.0.65-chat", "openai-chat", "Authorization", stream, answerChat, ""},
		{"copilot-1.0.102-azure", "azure-chat", "Api-Key", stream, answerChat, ""},
		{"copilot-1.0.102-deployment", "azure-chat", "Api-Key", stream, answerChat, ""},
		{"gemini-cli-0.61.0", "gemini", "X-Goog-Api-Key", stream, answerGemini, ""},
		{"cline-3.0.65-ollama", "ollama-chat", "", "application/x-ndjson", answerOllama, "/local/api/chat"},
	}
	files, _ := filepath.Glob("testdata/agents/*.http")
	if len(files) != len(tests) {
		t.Errorf("%d captures, %d tests", len(files), len(tests))
	}
	for _, tt := range tests {
		c := readCaptured(t, "testdata/agents/"+tt.file+".http")
		if tt.wire != "openai-chat" && tt.wire != "azure-chat" && tt.wire != "ollama-chat" && !strings.Contains(c.body, signed) {
			t.Errorf("%s holds no signed block", tt.file)
		}
		for name, body := range map[string]string{"": c.body, ", odd": c.odd()} {
			t.Run(tt.file+name, func(t *testing.T) {
				r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", tt.media)
					for b := []byte(tt.answer); len(b) > 0; {
						n := min(5, len(b))
						_, _ = w.Write(b[:n])
						w.(http.Flusher).Flush()
						b = b[n:]
					}
				}, secretRules(words{}))
				var headers []string
				for h := range c.head {
					headers = append(headers, h, c.head.Get(h))
				}
				resp, answer := r.do(t, c.Method, c.RequestURI, body, headers...)
				if resp.StatusCode != 200 || answer != tt.answer || resp.Header.Get("Content-Type") != tt.media {
					t.Fatalf("%d %q", resp.StatusCode, answer)
				}
				want := c.RequestURI
				if tt.upstream != "" {
					want = tt.upstream
				}
				got, sent := <-r.got, <-r.bodies
				if sent != body || got.URL.String() != want {
					t.Errorf("the provider got %s\n%q\nfor\n%q", got.URL, sent, body)
				}
				c.sameHeaders(t, got.Header, tt.key)
				recs := r.untilClosed(t, 2)
				r.checkCaptured(t, recs[0], recs[1], tt.wire, body, tt.answer)
			})
		}
	}
}

// sameHeaders says which headers did not reach the provider as they were sent.
func (c captured) sameHeaders(t *testing.T, got http.Header, keyIn string) {
	t.Helper()
	want := c.head.Clone()
	for _, h := range keyHeaders {
		want.Del(h)
	}
	if keyIn != "" {
		want.Set(keyIn, strings.Replace(map[bool]string{true: "Bearer KEY", false: "KEY"}[keyIn == "Authorization"], "KEY", key, 1))
	}
	want.Set("Accept-Encoding", "identity")
	got = got.Clone()
	got.Del("Content-Length")
	if _, ok := want["User-Agent"]; !ok {
		t.Error("an agent that does not say who it is")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers: %s", diff)
	}
}

// checkCaptured looks at the records of one call.
func (r *rig) checkCaptured(t *testing.T, req, res countersign.Record, wire, body, answer string) {
	t.Helper()
	if r.book.blobs[req.Payloads[0].CT] != body || r.book.blobs[res.Payloads[0].CT] != answer {
		t.Error("prompt or answer is not on record as it was")
	}
	if req.Model.Wire != wire || req.Model.Requested == "" || req.Detail["redactions"] != nil || req.Detail["features"] != nil || req.Detail["stream"] != true {
		t.Errorf("%+v %v", req.Model, req.Detail)
	}
	if diff := cmp.Diff(&countersign.Usage{Input: 3, Output: 1}, res.Usage); diff != "" || res.Outcome.Status != "ok" || res.Detail["redactions"] != nil {
		t.Errorf("%s %+v %v", diff, res.Outcome, res.Detail)
	}
}
