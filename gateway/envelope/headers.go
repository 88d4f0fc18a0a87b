package envelope

import (
	"net/http"
	"net/url"
	"strings"
)

// dropped are the headers that end at a proxy (RFC 9110, section 7.6.1), and
// those that would tell the provider of the agent's side, make the request
// another than was judged, tell the agent of the company's account or send it
// elsewhere, or carry another credential.
var dropped = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
	"Proxy-Authenticate": true, "Proxy-Authorization": true, "Cookie": true, "Set-Cookie": true, "Forwarded": true, "X-Forwarded-For": true,
	"X-Forwarded-Host": true, "X-Forwarded-Proto": true, "Content-Length": true, "Accept-Encoding": true, "Expect": true,
	"Authorization": true, "X-Api-Key": true, "Api-Key": true, "X-Goog-Api-Key": true, "Ocp-Apim-Subscription-Key": true, "X-Amz-Security-Token": true, "X-Auth-Token": true,
	"Anthropic-Organization-Id": true, "Openai-Organization": true, "Openai-Project": true, "Chatgpt-Account-Id": true, "X-Goog-User-Project": true,
	"X-Http-Method-Override": true, "X-Http-Method": true, "X-Method-Override": true, "X-Original-Url": true, "X-Rewrite-Url": true,
	"If-None-Match": true, "If-Modified-Since": true, "Range": true, "If-Range": true,
	"Location": true, "Refresh": true, "Alt-Svc": true, "Clear-Site-Data": true,
}

// routing begins the headers by which other gateways choose providers and keys.
var routing = []string{"X-Portkey-", "Cf-Aig-", "Helicone-", "X-Bf-", "X-Litellm-"}

// Copy copies the headers that may go on.
func Copy(dst, src http.Header) {
	skip := map[string]bool{}
	for _, v := range src.Values("Connection") {
		for _, name := range strings.Split(v, ",") {
			skip[http.CanonicalHeaderKey(strings.TrimSpace(name))] = true
		}
	}
	for name, values := range src {
		if dropped[name] || skip[name] {
			continue
		}
		for _, p := range routing {
			if strings.HasPrefix(name, p) {
				values = nil
			}
		}
		if len(values) > 0 {
			dst[name] = append([]string(nil), values...)
		}
	}
}

// Straight reports whether every reader takes an escaped path for the same one:
// no segment of it leads upwards and none holds what some take for an end of it,
// however often it is decoded.
func Straight(escaped string) bool {
	for range 3 {
		if strings.ContainsAny(escaped, "\\;?#\x00") {
			return false
		}
		for part := range strings.SplitSeq(escaped, "/") {
			if part == "." || part == ".." {
				return false
			}
		}
		plain, err := url.PathUnescape(escaped)
		if err != nil || plain == escaped {
			return err == nil
		}
		escaped = plain
	}
	return false // nobody escapes three times
}
