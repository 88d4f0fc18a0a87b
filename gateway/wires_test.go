package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/wire"
)

func routed(t *testing.T, method, path string, headers ...string) (wire.Wire, wire.Route, bool) {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return (&gateway{wires: wires()}).routeOf(r)
}

func TestRoutes(t *testing.T) {
	tests := []struct{ method, path, name, model string }{
		{"POST", "/v1/messages", "anthropic", ""},
		{"POST", "/v1/messages/count_tokens", "anthropic-count", ""},
		{"POST", "/v1/messages/batches", "anthropic-batch", ""},
		{"POST", "/v1/chat/completions", "openai-chat", ""},
		{"POST", "/v1/responses", "openai-responses", ""},
		{"GET", "/v1/responses/resp_1", "openai-responses", ""},
		{"POST", "/v1/batches", "openai-batch", ""},
		{"GET", "/v1/models", "openai-models", ""},
		{"GET", "/v1/models/vendor%2Fm", "openai-models", "vendor/m"},
		{"POST", "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21", "azure-chat", "my-gpt"},
		{"POST", "/openai/deployments/my-gpt/embeddings", "azure-embeddings", "my-gpt"},
		{"POST", "/openai/v1/responses", "azure-responses", ""},
		{"POST", "/openai/v1/chat/completions", "azure-chat", ""},
		{"POST", "/openai/responses?api-version=2025-04-01-preview", "azure-responses", ""},
		{"GET", "/openai/v1/models/m-1", "azure-models", "m-1"},
		{"POST", "/v1beta/models/gemini-2.5-pro:generateContent", "gemini", "gemini-2.5-pro"},
		{"POST", "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse", "gemini", "gemini-2.5-pro"},
		{"POST", "/v1beta/models/google%2Fgemini-2.5-pro%3AcountTokens", "gemini-count", "google/gemini-2.5-pro"},
		{"POST", "/v1/models/gemini-2.5-pro:generateContent", "gemini", "gemini-2.5-pro"},
		{"GET", "/v1beta/models", "gemini-models", ""},
		{"POST", "/v1beta/models/m:batchGenerateContent", "gemini-batch", "m"},
		{"POST", "/api/chat", "ollama-chat", ""},
		{"POST", "/api/generate", "ollama-generate", ""},
		{"POST", "/api/embed", "ollama-embed", ""},
		{"GET", "/api/tags", "ollama-models", ""},
		{"POST", "/api/show", "ollama-models", ""},
		{"POST", "/api/pull", "", ""},
		{"DELETE", "/api/delete", "", ""},
		{"POST", "/v1/files", "", ""},
		{"POST", "/v1beta/models/..%2F..%2Fx:generateContent", "", ""},
		{"POST", "/openai/deployments/../chat/completions", "", ""},
		{"POST", "/openai/deployments/a/b/c", "", ""},
		{"POST", "//v1/messages", "", ""},
		{"POST", "/v1/messages/", "", ""},
	}
	for _, tt := range tests {
		_, rt, ok := routed(t, tt.method, tt.path)
		if ok != (tt.name != "") || ok && (rt.Name != tt.name || rt.Model != tt.model) {
			t.Errorf("%s %s: %v %+v", tt.method, tt.path, ok, rt)
		}
		path, _, _ := strings.Cut(tt.path, "?")
		if ok && tt.model != "" {
			if got := rt.StripPath(path, len(tt.model)-1); !strings.Contains(got, "/"+tt.model[len(tt.model)-1:]) || strings.Contains(got, tt.model) && len(tt.model) > 1 {
				t.Errorf("%s without all but the last of the model's bytes is %s", path, got)
			}
		}
	}
	if _, rt, _ := routed(t, "GET", "/v1/models", "Anthropic-Version", "2023-06-01"); rt.Name != "anthropic-models" {
		t.Errorf("%+v", rt)
	}
}

const oddPaths = "/v1/messages /v1/messages/count_tokens /v1/messages/batches /v1/chat/completions /v1/responses /openai/deployments/d/chat/completions /openai/v1/responses " +
	"/v1beta/models/m:generateContent /v1beta/models/m:streamGenerateContent /v1beta/models/m:countTokens /api/chat /api/generate /api/show /api/embed"

