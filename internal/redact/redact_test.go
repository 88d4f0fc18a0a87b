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

// One of each form of a well-known token is marked wherever it stands.
func TestEveryWellKnownForm(t *testing.T) {
	x := strings.Repeat("A1b2C3d4", 6)
	for _, token := range []string{
		"sk-" + x, "ghp_" + x, "gho_" + x, "ghu_" + x, "ghs_" + x, "ghr_" + x, "github_pat_" + x,
		"AKIA" + "IOSFODNN7EXAMPLE", "xoxb-" + x, "AIza" + x, "glpat-" + x, "eyJ" + x + "." + x + "." + x,
	} {
		for _, s := range []string{token, "with " + token, "/path/" + token, "--header=x " + token, "a: " + token} {
			if out, found := Arg(s); !found || strings.Contains(out, token) {
				t.Errorf("%q: %q, %v", s, out, found)
			}
		}
	}
}
