package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	countersign "github.com/countersign/countersign"
)

// maxKept bounds what is kept of one answer for the record.
const maxKept = 32 << 20

// call is one request on its way to a provider and back.
type call struct {
	g        *gateway
	wire     Wire
	provider *Provider
	model    countersign.Model
	ruling   countersign.Ruling
	stream   bool

	record  string // id of model.request
	key     string
	began   time.Time
	first   time.Time // of the answer's bytes
	kept    bytes.Buffer
	cut     bool
	usage   usageReader
	status  int
	media   string
	partial string // why the answer is not whole
}

// serve records the request, sends it, and hands the answer through.
func (c *call) serve(w http.ResponseWriter, r *http.Request, body []byte) {
	key, err := c.g.key(r.Context(), c.provider)
	if err != nil {
		c.noKey(w, r, err)
		return
	}
	c.key = key
	if !c.open(w, r, body) {
		return
	}
	c.began = c.g.Now()
	resp, err := c.g.transport.RoundTrip(c.outgoing(r, body))
	if err != nil {
		c.unreached(w, r, err)
		return
	}
	defer resp.Body.Close()
	c.status, c.media = resp.StatusCode, resp.Header.Get("Content-Type")
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		c.keyRefused(w, r, resp)
		return
	}
	c.relay(w, resp)
	c.close(r.Context())
}

// open makes the request's record durable, its prompt with it.
func (c *call) open(w http.ResponseWriter, r *http.Request, body []byte) bool {
	ctx := context.WithoutCancel(r.Context())
	var prompt countersign.Payload
	var receipt countersign.Receipt
	err := c.g.open()
	if err == nil {
		prompt, err = c.g.Ledger.Blob(ctx, "prompt", "application/json", body)
	}
	if err == nil {
		rec := c.g.request(c.model, c.ruling, r, len(body), []countersign.Payload{prompt})
		rec.Detail["stream"] = c.stream
		receipt, err = c.g.append(ctx, rec, true)
	}
	if err != nil {
		c.g.shut(w, c.wire, err)
		return false
	}
	c.record = receipt.ID
	return true
}

func (c *call) noKey(w http.ResponseWriter, r *http.Request, err error) {
	remedy := countersign.RemedyOf(err)
	ruling := countersign.Ruling{Verdict: countersign.Deny, Rule: "gateway-key", Reason: "no key for provider " + c.provider.Name, Bundle: c.ruling.Bundle}
	if c.g.denied(w, r, c.model, ruling) {
		refuse(w, c.wire, http.StatusBadRequest, invalidRequest, ruling.Reason+": outside, type `"+remedy+"`")
	}
}

// dropped are the headers that end at a proxy (RFC 9110, section 7.6.1), and
// those that would tell the provider of the agent's side or carry another
// credential.
var dropped = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
	"Proxy-Authenticate": true, "Proxy-Authorization": true, "Cookie": true, "Set-Cookie": true, "Forwarded": true, "X-Forwarded-For": true,
	"X-Forwarded-Host": true, "X-Forwarded-Proto": true, "Content-Length": true, "Accept-Encoding": true, "Expect": true,
	"Authorization": true, "X-Api-Key": true, "Api-Key": true, "X-Goog-Api-Key": true,
}

func copyHeaders(dst, src http.Header) {
	skip := map[string]bool{}
	for _, v := range src.Values("Connection") {
		for _, name := range strings.Split(v, ",") {
			skip[http.CanonicalHeaderKey(strings.TrimSpace(name))] = true
		}
	}
	for name, values := range src {
		if !dropped[name] && !skip[name] {
			dst[name] = append([]string(nil), values...)
		}
	}
}

