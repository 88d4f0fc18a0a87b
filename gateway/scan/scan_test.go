package scan

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"testing"
)

const (
	alnum   = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	lowHex  = "0123456789abcdef"
	upper32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
)

// random returns n characters of an alphabet, the same for the same seed. The
// tests' secrets are made of it, so that no scanner finds one in this file.
func random(seed uint64, alphabet string, n int) string {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(b)
}

// secrets are of the kinds that agents come across, by the rule that finds them.
func secrets() map[string]string {
	key := base64.StdEncoding.EncodeToString([]byte(random(9, alnum, 900)))
	var lines []string
	for len(key) > 64 {
		lines, key = append(lines, key[:64]), key[64:]
	}
	body := strings.Join(append(lines, key), "\n")
	return map[string]string{
		"github-pat":            "gh" + "p_" + random(1, alnum, 36),
		"aws-access-token":      "AK" + "IA" + random(2, upper32, 16),
		"anthropic-api-key":     "sk-" + "ant-api03-" + random(3, alnum, 93) + "AA",
		"anthropic-oauth-token": "sk-" + "ant-oat01-" + random(4, alnum, 86) + "AA",
		"stripe-access-token":   "sk_" + "live_" + random(5, alnum, 24),
		"openrouter-api-key":    "sk-" + "or-v1-" + random(6, lowHex, 64),
		"groq-api-key":          "gs" + "k_" + random(7, alnum, 52),
		"xai-api-key":           "xa" + "i-" + random(8, alnum, 80),
		"private-key":           "-----BEGIN RSA PRIV" + "ATE KEY-----\n" + body + "\n-----END RSA PRIV" + "ATE KEY-----",
		"private-key-open":      "-----BEGIN OPENSSH PRIV" + "ATE KEY-----\n" + body,
		"slack-bot-token":       "xo" + "xb-" + random(10, "0123456789", 12) + "-" + random(11, "0123456789", 12) + random(12, alnum, 24),
		"gcp-api-key":           "AI" + "za" + random(13, alnum, 35),
		"npm-access-token":      "np" + "m_" + random(14, alnum, 36),
		"openai-project-key":    "sk-" + "proj-" + random(15, alnum, 100),
		"jwt":                   "ey" + random(16, alnum, 34) + ".ey" + random(17, alnum, 120) + "." + random(18, alnum, 43),
	}
}

var rules = sync.OnceValues(Load)

func newScanner(t testing.TB) *Scanner {
	t.Helper()
	s := New([]byte("a key of thirty-two random bytes"))
	s.load = rules
	return s
}

