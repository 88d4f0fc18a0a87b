package gateway

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

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
		{"two keys", "providers: [{name: a, wire: openai, base_url: \"https://x\", key: {file: a, env: B}}]", "g.yaml:1:65", "more than one way"},
		{"no key", "providers: [{name: a, wire: openai, base_url: \"https://x\", key: {}}]", "g.yaml:1:65", "no way"},
		{"empty file", "providers:\n  - name: a\n    wire: openai\n    base_url: https://x/v1\n    key: {file: ''}\n", "g.yaml:5:17", "is empty"},
		{"key for its name", "providers:\n  - name: a\n    wire: openai\n    base_url: https://x/v1\n    key: {env: sk-live-1}\n", "g.yaml:5:16", "no name of a variable"},
		{"no program", "providers:\n  - name: a\n    wire: openai\n    base_url: https://x/v1\n    key: {command: []}\n", "g.yaml:5:20", "no program"},
		{"a shell's string", "providers:\n  - name: a\n    wire: openai\n    base_url: https://x/v1\n    key: {command: pass show x}\n", "g.yaml:5:20", "must be a list"},
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
			if strings.Contains(fmt.Sprint(err), "sk-live-1") {
				t.Error("the error repeats the key")
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