func (c *call) outgoing(r *http.Request, body []byte) *http.Request {
	u := c.provider.url(r.URL.Path, forwardQuery(r.URL.RawQuery))
	out := (&http.Request{
		Method: r.Method, URL: u, Host: u.Host, Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
		// Without GetBody the transport never sends it a second time.
	}).WithContext(r.Context())
	if len(body) == 0 {
		out.Body = http.NoBody
	}
	copyHeaders(out.Header, r.Header)
	// Bytes that are read are bytes that are recorded: no compression.
	out.Header.Set("Accept-Encoding", "identity")
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = []string{""}
	}
	switch {
	case c.key == "":
	case c.provider.Wire == Anthropic:
		out.Header.Set("X-Api-Key", c.key)
	default:
		out.Header.Set("Authorization", "Bearer "+c.key)
	}
	return out
}

func (c *call) unreached(w http.ResponseWriter, r *http.Request, err error) {
	c.partial = "the provider was not reached"
	if r.Context().Err() != nil {
		c.partial = "the agent hung up"
	}
	c.close(r.Context())
	if errors.Is(err, context.Canceled) {
		return
	}
	// The error may name the address, never the key: it is in no address.
	refuse(w, c.wire, http.StatusBadRequest, invalidRequest, "provider "+c.provider.Name+" was not reached: "+c.hide(err.Error()))
}

// keyRefused answers in the provider's place: its own words name the account,
// or the end of the key.
func (c *call) keyRefused(w http.ResponseWriter, r *http.Request, resp *http.Response) {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	c.keep(blank(c.key, b))
	c.g.forget(c.provider)
	c.close(r.Context())
	refuse(w, c.wire, http.StatusBadRequest, invalidRequest, "provider "+c.provider.Name+" refused the company's key or account (status "+strconv.Itoa(resp.StatusCode)+"): outside, type `countersign keys set "+c.provider.Name+"`")
}

// relay hands the answer through, each read flushed at once.
func (c *call) relay(w http.ResponseWriter, resp *http.Response) {
	copyHeaders(w.Header(), resp.Header)
	for name, values := range w.Header() {
		for i := range values {
			w.Header()[name][i] = c.hide(values[i])
		}
	}
	if resp.ContentLength >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	}
	w.WriteHeader(resp.StatusCode)
	flusher := http.NewResponseController(w)
	filter := newKeyFilter(c.key)
	c.usage = newUsageReader(c.model.Wire, c.media)
	buf := make([]byte, 32<<10)
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 && c.first.IsZero() {
			c.first = c.g.Now()
		}
		out := filter.next(buf[:n])
		if err != nil {
			out = filter.final(out)
		}
		if !c.pass(w, flusher, out) {
			return
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			c.partial = "the provider's answer was cut off"
			if resp.Request != nil && resp.Request.Context().Err() != nil {
				c.partial = "the agent hung up"
			}
			return
		}
	}
}

func (c *call) pass(w io.Writer, flusher *http.ResponseController, out []byte) bool {
	if len(out) == 0 {
		return true
	}
	c.keep(out)
	c.usage.feed(out)
	if _, err := w.Write(out); err != nil {
		c.partial = "the agent hung up"
		return false
	}
	_ = flusher.Flush() // a writer that cannot flush has written already
	return true
}

func (c *call) keep(b []byte) {
	if room := maxKept - c.kept.Len(); len(b) > room {
		b, c.cut = b[:room], true
	}
	c.kept.Write(b)
}

// close records the answer. If it cannot, no further request leaves.
func (c *call) close(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	rec := c.response()
	if c.kept.Len() > 0 {
		p, err := c.g.Ledger.Blob(ctx, "answer", c.media, c.kept.Bytes())
		if err != nil {
			c.g.close(err)
			return
		}
		rec.Payloads = []countersign.Payload{p}
	}
	if _, err := c.g.append(ctx, rec, false); err != nil {
		c.g.close(err)
	}
}

func (c *call) hide(s string) string {
	if c.key == "" {
		return s
	}
	return strings.ReplaceAll(s, c.key, strings.Repeat("*", len(c.key)))
}
