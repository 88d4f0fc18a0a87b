package gateway

import (
	"context"
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
			p := Provider{Name: tt.provider, Wire: "anthropic", BaseURL: tt.url, Key: tt.ref}
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