func TestFeatures(t *testing.T) {
	golden := func(path string) string {
		b, err := os.ReadFile(filepath.FromSlash(path))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	tests := []struct {
		name, path, body string
		want             []string
	}{
		{"Claude Code", "/v1/messages?beta=true", golden("anthropic/testdata/claude-code.json"), nil},
		{"Codex", "/v1/responses", golden("openai/testdata/codex.json"), []string{"server-tools/web_search"}},
		{"Codex without search", "/v1/responses", golden("openai/testdata/codex-no-search.json"), nil},
		{"search", "/v1/messages", `{"model":"c","tools":[{"type":"web_search_20250305","name":"web_search"},{"type":"custom","name":"x"},{"type":"bash_20250124","name":"bash"}]}`, []string{"server-tools/web_search_20250305"}},
		{"a tool of tomorrow", "/v1/messages", `{"model":"c","tools":[{"type":"teleport_20990101"}]}`, []string{"server-tools/teleport_20990101"}},
		{"mcp", "/v1/messages", `{"model":"c","mcp_servers":[{"url":"https://x"}],"tools":[{"type":"mcp_toolset"}]}`, []string{"remote-mcp/mcp_servers", "remote-mcp/mcp_toolset"}},
		{"container", "/v1/messages", `{"model":"c","container":"c_1"}`, []string{"server-tools/container"}},
		{"files", "/v1/messages", `{"model":"c","messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https://x"}},{"type":"tool_result","content":[{"type":"document","source":{"type":"file","file_id":"f"}}]}]}]}`, []string{"remote-files/url", "remote-files/file"}},
		{"a tool in the middle of the conversation", "/v1/messages", `{"model":"c","messages":[{"role":"system","content":[{"type":"tool_addition","tools":[{"type":"web_fetch_20250910"}]}]}]}`, []string{"server-tools/web_fetch_20250910"}},
		{"what a tool was told is its own", "/v1/messages", `{"model":"c","messages":[{"role":"assistant","content":[{"type":"tool_use","input":{"type":"url","x":{"type":"web_search_20250305"}}}]}]}`, nil},
		{"batch", "/v1/messages/batches", `{"requests":[{"custom_id":"1","params":{"model":"a","mcp_servers":[{}]}},{"params":{"model":"b"}}]}`, []string{"remote-mcp/mcp_servers"}},
		{"chat", "/v1/chat/completions", `{"model":"g","store":true,"web_search_options":{},"tools":[{"type":"function"}],"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x"}},{"type":"file","file":{"file_id":"f"}},{"type":"image_url","image_url":{"url":"data:image/png;base64,xx"}}]}]}`, []string{"server-tools/web_search_options", "stored-responses/store", "remote-files/image_url", "remote-files/file_id"}},
		{
			"responses", "/v1/responses", `{"model":"g","store":true,"background":true,"previous_response_id":"r","conversation":"c","tools":[{"type":"mcp","server_url":"https://x"},{"type":"code_interpreter"},{"type":"namespace","tools":[{"type":"file_search"}]},{"type":"shell","environment":{"type":"container_auto"}}],"input":[{"type":"item_reference","id":"i"},{"role":"user","content":[{"type":"input_file","file_url":"https://x"}]}]}`,
			[]string{"remote-mcp/mcp", "server-tools/code_interpreter", "server-tools/file_search", "server-tools/shell", "background/background", "stored-responses/previous_response_id", "stored-responses/conversation", "stored-responses/store", "stored-responses/item_reference", "remote-files/file_url"},
		},
		{
			"what other vendors search by", "/v1/chat/completions", `{"model":"g:Online","search_parameters":{"mode":"on"},"enable_search":true,"extra_body":{"google":{}},"preset":"p","messages":[]}`,
			[]string{"server-tools/online", "server-tools/search_parameters", "server-tools/enable_search", "server-tools/extra_body", "stored-responses/preset"},
		},
		{"not searched", "/v1/chat/completions", `{"model":"g","enable_search":false,"plugins":null,"messages":[]}`, nil},
		{"Azure's own data", "/openai/deployments/d/chat/completions", `{"data_sources":[{"type":"azure_search"}]}`, []string{"server-tools/data_sources"}},
		{"stored unless told not to", "/v1/responses", `{"model":"g","input":"x"}`, []string{"stored-responses/by-default"}},
		{"not stored", "/openai/v1/responses", `{"model":"g","store":false,"previous_response_id":null,"background":false}`, nil},
		{"azure deployment", "/openai/deployments/d/chat/completions", `{"store":true}`, []string{"stored-responses/store"}},
		{"gemini", "/v1beta/models/m:generateContent", `{"tools":[{"functionDeclarations":[]},{"google_search":{}},{"urlContext":{}}],"cached_content":"c","contents":[{"parts":[{"file_data":{"file_uri":"u"}},{"functionCall":{"args":{"fileData":1}}}]}]}`, []string{"server-tools/googleSearch", "server-tools/urlContext", "stored-responses/cachedContent", "remote-files/fileData"}},
		{"gemini, nothing", "/v1beta/models/m:generateContent", `{"contents":[{"role":"user","parts":[{"text":"x"}]}],"generationConfig":{"thinkingConfig":{"includeThoughts":true}}}`, nil},
		{"ollama", "/api/chat", `{"model":"q","messages":[{"role":"user","content":"x","images":["aGk="]}],"tools":[{"type":"function"}]}`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, rt, ok := routed(t, "POST", tt.path)
			doc, err := wire.ParseObject([]byte(tt.body))
			if !ok || err != nil {
				t.Fatal(ok, err)
			}
			r, err := w.Peek(rt, doc)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range r.Features {
				got = append(got, f.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A body that two readers could understand in two ways goes nowhere.
func TestAmbiguousBodies(t *testing.T) {
	tests := []struct{ path, body, says string }{
		{"/v1/messages", `{"model":"c","tools":[],"tools":[{"type":"web_search_20250305"}]}`, "twice"},
		{"/v1/messages", `{"model":"c","tools":[{"type":"custom","type":"web_search_20250305"}]}`, "twice"},
		{"/v1/messages", `{"model":"c","messages":[{"role":"user","content":[{"type":"text","Type":"url"}]}]}`, "otherwise"},
		{"/v1/responses", `{"model":"g","Store":true}`, "otherwise"},
		{"/v1/responses", `{"model":"g","background":false,"background":true}`, "twice"},
		{"/openai/deployments/d/chat/completions", `{"model":"e"}`, "another model"},
		{"/v1beta/models/m:generateContent", `{"model":"models/n"}`, "another model"},
		{"/v1beta/models/m:countTokens", `{"generateContentRequest":{"model":"models/n"}}`, "another model"},
		{"/api/chat", `{"model":"a","MODEL":"b"}`, "otherwise"},
		{"/v1/chat/completions", `{"model":"a","models":"b"}`, "no list"},
		{"/v1/chat/completions", `{"model":"a","models":["b",{}]}`, "no name"},
		{"/v1/chat/completions", `{"model":"a","models":["b"],"Models":["c"]}`, "otherwise"},
		{"/api/show", `{"name":7}`, "no name"},
	}
	for _, tt := range tests {
		w, rt, _ := routed(t, "POST", tt.path)
		doc, err := wire.ParseObject([]byte(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = w.Peek(rt, doc); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s %s: %v", tt.path, tt.body, err)
		}
	}
}

// Each body holds strings that say where they stand: the place, and "!" where
// they must not be edited.
func TestWalkKnowsPlaces(t *testing.T) {
	tests := []struct{ path, body string }{
		{"/v1/messages", `{"model":"!protocol","system":[{"type":"!protocol","text":"system"}],"unknown":["other"],"tools":[{"name":"tool-schema","input_schema":{"x":"tool-schema"}}],"messages":[
			{"role":"!protocol","content":"user"},{"role":"!protocol","content":[{"type":"image","source":{"type":"base64","media_type":"!protocol","data":"!media"}},{"type":"document","source":{"type":"text","data":"user"}}]},
			{"role":"assistant","content":[{"type":"thinking","thinking":"!thinking","signature":"!thinking"},{"type":"redacted_thinking","data":"!thinking"},{"type":"text","text":"assistant"},{"type":"tool_use","id":"!protocol","name":"!protocol","input":{"command":["tool-call"]}}]},
			{"role":"user","content":[{"type":"tool_result","tool_use_id":"!protocol","content":"tool-result"},{"type":"tool_result","content":[{"type":"text","text":"tool-result"}]},{"type":"web_search_tool_result","content":[{"encrypted_content":"!thinking","title":"tool-result"}]}]}]}`},
		{"/v1/chat/completions", `{"model":"!protocol","tools":[{"description":"tool-schema"}],"messages":[{"role":"system","content":"system"},{"role":"developer","content":[{"type":"!protocol","text":"system"}]},{"role":"user","content":[{"type":"!protocol","text":"user"},{"image_url":{"url":"!media"}}]},
			{"role":"assistant","content":"assistant","reasoning_content":"!thinking","tool_calls":[{"id":"!protocol","type":"!protocol","function":{"name":"!protocol","arguments":"tool-call"}}]},{"role":"tool","tool_call_id":"!protocol","content":"tool-result"}]}`},
		{"/v1/responses", `{"model":"!protocol","instructions":"system","input":[{"type":"reasoning","encrypted_content":"!thinking","summary":[{"text":"!thinking"}]},{"type":"!protocol","role":"developer","content":[{"type":"!protocol","text":"system"}]},
			{"type":"!protocol","call_id":"!protocol","name":"!protocol","arguments":"tool-call"},{"type":"!protocol","call_id":"!protocol","output":"tool-result"},{"type":"!protocol","output":[{"text":"tool-result"}]},{"type":"!protocol","action":{"command":["tool-call"]}}]}`},
		{"/v1/responses", `{"model":"!protocol","input":"user"}`},
		{"/v1beta/models/m:generateContent", `{"system_instruction":{"parts":[{"text":"system"}]},"contents":[{"role":"!protocol","parts":[{"text":"user"},{"inlineData":{"data":"!media"}},{"functionResponse":{"name":"!protocol","response":{"output":"tool-result"}}}]},
			{"role":"model","parts":[{"text":"!thinking","thought":true},{"text":"assistant","thoughtSignature":"!thinking"},{"functionCall":{"name":"!protocol","args":{"command":"tool-call"}},"thought_signature":"!thinking"}]}],"tools":[{"functionDeclarations":[{"name":"tool-schema"}]}]}`},
		{"/api/chat", `{"model":"!protocol","messages":[{"role":"system","content":"system"},{"role":"!protocol","content":"user","images":["!media"]},{"role":"assistant","content":"assistant","thinking":"!thinking","tool_calls":[{"function":{"arguments":{"x":"tool-call"}}}]},{"role":"tool","content":"tool-result"}]}`},
		{"/api/generate", `{"model":"!protocol","prompt":"user","system":"system","images":["!media"]}`},
	}
	// Words of the protocol that a body cannot do without.
	words := map[string]bool{
		"text": true, "image": true, "base64": true, "document": true, "thinking": true, "redacted_thinking": true, "tool_use": true, "tool_result": true, "web_search_tool_result": true,
		"assistant": true, "user": true, "system": true, "developer": true, "tool": true, "reasoning": true, "model": true,
	}
	for _, tt := range tests {
		w, rt, _ := routed(t, "POST", tt.path)
		doc, err := wire.ParseObject([]byte(tt.body))
		if err != nil {
			t.Fatal(tt.path, err)
		}
		n, last := 0, 0
		w.Walk(rt, doc, func(s wire.String) bool {
			if s.From <= last {
				t.Errorf("%s: %q comes out of its order", tt.path, s.Text())
			}
			n, last = n+1, s.From
			want := string(s.Place)
			if s.Fixed {
				want = "!" + want
			}
			if !s.Name && s.Text() != want && (!words[s.Text()] || !s.Fixed) {
				t.Errorf("%s: %q is called %q", tt.path, s.Text(), want)
			}
			return true
		})
		if want := strings.Count(tt.body, `"`) / 2; n != want {
			t.Errorf("%s: %d strings of %d were visited", tt.path, n, want)
		}
	}
}

func TestMeters(t *testing.T) {
	const sse, whole, nd = "text/event-stream", "application/json", "application/x-ndjson"
	call := func(id, name, input string) []wire.Call { return []wire.Call{{ID: id, Name: name, Input: input}} }
	tests := []struct {
		name, path, media, body string
		want                    wire.Answer
	}{
		{
			"anthropic, whole", "/v1/messages", whole, `{"type":"message","model":"c","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"hi"},{"type":"tool_use","id":"t","name":"Bash","input":{"a":1}}],"usage":{"input_tokens":1,"output_tokens":2,"cache_read_input_tokens":3,"cache_creation_input_tokens":9,"cache_creation":{"ephemeral_1h_input_tokens":4},"service_tier":"standard"},"stop_reason":"tool_use"}`,
			wire.Answer{Usage: &countersign.Usage{Input: 1, Output: 2, CacheRead: 3, CacheWrite: 9}, Counts: wire.Counts{CacheWriteLong: 4}, Served: "c", Stop: "tool_use", Tier: "standard", Text: "hi", Thinking: "hm", Calls: call("t", "Bash", `{"a":1}`)},
		},
		{
			"anthropic, stream", "/v1/messages", sse, "event: message_start\r\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"c\",\"usage\":{\"input_tokens\":5,\"output_tokens\":1}}}\r\n\r\nevent: ping\ndata: {\"type\": \"ping\"}\n\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"B\",\"input\":{}}}\n\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\"\"}}\n\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\":1}\"}}\n\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\ndata: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"h\"}}\n\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"input_tokens\":6,\"output_tokens\":42}}\n\n",
			wire.Answer{Usage: &countersign.Usage{Input: 6, Output: 42}, Served: "c", Stop: "end_turn", Text: "a", Thinking: "h", Calls: call("t", "B", `{"a":1}`)},
		},
		{
			"chat, whole", "/v1/chat/completions", whole, `{"model":"g","usage":{"prompt_tokens":10,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":1}},"choices":[{"index":0,"message":{"content":"hi","tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}]}`,
			wire.Answer{Usage: &countersign.Usage{Input: 6, Output: 2, CacheRead: 4, Reasoning: 1}, Served: "g", Stop: "stop", Text: "hi", Calls: call("1", "f", "{}")},
		},
		{
			"chat, stream", "/v1/chat/completions", sse, "data: {\"model\":\"g\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\",\"reasoning_content\":\"r\"},\"finish_reason\":null}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"1\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{}\"}}]},\"finish_reason\":\"length\"}]}\r\n\r\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
			wire.Answer{Usage: &countersign.Usage{Input: 1, Output: 2}, Served: "g", Stop: "length", Text: "x", Thinking: "r", Calls: call("1", "f", "{}")},
		},
		{
			"responses, stream", "/v1/responses", sse, "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"model\":\"g\",\"status\":\"in_progress\",\"usage\":null}}\n\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"the \\\"usage\\\" is\"}\n\ndata: {\"type\":\"response.output_item.added\",\"item\":{\"type\":\"function_call\",\"id\":\"i\",\"call_id\":\"c\",\"name\":\"f\"}}\n\ndata: {\"type\":\"response.function_call_arguments.delta\",\"item_id\":\"i\",\"delta\":\"{}\"}\n\ndata: {\"type\":\"response.function_call_arguments.done\",\"item_id\":\"i\",\"arguments\":\"{}\"}\n\ndata: {\"type\":\"response.output_item.done\",\"item\":{\"type\":\"function_call\",\"id\":\"i\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"}}\n\ndata: {\"type\":\"response.completed\",\"response\":{\"model\":\"g-1\",\"status\":\"completed\",\"service_tier\":\"flex\",\"usage\":{\"input_tokens\":9,\"input_tokens_details\":{\"cached_tokens\":9},\"output_tokens\":3,\"output_tokens_details\":{\"reasoning_tokens\":2}}}}\n\n",
			wire.Answer{Usage: &countersign.Usage{Output: 3, CacheRead: 9, Reasoning: 2}, Served: "g-1", Stop: "completed", Tier: "flex", Text: `the "usage" is`, Calls: call("c", "f", "{}")},
		},
		{"responses, only done", "/v1/responses", sse, "data: {\"type\":\"response.function_call_arguments.done\",\"item_id\":\"i\",\"name\":\"f\",\"arguments\":\"{}\"}\n\n", wire.Answer{Calls: call("", "f", "{}")}},
		{"responses, incomplete", "/v1/responses", sse, "data: {\"type\":\"response.incomplete\",\"response\":{\"status\":\"incomplete\",\"incomplete_details\":{\"reason\":\"max_output_tokens\"},\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}", wire.Answer{Usage: &countersign.Usage{Input: 1, Output: 1}, Stop: "incomplete: max_output_tokens"}},
		{"azure", "/openai/deployments/d/chat/completions", whole, `{"model":"gpt-x","usage":{"prompt_tokens":3,"completion_tokens":1}}`, wire.Answer{Usage: &countersign.Usage{Input: 3, Output: 1}, Served: "gpt-x"}},
		{
			"gemini, stream", "/v1beta/models/m:streamGenerateContent?alt=sse", sse, "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hm\",\"thought\":true}]}}],\"usageMetadata\":{\"promptTokenCount\":10},\"modelVersion\":\"m-001\"}\r\n\r\ndata: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hi\"},{\"functionCall\":{\"name\":\"f\",\"args\":{\"a\":1}}}]},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":10,\"cachedContentTokenCount\":4,\"candidatesTokenCount\":5,\"thoughtsTokenCount\":7,\"toolUsePromptTokenCount\":2}}\r\n\r\n",
			wire.Answer{Usage: &countersign.Usage{Input: 8, Output: 12, CacheRead: 4, Reasoning: 7}, Served: "m-001", Stop: "STOP", Text: "hi", Thinking: "hm", Calls: call("", "f", `{"a":1}`)},
		},
		{"gemini, an array", "/v1beta/models/m:streamGenerateContent", whole, "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}\n,\r\n{\"usageMetadata\":{\"promptTokenCount\":1,\"candidatesTokenCount\":2}}\n]", wire.Answer{Usage: &countersign.Usage{Input: 1, Output: 2}, Text: "a"}},
		{
			"ollama, stream", "/api/chat", nd, "{\"model\":\"q\",\"message\":{\"content\":\"h\",\"thinking\":\"t\"},\"done\":false}\n{\"model\":\"q\",\"message\":{\"content\":\"i\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}}]},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":7,\"eval_count\":2}\n",
			wire.Answer{Usage: &countersign.Usage{Input: 7, Output: 2}, Served: "q", Stop: "stop", Text: "hi", Thinking: "t", Calls: call("", "f", `{"a":1}`)},
		},
		{"nothing said is not zero", "/v1/chat/completions", sse, "data: {\"choices\":[]}\n\n", wire.Answer{}},
		{"no JSON", "/v1/messages", "text/html", "<p>\"usage\"", wire.Answer{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, rt, _ := routed(t, "POST", tt.path)
			for _, size := range []int{1, 3, 7, len(tt.body)} {
				m := w.Meter(rt, tt.media)
				for b := []byte(tt.body); len(b) > 0; {
					n := min(size, len(b))
					m.Feed(b[:n])
					b = b[n:]
				}
				got := m.End()
				got.Counts = wire.Counts{CacheWriteLong: got.Counts.CacheWriteLong}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("in pieces of %d: %s", size, diff)
				}
			}
		})
	}
}

func TestRefusalsAreInTheWiresWords(t *testing.T) {
	const text = `no "such" thing`
	tests := []struct {
		path   string
		why    wire.Reason
		status int
		where  string // of the message
	}{
		{"/v1/messages", wire.Policy, 400, "error.message"},
		{"/v1/messages", wire.Budget, 429, "error.message"},
		{"/v1/chat/completions", wire.Policy, 400, "error.message"},
		{"/v1/chat/completions", wire.Budget, 429, "error.message"},
		{"/v1/responses", wire.Budget, 400, "error.message"},
		{"/openai/v1/responses", wire.Budget, 400, "error.message"},
		{"/openai/deployments/d/chat/completions", wire.Auth, 401, "error.message"},
		{"/v1beta/models/m:generateContent", wire.Policy, 400, "error.message"},
		{"/v1beta/models/m:generateContent", wire.Budget, 400, "error.message"},
		{"/v1beta/models/m:generateContent", wire.Rate, 429, "error.message"},
		{"/v1/responses", wire.Rate, 429, "error.message"},
		{"/v1/messages", wire.Rate, 429, "error.message"},
		{"/api/chat", wire.Policy, 400, "error"},
	}
	for _, tt := range tests {
		w, rt, _ := routed(t, "POST", tt.path)
		out := w.Refuse(rt, tt.why, text)
		doc, err := wire.ParseObject(out.Body)
		if err != nil || out.Status != tt.status || doc.Root().Get(strings.Split(tt.where, ".")...).Text() != text {
			t.Errorf("%s %d: %d %s", tt.path, tt.why, out.Status, out.Body)
		}
	}
}

// Whatever a body holds, looking at it does not panic, and an edit of any one
// string leaves every other byte.
func FuzzWalk(f *testing.F) {
	for i, p := range strings.Fields(oddPaths) {
		f.Add(p, []byte(fmt.Sprintf(`{"model":"m","n":%d,"messages":[{"role":"user","content":[{"type":"text","text":"a\u00e9"}]}],"tools":[{"type":"x"}],"input":[{"type":"reasoning"}],"contents":[{"parts":[{"thought":true}]}]}`, i)))
	}
	for _, name := range []string{"anthropic/testdata/claude-code.json", "openai/testdata/codex.json"} {
		b, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add("/v1/messages", b)
		f.Add("/v1/responses", b)
	}
	captures, _ := filepath.Glob("testdata/agents/*.http")
	for _, name := range captures {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		head, body, _ := strings.Cut(string(b), "\n\n")
		f.Add(strings.Fields(head)[1], []byte(body))
	}
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " \n\r\t") {
			return
		}
		r := &http.Request{Method: "POST", Header: http.Header{}}
		w, rt, ok := wire.Wire(nil), wire.Route{}, false
		for _, one := range wires() {
			if rt, ok = one.Route(r.Method, path, r.Header); ok {
				w = one
				break
			}
		}
		doc, err := wire.ParseObject(body)
		if !ok || err != nil {
			return
		}
		req, err := w.Peek(rt, doc)
		if err == nil && rt.Model == "" && req.Model != "" {
			var exact map[string]any
			if json.Unmarshal(body, &exact) != nil || exact["model"] != req.Model && exact["name"] != req.Model {
				t.Fatalf("peek says %q, a decoder %v", req.Model, exact["model"])
			}
			edits := req.Strip(1)
			out, err := wire.Apply(body, edits...)
			if err != nil || !json.Valid(out) {
				t.Fatalf("%s: %v", out, err)
			}
		}
		n, last := 0, -1
		w.Walk(rt, doc, func(s wire.String) bool {
			var want string
			if json.Unmarshal(body[s.From-1:s.To+1], &want) != nil || s.Text() != want || s.From <= last {
				t.Fatalf("%q at %d after %d is read as %q", body[s.From-1:s.To+1], s.From, last, s.Text())
			}
			n, last = n+1, s.From
			return true
		})
		all := 0
		count := wire.Walker{Visit: func(wire.String) bool { all++; return true }}
		if count.All(doc.Root(), wire.Other, false); n != all {
			t.Fatalf("%d strings of %d were visited", n, all)
		}
	})
}

// Whatever an answer holds, in whatever pieces, counting does not panic, says
// nothing negative and says the same.
func FuzzMeter(f *testing.F) {
	for _, p := range strings.Fields(oddPaths) {
		f.Add(p, 0, 3, []byte("event: x\ndata: {\"type\":\"message_delta\",\"usage\":{\"input_tokens\":1,\"prompt_tokens\":3,\"completion_tokens\":4},\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0}]}}]}\n\n"))
		f.Add(p, 1, 2, []byte(`{"model":"m","usageMetadata":{"promptTokenCount":1,"cachedContentTokenCount":9},"eval_count":3}`))
	}
	media := []string{"text/event-stream", "application/json", "application/x-ndjson"}
	f.Fuzz(func(t *testing.T, path string, m, size int, body []byte) {
		for _, w := range wires() {
			rt, ok := w.Route("POST", path, http.Header{})
			if !ok {
				continue
			}
			typ := media[uint(m)%uint(len(media))]
			whole, pieces := w.Meter(rt, typ), w.Meter(rt, typ)
			whole.Feed(body)
			for n := 1 + int(uint(size)%64); len(body) > 0; {
				k := min(n, len(body))
				pieces.Feed(body[:k])
				body = body[k:]
			}
			a, b := whole.End(), pieces.End()
			if diff := cmp.Diff(a, b); diff != "" {
				t.Fatal(diff)
			}
			if u := a.Usage; u != nil && (u.Input < 0 || u.Output < 0 || u.CacheRead < 0 || u.CacheWrite < 0 || u.Reasoning < 0) {
				t.Fatalf("%+v", u)
			}
		}
	})
}
