package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	countersign "github.com/countersign/countersign"
)

func TestLoadIsStrict(t *testing.T) {
	tests := []struct{ name, src, where, says string }{
		{"unknown field", "providers:\n  - name: a\n    wire: openai\n    base_url: https://x/v1\n    kye: {}\n", "g.yaml:5:5", `unknown field "kye"`},
		{"key given twice", "providers: []\nproviders: []\n", "g.yaml:2:1", "already"},
		{"wrong type", "providers: x\n", "g.yaml:1:", ""},
		{"broken", "providers: [\n", "g.yaml:", ""},
		{"no name", "providers: [{wire: openai, base_url: \"https://x\"}]", "g.yaml:1:", "name"},
		{"bad name", "providers: [{name: \"../x\", wire: openai, base_url: \"https://x\"}]", "g.yaml:1:", "name"},
		{"same name", "providers: [{name: a, wire: openai, base_url: \"https://x\"}, {name: a, wire: openai, base_url: \"https://x\"}]", "g.yaml:1:", "two providers"},
		{"wire", "providers: [{name: a, wire: smtp, base_url: \"https://x\"}]", "g.yaml:1:", "wire"},
		{"key in clear", "providers: [{name: a, wire: openai, base_url: \"http://example.com\"}]", "g.yaml:1:", "in clear"},
		{"key in the address", "providers: [{name: a, wire: openai, base_url: \"https://u:p@x\"}]", "g.yaml:1:", "base_url"},
		{"no address", "providers: [{name: a, wire: openai}]", "g.yaml:1:", "base_url"},
		{"v1 twice", "providers: [{name: a, wire: anthropic, base_url: \"https://x/v1\"}]", "g.yaml:1:", "base_url"},
		{"two keys", "providers: [{name: a, wire: openai, base_url: \"https://x\", key: {file: a, env: B}}]", "g.yaml:1:", "more than one way"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "g.yaml")
			write(t, path, tt.src)
			_, err := Load(path)
			var e *countersign.Error
			if !errors.As(err, &e) || e.Code != countersign.EInvalid || !strings.Contains(e.Thing, tt.where) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v", err)
			}
			if e != nil && e.Remedy == "" {
				t.Error("no remedy")
			}
		})
	}
	if c, err := Load(filepath.Join(t.TempDir(), "none")); err != nil || len(c.Providers) != 0 {
		t.Errorf("%v %v", c, err)
	}
}