func (s *Scanner) must(t testing.TB, text string) []Finding {
	t.Helper()
	f, err := s.Text(text, NewBudget(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestPlantedSecretsAreFound(t *testing.T) {
	s := newScanner(t)
	wrap := func(in string) string {
		var out []string
		for ; len(in) > 76; in = in[76:] {
			out = append(out, in[:76])
		}
		return strings.Join(append(out, in), "\n")
	}
	b64 := base64.StdEncoding.EncodeToString
	forms := []struct {
		name, via string
		form      func(string) string
	}{
		{"alone", "", func(s string) string { return s }},
		{"in a line", "", func(s string) string { return "use " + s + " for it, please" }},
		{"after a line end", "", func(s string) string { return "the key:\n" + s + "\nis here" }},
		{"quoted", "", func(s string) string { return `x = "` + s + `"` + "\n" }},
		{"in dotenv", "", func(s string) string { return "A=1\nVALUE=" + s + "\nB=2" }},
		{"with a comment that asks to look away", "", func(s string) string { return s + " # gitleaks:allow" }},
		{"in a tool's arguments", "*", func(s string) string {
			b, _ := json.Marshal(map[string]string{"content": "line\n" + s + "\nline"})
			return string(b)
		}},
		{"base64", "base64", func(s string) string { return "kubectl says: " + b64([]byte("user:"+s)) + "\n" }},
		{"base64 without padding, for addresses", "base64", func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("?? " + s)) }},
		{"wrapped base64 of a file", "base64", func(s string) string {
			return "$ base64 x\n" + wrap(b64([]byte(strings.Repeat("some text of the file\n", 9)+s+"\nand more of it\n"))) + "\n$ "
		}},
		{"hex", "hex", func(s string) string { return "0x" + hex.EncodeToString([]byte(s)) }},
		{"URL", "*", func(s string) string { return "https://x.test/?a=1&next=" + url.QueryEscape("/?b="+s) + "&c=2" }},
	}
	for rule, secret := range secrets() {
		for _, f := range forms {
			text := f.form(secret)
			found := s.must(t, text)
			if len(found) != 1 || found[0].Rule != rule {
				t.Errorf("%s, %s: found %v", rule, f.name, found)
				continue
			}
			if f.via != "*" && found[0].Via != f.via {
				t.Errorf("%s, %s: by %q", rule, f.name, found[0].Via)
			}
			// What is left says nothing of the secret any more.
			left := text[:found[0].From] + found[0].Placeholder + text[found[0].To:]
			for _, form := range []string{secret, b64([]byte(secret))[4:24], hex.EncodeToString([]byte(secret))} {
				if strings.Contains(left, form) {
					t.Errorf("%s, %s: the secret is left", rule, f.name)
				}
			}
			if again := s.must(t, left); len(again) != 0 {
				t.Errorf("%s, %s: %v in what is left: %s", rule, f.name, again, left)
			}
		}
	}
}

func TestAssignmentsAndAddresses(t *testing.T) {
	s := newScanner(t)
	value := random(30, alnum, 28)
	tests := []struct{ name, text, rule string }{
		{"assignment", "api_key = \"" + value + "7\"", "generic-api-key"},
		{"in JSON", `{"client_secret": "` + value + `7"}`, "generic-api-key"},
		{"in JSON that is a string in JSON", `{"content":"{\"client_secret\": \"` + value + `7\"}"}`, "generic-api-key"},
		{"its name beside base64", "secret: " + base64.StdEncoding.EncodeToString([]byte(value+"77")), "generic-api-key"},
		{"a name that is public", "public_key = \"" + value + "7\"", ""},
		{"no digit", "api_key = some.function.of.ours", ""},
		{"address with a password", "postgres://app:" + value + "@db.example.com/x", "url-password"},
		{"address with an example", "postgres://user:password@localhost/x", ""},
		{"address with a variable", "postgres://app:${DB_PASSWORD}@localhost/x", ""},
		{"address with a port", "http://localhost:8080/a@b", ""},
		{"code that reads keys", "const begin = \"-----BEGIN RSA PRIV" + "ATE KEY-----\";\nconst end = \"-----END RSA PRIV" + "ATE KEY-----\";\nfunction read(text) { return text.slice(begin.length) }\n", ""},
		{"AWS's own example", "AKIA" + "IOSFODNN7" + "EXAMPLE", ""},
	}
	for _, tt := range tests {
		found := s.must(t, tt.text)
		switch {
		case tt.rule == "" && len(found) > 0:
			t.Errorf("%s: %v", tt.name, found)
		case tt.rule != "" && (len(found) != 1 || found[0].Rule != tt.rule):
			t.Errorf("%s: %v", tt.name, found)
		}
	}
}

func TestPlaceholders(t *testing.T) {
	s, secret := newScanner(t), secrets()["github-pat"]
	a := s.must(t, "a "+secret)[0]
	b := s.must(t, "other words around "+secret+" it")[0]
	if a.Placeholder != b.Placeholder {
		t.Errorf("one secret has two placeholders: %s %s", a.Placeholder, b.Placeholder)
	}
	if c := s.must(t, "gh"+"p_"+random(77, alnum, 36))[0]; c.Placeholder == a.Placeholder {
		t.Error("two secrets have one placeholder")
	}
	enc := s.must(t, base64.StdEncoding.EncodeToString([]byte("token "+secret+" of ours")))[0]
	if enc.Placeholder != a.Placeholder {
		t.Errorf("encoded it has another placeholder: %+v", enc)
	}
	if g, f := s.Placeholders("x " + a.Placeholder + " y"); g != 1 || f != 0 {
		t.Errorf("%d genuine, %d forged", g, f)
	}
	forged := a.Placeholder[:len(a.Placeholder)-2] + "a]"
	if forged == a.Placeholder {
		forged = a.Placeholder[:len(a.Placeholder)-2] + "b]"
	}
	if g, f := s.Placeholders(forged); g != 0 || f != 1 {
		t.Errorf("%d genuine, %d forged", g, f)
	}
	if g, _ := New([]byte("another key")).Placeholders(a.Placeholder); g != 0 {
		t.Error("another session's placeholder counts")
	}
	if strings.Contains(a.Placeholder, secret[4:12]) || strings.Contains(fmt.Sprintf("%+v", a), secret[4:12]) {
		t.Error("a finding holds the secret")
	}
}

func TestABlockIsScannedOnce(t *testing.T) {
	s, calls := newScanner(t), 0
	text := strings.Repeat("some text of a conversation\n", 100) + secrets()["github-pat"]
	decode := func() string { calls++; return text }
	var first []Finding
	for i := range 3 {
		f, err := s.Block([]byte(text), decode, NewBudget(0))
		if err != nil || len(f) != 1 || i > 0 && f[0] != first[0] {
			t.Fatal(f, err)
		}
		first = f
	}
	if calls != 1 {
		t.Errorf("decoded %d times", calls)
	}
	// What is learnt later holds for what was seen before.
	s.Learn(DeniedFile, ".env", "conversation\nsome text")
	if f, err := s.Block([]byte(text), decode, NewBudget(0)); err != nil || calls != 2 || len(f) < 2 {
		t.Error(len(f), err, calls)
	}
}

func TestBudget(t *testing.T) {
	s := newScanner(t)
	if _, err := s.Text(strings.Repeat("word ", 1000), &Budget{left: 1000}); err != ErrBudget {
		t.Error(err)
	}
	// Texts made to cost: each ends, one way or the other, close to its budget.
	for _, piece := range []string{"key=", "secret ", " ey", "curl -u ", "%41", "facebook", "-----BEGIN PRIVATE KEY-----\n", "://a:", "key: aaaaaaaaaaaa", "{\\n", strings.Repeat("QUFB", 20) + "\n"} {
		text := strings.Repeat(piece, 128<<10/len(piece))
		b := NewBudget(len(text))
		if _, err := s.Text(text, b); b.left < -5_000_000 || (err == nil) != (b.left >= 0) {
			t.Errorf("%.20q: %v with %d ms left", piece, err, b.left/1e6)
		}
	}
}

// The rules are ready before the first text where they were asked to be.
func TestWarm(t *testing.T) {
	loads := 0
	s := New(make([]byte, 32))
	s.load = sync.OnceValues(func() (*Rules, error) { loads++; return Load() })
	s.Warm()
	if loads != 1 {
		t.Fatal("nothing was read")
	}
	if _, err := s.Text("some text", NewBudget(0)); err != nil || loads != 1 {
		t.Errorf("%v, read %d times", err, loads)
	}
}
