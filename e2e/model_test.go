package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// model is a scripted model server: it speaks the wires of the vendors, and
// answers each turn of a conversation with the next step.
type model struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
	keys   []string
	calls  []seenCall
	steps  []step
	// say puts a step into the words of an agent's tools; nil are those of Claude
	// Code and Codex.
	say func(step) (tool string, input map[string]any)
	// says, where set, are the words of an agent's turns instead: for one without
	// tools, which takes what it does from the text.
	says []string
	// signs makes each turn begin with thinking that the provider has signed, which
	// an agent must send back as it was.
	signs bool
	// token, where set, finds the token of the session that calls.
	token func() string
	held  string // what it found
}

// seenCall is a request as the provider saw it.
type seenCall struct {
	method, url, body string
	header            http.Header
}

// step is one tool call, in the words of each agent.
type step struct {
	write   string // write this file
	content string
	run     string // run this command
}

func newModel(t *testing.T, steps ...step) *model {
	m := &model{steps: append([]step(nil), steps...)}
	m.Server = httptest.NewServer(http.HandlerFunc(m.serve))
	t.Cleanup(m.Close)
	return m
}

func (m *model) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	m.mu.Lock()
	m.bodies = append(m.bodies, string(body))
	m.keys = append(m.keys, r.Header.Get("X-Api-Key")+r.Header.Get("Authorization")+r.Header.Get("X-Goog-Api-Key"))
	m.calls = append(m.calls, seenCall{r.Method, r.URL.String(), string(body), r.Header.Clone()})
	if m.held == "" && m.token != nil {
		m.held = m.token()
	}
	m.mu.Unlock()
	switch {
	case strings.HasSuffix(r.URL.Path, "/count_tokens"):
		fmt.Fprint(w, `{"input_tokens":10}`)
	case strings.HasSuffix(r.URL.Path, "/messages"):
		m.anthropic(w, body)
	case strings.HasSuffix(r.URL.Path, "/responses"):
		if m.say != nil {
			m.responsesInFull(w, body)
		} else {
			m.responses(w, body)
		}
	case strings.HasSuffix(r.URL.Path, "/chat/completions"):
		m.chat(w, body)
	case strings.HasSuffix(r.URL.Path, ":streamGenerateContent"):
		m.gemini(w, body)
	case strings.HasSuffix(r.URL.Path, "/models"):
		fmt.Fprint(w, `{"object":"list","data":[],"models":[]}`)
	default:
		w.WriteHeader(http.StatusOK)
	}
}

// then adds what the next turns are.
func (m *model) then(steps ...step) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.steps = append(m.steps, steps...)
}

// next is the step behind n tool results.
func (m *model) next(n int) (step, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n >= len(m.steps) {
		return step{}, false
	}
	return m.steps[n], true
}

// turn is how many tool results the conversation already holds.
func (m *model) turn(body []byte, marker string) int { return strings.Count(string(body), marker) }

func events(w http.ResponseWriter, named bool, list ...map[string]any) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, e := range list {
		b, _ := json.Marshal(e)
		if named {
			fmt.Fprintf(w, "event: %s\n", e["type"])
		}
		fmt.Fprintf(w, "data: %s\n\n", b)
		w.(http.Flusher).Flush()
	}
}

func (m *model) anthropic(w http.ResponseWriter, body []byte) {
	var req struct {
		Tools []struct{ Name string }
	}
	_ = json.Unmarshal(body, &req)
	n := m.turn(body, `"type":"tool_result"`)
	block, delta, stop := map[string]any{"type": "text", "text": ""}, map[string]any{"type": "text_delta", "text": "all done"}, "end_turn"
	if s, more := m.next(n); more && len(req.Tools) > 0 {
		name, input := "Bash", map[string]any{}
		if s.write != "" {
			name, input = "Write", map[string]any{"file_path": s.write, "content": s.content}
		} else {
			input = map[string]any{"command": s.run, "description": "a step"}
		}
		if m.say != nil {
			name, input = m.say(s)
		}
		args, _ := json.Marshal(input)
		block = map[string]any{"type": "tool_use", "id": fmt.Sprintf("toolu_%02d", n), "name": name, "input": map[string]any{}}
		delta, stop = map[string]any{"type": "input_json_delta", "partial_json": string(args)}, "tool_use"
	}
	list := []map[string]any{
		{"type": "message_start", "message": map[string]any{"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": []any{}, "usage": map[string]any{"input_tokens": 10, "output_tokens": 1}}},
		{"type": "ping"},
	}
	index := 0
	if m.signs {
		list, index = append(list, thought(n)...), 1
	}
	events(w, true, append(list,
		map[string]any{"type": "content_block_start", "index": index, "content_block": block},
		map[string]any{"type": "content_block_delta", "index": index, "delta": delta},
		map[string]any{"type": "content_block_stop", "index": index},
		map[string]any{"type": "message_delta", "delta": map[string]any{"stop_reason": stop}, "usage": map[string]any{"output_tokens": 7}},
		map[string]any{"type": "message_stop"})...)
}

func (m *model) responses(w http.ResponseWriter, body []byte) {
	n := m.turn(body, `call_output"`)
	item := map[string]any{"type": "message", "id": "msg_1", "role": "assistant", "content": []any{map[string]any{"type": "output_text", "text": "all done"}}}
	if s, more := m.next(n); more {
		if s.write != "" {
			patch := "*** Begin Patch\n*** Add File: " + s.write + "\n+" + strings.ReplaceAll(strings.TrimSuffix(s.content, "\n"), "\n", "\n+") + "\n*** End Patch"
			item = map[string]any{"type": "custom_tool_call", "id": fmt.Sprintf("ct_%d", n), "call_id": fmt.Sprintf("call_%d", n), "name": "apply_patch", "input": patch}
		} else {
			args, _ := json.Marshal(map[string]any{"cmd": s.run})
			item = map[string]any{"type": "function_call", "id": fmt.Sprintf("fc_%d", n), "call_id": fmt.Sprintf("call_%d", n), "name": "exec_command", "arguments": string(args)}
		}
	}
	list := []map[string]any{{"type": "response.created", "response": map[string]any{"id": "resp_1"}}}
	if m.signs {
		list = append(list, map[string]any{"type": "response.output_item.done", "output_index": 0, "item": reasoned(n)})
	}
	events(w, true, append(list,
		map[string]any{"type": "response.output_item.done", "output_index": 0, "item": item},
		map[string]any{"type": "response.completed", "response": map[string]any{"id": "resp_1", "model": "gpt-5.5", "usage": map[string]any{"input_tokens": 10, "output_tokens": 7, "total_tokens": 17}}})...)
}

// seen is everything the provider was ever sent.
func (m *model) seen() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.bodies, "\n")
}
