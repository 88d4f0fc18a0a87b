package envelope

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// credentials are the headers, and parameters the fields of a query, in which
// agents hand over their key.
var (
	credentials = []string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"}
	parameters  = []string{"key", "access_token", "oauth_token"}
)

// Credentials returns every credential of a request.
func Credentials(r *http.Request) []string {
	var out []string
	for _, f := range fields(r.URL.RawQuery) {
		if f.secret {
			out = append(out, f.value)
		}
	}
	for _, h := range credentials {
		for _, v := range r.Header.Values(h) {
			if scheme, rest, ok := strings.Cut(v, " "); ok && strings.EqualFold(scheme, "Bearer") {
				v = rest
			}
			out = append(out, strings.TrimSpace(v))
		}
	}
	return out
}

// Query is the query without the agent's credential; the rest stays byte for
// byte.
func Query(raw string) string {
	var b strings.Builder
	last := byte(0)
	for _, f := range fields(raw) {
		if !f.secret {
			if last != 0 {
				b.WriteByte(last)
			}
			b.WriteString(f.raw)
			last = f.then
		}
	}
	return b.String()
}

type field struct {
	raw, value string
	then       byte // what ends it
	secret     bool
}

// fields splits a query. Some servers end a field at a semicolon too (HTML 4.01,
// appendix B.2.2), and some read names without case.
func fields(raw string) (out []field) {
	for raw != "" {
		f := field{raw: raw, then: '&'}
		if i := strings.IndexAny(raw, "&;"); i >= 0 {
			f.raw, f.then, raw = raw[:i], raw[i], raw[i+1:]
		} else {
			raw = ""
		}
		name, value, _ := strings.Cut(f.raw, "=")
		f.value = value
		if v, err := url.QueryUnescape(value); err == nil {
			f.value = v
		}
		if n, err := url.QueryUnescape(name); err == nil {
			f.secret = slices.Contains(parameters, strings.ToLower(n))
		}
		out = append(out, f)
	}
	return out
}

// plans are how the tokens of consumer plans begin.
var plans = []struct{ prefix, plan string }{
	{"sk-ant-oat", "a login to a Claude plan"},
	{"sk-ant-ort", "a login to a Claude plan"},
	{"sk-ant-sid", "a session of claude.ai"},
	{"ya29.", "a login to a Google account"},
	{"gho_", "a login to GitHub"},
	{"ghu_", "a login to GitHub"},
	{"tid=", "a login to GitHub Copilot"},
}

// ConsumerPlan names the plan whose token this is, or nothing. A JWT (RFC 7519)
// tells its issuer in clear; it is read, not believed.
func ConsumerPlan(v string) string {
	for _, p := range plans {
		if strings.HasPrefix(v, p.prefix) {
			return p.plan
		}
	}
	parts := strings.Split(v, ".")
	if len(parts) != 3 || !strings.HasPrefix(v, "eyJ") {
		return ""
	}
	claims, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	switch {
	case err != nil:
	case strings.Contains(string(claims), "auth.openai.com") || strings.Contains(string(claims), "api.openai.com/auth"):
		return "a login to a ChatGPT plan"
	}
	return ""
}