func TestKeys(t *testing.T) {
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	if err := SetKey(keys, "anthropic", " sk-1 \n"); err != nil {
		t.Fatal(err)
	}
	if err := SetKey(keys, "openai", "sk-2"); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"../x", "", "A", "a/b", ".x"} {
		if SetKey(keys, bad, "k") == nil || RemoveKey(keys, bad) == nil {
			t.Errorf("%q is taken for a name", bad)
		}
	}
	if SetKey(keys, "x", "") == nil || SetKey(keys, "x", "a\nb") == nil {
		t.Error("a key of none or two lines is taken")
	}
	names, err := ListKeys(keys)
	if diff := cmp.Diff([]string{"anthropic", "openai"}, names); diff != "" || err != nil {
		t.Error(diff, err)
	}
	fi, err := os.Stat(filepath.Join(keys, "anthropic"))
	if err != nil || runtime.GOOS != "windows" && fi.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", fi.Mode(), err)
	}
	if err := RemoveKey(keys, "openai"); err != nil {
		t.Error(err)
	}
	if err := RemoveKey(keys, "openai"); countersign.CodeOf(err) != countersign.ENotFound {
		t.Error(err)
	}

	open := filepath.Join(dir, "open")
	if err := os.WriteFile(open, []byte("sk-open"), 0o644); err != nil {
		t.Fatal(err)
	}
	k := Keys{Dir: keys, Env: func(n string) (string, bool) { return "sk-env", n == "KEY" }}
	tests := []struct {
		name, provider, url string
		ref                 KeyRef
		want, fails         string
	}{
		{"kept", "anthropic", "https://x", KeyRef{}, "sk-1", ""},
		{"none kept", "openai", "https://x", KeyRef{}, "", "there is none"},
		{"none needed on this machine", "ollama", "http://127.0.0.1:1", KeyRef{}, "", ""},
		{"file", "a", "https://x", KeyRef{File: filepath.Join(keys, "anthropic")}, "sk-1", ""},
		{"file of others", "a", "https://x", KeyRef{File: open}, "", "chmod 600"},
		{"no file", "a", "https://x", KeyRef{File: filepath.Join(dir, "none")}, "", "no such file"},
		{"env", "a", "https://x", KeyRef{Env: "KEY"}, "sk-env", ""},
		{"no env", "a", "https://x", KeyRef{Env: "NO"}, "", "not set"},
		{"command", "a", "https://x", KeyRef{Command: []string{"sh", "-c", "echo sk-cmd; echo noise >&2"}}, "sk-cmd", ""},
		{"command that fails", "a", "https://x", KeyRef{Command: []string{"sh", "-c", "echo sk-leak >&2; exit 3"}}, "", "exit status 3"},
		{"command that says nothing", "a", "https://x", KeyRef{Command: []string{"true"}}, "", "there is none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Provider{Name: tt.provider, Wire: Anthropic, BaseURL: tt.url, Key: tt.ref}
			if err := p.check(dir); err != nil {
				t.Fatal(err)
			}
			got, err := k.Key(context.Background(), &p)
			if got != tt.want || (err == nil) != (tt.fails == "") || err != nil && (!strings.Contains(err.Error(), tt.fails) || strings.Contains(err.Error(), "sk-")) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	tests := []struct {
		name, wire, media, body string
		want                    *countersign.Usage
		model, stop             string
	}{
		{"anthropic, whole", "anthropic", "application/json", `{"type":"message","model":"c","usage":{"input_tokens":1,"output_tokens":2,"cache_read_input_tokens":3},"stop_reason":"end_turn"}`, &countersign.Usage{Input: 1, Output: 2, CacheRead: 3}, "c", "end_turn"},
		{"chat, whole", "openai-chat", "application/json", `{"model":"g","usage":{"prompt_tokens":10,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":1}},"choices":[{"finish_reason":"stop"}]}`, &countersign.Usage{Input: 6, Output: 2, CacheRead: 4, Reasoning: 1}, "g", "stop"},
		{"chat, stream", "openai-chat", "text/event-stream; charset=utf-8", "data: {\"model\":\"g\",\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":null}]}\n\ndata: {\"choices\":[{\"finish_reason\":\"length\"}]}\r\n\r\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n", &countersign.Usage{Input: 1, Output: 2}, "g", "length"},
		{"responses, stream", "openai-responses", "text/event-stream", "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"model\":\"g\",\"status\":\"in_progress\",\"usage\":null}}\n\nevent: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"the \\\"usage\\\" is\"}\n\nevent: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"model\":\"g-1\",\"status\":\"completed\",\"usage\":{\"input_tokens\":9,\"input_tokens_details\":{\"cached_tokens\":9},\"output_tokens\":3,\"output_tokens_details\":{\"reasoning_tokens\":2}}}}\n\n", &countersign.Usage{Output: 3, CacheRead: 9, Reasoning: 2}, "g-1", "completed"},
		{"responses, incomplete", "openai-responses", "text/event-stream", "data: {\"type\":\"response.incomplete\",\"response\":{\"status\":\"incomplete\",\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}", &countersign.Usage{Input: 1, Output: 1}, "", "incomplete"},
		{"an event of several lines", "anthropic", "text/event-stream", "data: {\"model\":\ndata: \"c\"}\n\n", nil, "c", ""},
		{"nothing said is not zero", "openai-chat", "text/event-stream", "data: {\"choices\":[]}\n\n", nil, "", ""},
		{"no JSON", "anthropic", "text/html", "<p>\"usage\"", nil, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, size := range []int{1, 3, 7, len(tt.body)} {
				u := newUsageReader(tt.wire, tt.media)
				for b := []byte(tt.body); len(b) > 0; {
					n := min(size, len(b))
					u.feed(b[:n])
					b = b[n:]
				}
				u.end()
				if diff := cmp.Diff(tt.want, u.usage()); diff != "" || u.model != tt.model || u.stop != tt.stop {
					t.Errorf("in pieces of %d: %s model %q stop %q", size, diff, u.model, u.stop)
				}
			}
		})
	}
}

func TestKeyFilterInAnyPieces(t *testing.T) {
	const text = "a" + key + "b" + key + key + "sk-company-key-other sk-comp"
	want := strings.ReplaceAll(text, key, strings.Repeat("*", len(key)))
	for size := 1; size <= len(text); size++ {
		f := newKeyFilter(key)
		var out []byte
		for b := []byte(text); len(b) > 0; {
			n := min(size, len(b))
			out = append(out, f.next(b[:n])...)
			b = b[n:]
		}
		if out = f.final(out); string(out) != want {
			t.Fatalf("in pieces of %d: %s", size, out)
		}
	}
}

func FuzzPeek(f *testing.F) {
	for _, s := range []string{oddBody, `{"model":"a"}`, `{"model":"a","model":"b"}`, `{"MODEL":"a"}`, `{"model":"\u0061/b","stream":true}`, `{}`, "", "{\"model\":\"a\"}x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := peek(body)
		if err != nil {
			return
		}
		// Every reader must see the model that the policy saw.
		var lax struct{ Model string }
		var exact map[string]any
		if json.Unmarshal(body, &lax) != nil || json.Unmarshal(body, &exact) != nil || lax.Model != p.model || exact["model"] != p.model {
			t.Fatalf("peek says %q, a decoder %q and %v", p.model, lax.Model, exact["model"])
		}
		if string(p.withModel(body, p.model)) != string(body) {
			t.Fatal("the body changed")
		}
		edited := p.withModel(body, "x")
		q, err := peek(edited)
		if err != nil || q.model != "x" || q.stream != p.stream || string(edited[:p.from]) != string(body[:p.from]) || !strings.HasSuffix(string(edited), string(body[p.to:])) {
			t.Fatalf("after the edit: %v %q", err, q.model)
		}
	})
}
