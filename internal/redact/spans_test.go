package redact

import (
	"strings"
	"testing"
)

func TestSpansCoverTheSecretAlone(t *testing.T) {
	token := "gh" + "p_" + strings.Repeat("a", 36)
	tests := map[string]struct{ line, secret string }{
		"assignment":   {"$ export API_TOKEN=zzz9 && make", "zzz9"},
		"address":      {"cloning https://bob:pa55@example.com/x", "pa55"},
		"header":       {"> Authorization: Bearer abc.def", "Bearer abc.def"},
		"known shape":  {"your token is " + token + ", keep it", token},
		"flag":         {"mysql --api-key=hunter2 -v", "hunter2"},
		"flag, value":  {"vault login --token s.abcdef now", "s.abcdef"},
		"nothing":      {"go test -run TestToken ./tokens/... --author=me", ""},
		"counts":       {"x --max-tokens 4096 --map-tokens=0 MAX_TOKENS=100 z", ""},
		"plain text":   {"hello", ""},
		"flag at end":  {"vault login --token", ""},
		"wide letters": {"é日本 PASSWORD=日本 x", "日本"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := ""
			for _, s := range Spans(tt.line) {
				got += tt.line[s[0]:s[1]]
			}
			if got != tt.secret {
				t.Errorf("in %q found %q, want %q", tt.line, got, tt.secret)
			}
		})
	}
}
