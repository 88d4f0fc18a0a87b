package gateway

import (
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/countersign/countersign/gateway/wire"
)

// credentials are the headers, and parameters the fields of a query, in which
// agents hand over their key.
var (
	credentials = []string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"}
	parameters  = []string{"key", "access_token"}
)

// given returns every credential of a request.
func given(r *http.Request) []string {
	var out []string
	query := r.URL.Query()
	for _, name := range parameters {
		out = append(out, query[name]...)
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

// authentic answers for a request without the session's token, or with another
// credential beside it, and says whether all is well: a personal key or login
// must not get through unseen.
func (c *call) authentic() bool {
	all := given(c.r)
	ok := len(all) > 0
	for _, v := range all {
		ok = ok && v == all[0]
	}
	if ok && c.known(all[0]) {
		return true
	}
	for _, v := range all {
		if plan := consumerPlan(v); plan != "" {
			c.refuse(wire.Policy, "gateway-subscription", "this is "+plan+": a personal subscription stays outside, the "+c.whose()+" own token is good here. Log the agent out of it")
			return false
		}
	}
	c.refuse(wire.Auth, "gateway-token", "only the "+c.whose()+" own token is good here; a personal key or login stays outside")
	return false
}

func (c *call) whose() string {
	if c.g.Holder != nil {
		return "gateway's"
	}
	return "session's"
}

// known says whether this is the session's token, or that of a holder.
func (c *call) known(token string) (ok bool) {
	if c.g.Holder != nil {
		c.holder, ok = c.g.Holder(token)
		return ok
	}
	return c.g.Token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(c.g.Token)) == 1
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

// consumerPlan names the plan whose token this is, or nothing. A JWT (RFC 7519)
// tells its issuer in clear; it is read, not believed.
func consumerPlan(v string) string {
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

// forwardQuery is the query without the agent's credential; the rest stays byte
// for byte.
func forwardQuery(raw string) string {
	if raw == "" {
		return ""
	}
	parts := strings.Split(raw, "&")
	kept := parts[:0]
	for _, part := range parts {
		name, _, _ := strings.Cut(part, "=")
		if n, err := url.QueryUnescape(name); err == nil && slices.Contains(parameters, n) {
			continue
		}
		kept = append(kept, part)
	}
	return strings.Join(kept, "&")
}
