package redact

import (
	"strings"
	"testing"
)

func TestArgvLosesItsSecrets(t *testing.T) {
	tests := []struct {
		name   string
		argv   []string
		secret string
	}{
		{"flag with value", []string{"mysql", "--password=hunter2"}, "hunter2"},
		{"flag and value", []string{"vault", "login", "--token", "s.abcdef"}, "s.abcdef"},
		{"tokens that are no number", []string{"x", "--tokens", "s.abcdef"}, "s.abcdef"},
		{"a number that is no count", []string{"x", "--token", "123456"}, "123456"},
		{"assignment in a shell string", []string{"bash", "-c", "API_TOKEN=zzz9 make"}, "zzz9"},
		{"address", []string{"curl", "https://bob:pa55@example.com/x"}, "pa55"},
		{"header", []string{"curl", "-H", "Authorization: Bearer abc.def"}, "abc.def"},
		{"well-known shape", []string{"echo", "ghp_" + strings.Repeat("a", 36)}, strings.Repeat("a", 36)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(Argv(tt.argv), " ")
			if strings.Contains(got, tt.secret) {
				t.Errorf("%q still holds the secret", got)
			}
			if !strings.Contains(got, Marker) {
				t.Errorf("%q has no marker", got)
			}
		})
	}
}

func TestOrdinaryArgumentsStand(t *testing.T) {
	argv := []string{"go", "test", "-run", "TestToken", "./tokens/...", "--author=me", "https://example.com/a@b", "--map-tokens", "0", "--max-tokens=4096", "MAX_TOKENS=100"}
	for i, got := range Argv(argv) {
		if got != argv[i] {
			t.Errorf("%q became %q", argv[i], got)
		}
	}
}
