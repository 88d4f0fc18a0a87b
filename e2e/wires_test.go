package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// asked is what a request of OpenAI's wires says of its model and tools.
func asked(body []byte) (model string, tools bool) {
	var req struct {
		Model string
		Tools []any
	}
	_ = json.Unmarshal(body, &req)
	return req.Model, len(req.Tools) > 0
}

// signature is what a provider signs the thinking of turn n with. Each must come
// back as it was: a vendor refuses it else.
func signature(n int) string { return fmt.Sprintf("EqQB/+sig%02d/+==", n) }

// thought is a signed block of thinking of Messages.
func thought(n int) []map[string]any {
	return []map[string]any{
		{"type": "content_block_start", "index": 0, "content_block": map[string]any{"type": "thinking", "thinking": "", "signature": ""}},
		{"type": "content_block_delta", "index": 0, "delta": map[string]any{"type": "thinking_delta", "thinking": "a step <at> a time"}},
		{"type": "content_block_delta", "index": 0, "delta": map[string]any{"type": "signature_delta", "signature": signature(n)}},
		{"type": "content_block_stop", "index": 0},
	}
}

// reasoned is an encrypted item of reasoning of Responses.
func reasoned(n int) map[string]any {
	return map[string]any{"type": "reasoning", "id": fmt.Sprintf("rs_%d", n), "summary": []any{}, "encrypted_content": signature(n)}
}

// told is what is said to the call in hand, where the model was given words.
func (m *model) told() (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.calls) - 1; n < len(m.says) {
		return m.says[n], true
	}
	return "", false
}

// chat answers a turn of OpenAI's chat completions.
func (m *model) chat(w http.ResponseWriter, body []byte) {
	name, tools := asked(body)
	n := m.turn(body, `"role":"tool"`)
	delta, finish := map[string]any{"role": "assistant", "content": "all done"}, "stop"
	if told, ok := m.told(); ok {
		delta["content"] = told
	} else if s, more := m.next(n); more && tools {
		tool, input := m.say(s)
		args, _ := json.Marshal(input)
		delta["content"] = nil
		delta["tool_calls"] = []any{map[string]any{"index": 0, "id": fmt.Sprintf("call_%d", n), "type": "function", "function": map[string]any{"name": tool, "arguments": string(args)}}}
		finish = "tool_calls"
	}
	chunk := func(usage any, choices ...any) map[string]any {
		return map[string]any{"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": name, "choices": append([]any{}, choices...), "usage": usage}
	}
	events(w, false,
		chunk(nil, map[string]any{"index": 0, "delta": delta, "finish_reason": nil}),
		chunk(nil, map[string]any{"index": 0, "delta": map[string]any{}, "finish_reason": finish}),
		chunk(map[string]any{"prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17}))
	fmt.Fprint(w, "data: [DONE]\n\n")
}

// responsesInFull answers a turn of Responses with every event and field that a
// strict client waits for.
func (m *model) responsesInFull(w http.ResponseWriter, body []byte) {
	name, tools := asked(body)
	n := m.turn(body, `call_output"`)
	response := func(status string, output ...any) map[string]any {
		return map[string]any{"id": "resp_1", "object": "response", "created_at": 1, "model": name, "status": status, "output": append([]any{}, output...)}
	}
	id := fmt.Sprintf("item_%d", n)
	item := map[string]any{"type": "message", "id": id, "role": "assistant", "content": []any{map[string]any{"type": "output_text", "text": "all done", "annotations": []any{}}}}
	begun := map[string]any{"type": "message", "id": id, "role": "assistant", "content": []any{}}
	delta := map[string]any{"type": "response.output_text.delta", "content_index": 0, "delta": "all done"}
	if s, more := m.next(n); more && tools {
		tool, input := m.say(s)
		args, _ := json.Marshal(input)
		item = map[string]any{"type": "function_call", "id": id, "call_id": "call_" + id, "name": tool, "arguments": string(args)}
		begun = map[string]any{"type": "function_call", "id": id, "call_id": "call_" + id, "name": tool, "arguments": ""}
		delta = map[string]any{"type": "response.function_call_arguments.delta", "delta": string(args)}
	}
	begun["status"], item["status"] = "in_progress", "completed"
	delta["item_id"], delta["output_index"] = id, 0
	done := response("completed", item)
	done["usage"] = map[string]any{"input_tokens": 10, "output_tokens": 7, "total_tokens": 17}
	list := []map[string]any{{"type": "response.created", "response": response("in_progress")}}
	if m.signs {
		delta["output_index"] = 1
		empty := reasoned(n)
		empty["encrypted_content"] = ""
		list = append(list, map[string]any{"type": "response.output_item.added", "output_index": 0, "item": empty},
			map[string]any{"type": "response.output_item.done", "output_index": 0, "item": reasoned(n)})
	}
	events(w, true, append(list,
		map[string]any{"type": "response.output_item.added", "output_index": delta["output_index"], "item": begun}, delta,
		map[string]any{"type": "response.output_item.done", "output_index": delta["output_index"], "item": item},
		map[string]any{"type": "response.completed", "response": done})...)
}

// gemini answers a turn of Gemini's streamGenerateContent.
func (m *model) gemini(w http.ResponseWriter, body []byte) {
	part := map[string]any{"text": "all done"}
	n := m.turn(body, `"functionResponse"`)
	if s, more := m.next(n); more && strings.Contains(string(body), `"functionDeclarations"`) {
		tool, input := m.say(s)
		part = map[string]any{"functionCall": map[string]any{"name": tool, "args": input}}
		if m.signs {
			part["thoughtSignature"] = signature(n)
		}
	}
	events(w, false, map[string]any{
		"candidates":    []any{map[string]any{"index": 0, "content": map[string]any{"role": "model", "parts": []any{part}}, "finishReason": "STOP"}},
		"usageMetadata": map[string]any{"promptTokenCount": 10, "candidatesTokenCount": 7, "totalTokenCount": 17},
		"modelVersion":  "gemini-2.5-pro",
	})
}
