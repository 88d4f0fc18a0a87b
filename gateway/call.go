package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/attempts"
	"github.com/countersign/countersign/gateway/budget"
	"github.com/countersign/countersign/gateway/envelope"
	"github.com/countersign/countersign/gateway/gather"
	"github.com/countersign/countersign/gateway/leaf"
	"github.com/countersign/countersign/gateway/price"
	"github.com/countersign/countersign/gateway/scan"
	"github.com/countersign/countersign/gateway/screen"
	"github.com/countersign/countersign/gateway/wire"
)

// maxKept bounds what is kept of one answer for the record.
const maxKept = 32 << 20

// call is one request of the agent on its way to a provider and back.
type call struct {
	g        *gateway
	w        http.ResponseWriter
	r        *http.Request
	wire     wire.Wire
	route    wire.Route
	asked    wire.Request
	features map[string]string // what each feature was: allow, deny, off
	provider *Provider
	model    countersign.Model
	holder   Holder
	from     string // where a stranger's comes from
	ruling   countersign.Ruling
	path     string       // for the provider, escaped
	found    screen.Found // secrets in the request
	prompt   []byte       // the body for the record, where it is not what is sent

	record    string      // id of model.request
	left      atomic.Bool // anything of it for the provider
	print     attempts.Print
	key       string
	again     bool   // with a key that has changed
	most      int64  // tokens of output that are asked for
	tier      string // of service, that is asked for
	hold      budget.Hold
	needed    budget.Need
	size      int         // of the body that was sent
	sent      atomic.Bool // the provider may have begun
	began     time.Time
	ended     time.Time     // when the agent had all of it
	first     time.Time     // of the answer's bytes
	waited    time.Duration // for a person, before the agent got its end
	line      *gather.Conn  // of an answer in one piece; nil: of another, or it cannot hold
	kept      bytes.Buffer
	cut       bool
	tally     *wire.Tally
	heardTo   int // bytes of kept that the tally has read
	status    int
	media     string
	partial   string // why the answer is not whole
	begun     bool   // its first byte is with the agent
	ends      bool   // no more of it comes
	judged    bool   // policy has spoken of the model that answered
	refused   *countersign.Ruling
	said      *wire.Answer
	message   string       // for the agent, in the place of a refused answer
	answered  screen.Found // secrets in the answer
	unscanned bool         // the scan of the answer did not end, so nothing of it is kept
}

// serve reads a request, asks policy, and hands it and its answer through.
func (c *call) serve() {
	body, err := c.read()
	if err != nil {
		c.refuse(wire.Policy, "gateway-body", err.Error())
		return
	}
	if body, ok := c.examine(body); ok && c.prepare(body) {
		c.send(body)
	}
}

// examine reads and searches a body and returns it as it may leave; where it may
// not, it has answered.
func (c *call) examine(body []byte) (out []byte, ok bool) {
	var doc *wire.Doc
	err := c.work(func() (err error) {
		if doc, err = c.parse(body); err == nil {
			c.asked, err = c.wire.Peek(c.route, doc)
		}
		return err
	})
	if err != nil {
		c.refuse(wire.Policy, "gateway-body", err.Error())
		return nil, false
	}
	c.most, c.tier = wire.MostOutput(doc, outputUnsaid), doc.Root().Get("service_tier").Text()
	prefix, ok := c.choose()
	if !ok {
		return nil, false
	}
	off, ok := c.allowed()
	if !ok {
		return nil, false
	}
	c.path = c.r.URL.EscapedPath()
	if prefix > 0 && c.route.To > 0 {
		c.path = c.route.StripPath(c.path, prefix)
	}
	if prefix > 0 {
		off = append(off, c.asked.Strip(prefix)...)
	}
	sent, kept, ok := c.secrets(doc)
	if !ok {
		return nil, false
	}
	off = append(off, sent...)
	if len(kept) > 0 {
		c.prompt, err = wire.Apply(body, append(kept, off...)...)
	}
	if err == nil {
		body, err = wire.Apply(body, off...)
	}
	if err != nil {
		c.refuse(wire.Policy, "gateway-body", err.Error())
		return nil, false
	}
	return body, true
}

// work has do done on one of the processors that are not kept for answers under way,
// unless the agent has gone: then nobody waits for it. do waits for nothing outside.
func (c *call) work(do func() error) error {
	select {
	case c.g.examining <- struct{}{}:
		defer func() { <-c.g.examining }()
	case <-c.r.Context().Done():
	}
	if why := c.gone(); why != "" {
		return errors.New(why)
	}
	return do()
}

// choose finds the provider and asks policy of the model; prefix is the length
// of the provider's name in front of it.
func (c *call) choose() (prefix int, ok bool) {
	if c.asked.Model == "" { // beside the model calls: the feature's rule decides
		c.provider = c.g.first(c.r.Context(), c.route.Wire)
		if c.provider == nil {
			c.ruling = noProvider(c.route.Wire)
			c.refuseBy(c.ruling)
			return 0, false
		}
		c.model.Provider = c.provider.Name
		c.ruling = countersign.Ruling{Verdict: countersign.Allow, Rule: "gateway-route", Reason: "names no model"}
	} else {
		provider, model, ruling := c.g.choose(c.r.Context(), c.route.Wire, c.asked.Model)
		c.model.Requested = c.clean(model)
		if provider != nil {
			c.model.Provider = provider.Name
		}
		c.provider, c.ruling, prefix = provider, ruling, len(c.asked.Model)-len(model)
		if ruling.Verdict != countersign.Allow {
			c.refuseBy(ruling)
			return 0, false
		}
	}
	for _, other := range c.asked.Others {
		if ruling := c.g.permits(c.r.Context(), c.provider, other); ruling.Verdict != countersign.Allow {
			c.model.Requested = c.clean(other)
			c.refuseBy(ruling)
			return 0, false
		}
	}
	return prefix, true
}

// allowed asks policy of each feature. What is denied and can be turned off by
// an edit is turned off; what cannot refuses the request.
func (c *call) allowed() (off []wire.Edit, ok bool) {
	features := c.asked.Features
	if c.route.Op == wire.Side {
		features = append([]wire.Feature{c.route.Side}, features...)
	}
	var denied *wire.Feature
	var by countersign.Ruling
	for i, f := range features {
		if c.features == nil {
			c.features = map[string]string{}
		}
		ruling := c.g.Feature(f.Kind, f.Detail)
		word := "allow"
		switch {
		case ruling.Verdict == countersign.Allow:
		case f.Off != nil:
			word = "off"
			off = append(off, *f.Off)
		default:
			word = "deny"
			if denied == nil {
				denied, by = &features[i], ruling
			}
		}
		if len(c.features) < 32 {
			c.features[c.clean(f.String())] = word
		}
	}
	if denied == nil {
		return off, true
	}
	by.Reason = c.clean(denied.String()) + ": " + by.Reason
	c.deny(by, wire.Policy, "policy denies "+c.clean(denied.String())+" (rule "+by.Rule+"), as it happens at the provider, out of sight: turn it off in the agent's settings, or have models.features allow it")
	return nil, false
}

// maxBody bounds a request: 64 MiB holds a conversation with many images. For a
// usualBody there is room before it has come; more is only said to come.
const (
	maxBody   = 64 << 20
	usualBody = 1 << 20
)

// read reads the whole body: the policy needs it, and a proxy that streams it
// cuts answers (golang/go#40747).
func (c *call) read() ([]byte, error) {
	if e := c.r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return nil, errors.New("a compressed request cannot be read: send it as it is")
	}
	var buf bytes.Buffer
	if n := c.r.ContentLength; n > 0 {
		buf.Grow(int(min(n, usualBody)) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(io.LimitReader(c.r.Body, maxBody+1)); err != nil {
		return nil, errors.New("the request was cut off")
	}
	body := buf.Bytes()
	if len(body) > maxBody {
		return nil, fmt.Errorf("the request is larger than %d MiB", maxBody>>20)
	}
	return body, nil
}

// parse reads a body's JSON; what may have no body and has none is no error.
func (c *call) parse(body []byte) (*wire.Doc, error) {
	if len(body) == 0 && (c.route.Op == wire.Side || c.route.Op == wire.Look && c.r.Method == http.MethodGet) {
		return nil, nil
	}
	return wire.ParseObject(body)
}

// unlock finds the provider's key, and has it known as one where it is read.
func (c *call) unlock() bool {
	key, err := c.g.key(c.r.Context(), c.provider)
	if err != nil {
		why := "no key for provider " + c.provider.Name
		ruling := countersign.Ruling{Verdict: countersign.Deny, Rule: "gateway-key", Reason: why, Bundle: c.ruling.Bundle}
		c.deny(ruling, wire.Policy, why+". Outside of the session: "+countersign.RemedyOf(err))
		return false
	}
	c.use(key)
	return true
}

func (c *call) use(key string) {
	if c.key = key; key != "" {
		c.g.Scanner.Learn(scan.ProviderKey, c.provider.Name, key)
	}
}

// prepare finds the key, if it is not found yet, and makes the request's record
// durable, its prompt with it.
func (c *call) prepare(body []byte) bool {
	if c.key == "" && !c.unlock() || !c.reserve(body) {
		return false
	}
	var payloads []countersign.Payload
	if len(body) > 0 {
		keep := body
		if c.prompt != nil {
			keep = c.prompt
		}
		payloads = append(payloads, countersign.Payload{Role: "prompt", Media: "application/json", Plain: keep})
	}
	err := c.g.open()
	if err == nil {
		var receipt countersign.Receipt
		rec := c.request(c.ruling, len(body), payloads)
		rec.Detail["stream"] = c.asked.Stream
		if c.prompt != nil {
			rec.Detail["kept"] = "redacted"
		}
		c.print = c.g.Attempts.Print(c.holder.Name, c.r.Method, c.model.Provider+" "+c.r.URL.Path, body)
		n, first := c.g.Attempts.Which(c.print)
		if n > 1 {
			rec.Detail["attempt"], rec.Detail["attempt_of"] = n, first
		}
		receipt, err = c.g.append(c.r.Context(), rec, true)
		if c.record = receipt.ID; err == nil {
			c.g.Attempts.Sent(c.print, n, c.record, first)
		}
	}
	if err != nil {
		c.settle(nil, price.Cost{})
		if countersign.CodeOf(err) == countersign.EInvalid {
			c.refuse(wire.Policy, "gateway-body", "the request is too large to be kept on record, so nothing was sent")
		} else {
			c.shut(err)
		}
		return false
	}
	return true
}

// send sends the request and hands its answer through.
func (c *call) send(body []byte) {
	resp, ok := c.reach(body)
	if !ok {
		return
	}
	defer resp.Body.Close()
	// From here on the agent may come back with what the provider said.
	searched := c.g.said.Coming(c.holder.Name)
	defer func() { searched() }()
	whole := c.relayed(resp)
	c.ended = c.g.Now()
	c.done()
	if whole && c.later(searched) {
		searched = func() {}
		return
	}
	c.close()
	if c.refused != nil && !c.begun {
		c.instead()
		return
	}
	if !whole {
		// So that the agent does not take a part for the whole.
		panic(http.ErrAbortHandler)
	}
}

// reach sends the request; where the provider is not reached or answers with an
// error whose words must stay here, it answers itself.
func (c *call) reach(body []byte) (*http.Response, bool) {
	c.began, c.size = c.g.Now(), len(body)
	resp, err := c.g.transport.RoundTrip(c.outgoing(body))
	if err != nil {
		c.unreached(err)
		return nil, false
	}
	c.status, c.media = resp.StatusCode, leaf.Clip(c.hide(resp.Header.Get("Content-Type")))
	if err := envelope.Plain(resp); err != nil {
		resp.Body.Close()
		c.partial = err.Error()
		c.close()
		c.answer(c.wire.Refuse(c.route, wire.Policy, "Countersign: provider "+c.provider.Name+": "+c.partial), true)
		return nil, false
	}
	switch c.status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return resp, true // the agent needs these words: clients compact by them
	}
	if c.status < http.StatusOK || c.status >= http.StatusMultipleChoices {
		c.keepFailure(resp)
		if c.rotated() {
			if !c.prepare(body) {
				return nil, false
			}
			return c.reach(body)
		}
		c.failed(resp)
		return nil, false
	}
	return resp, true
}

func (c *call) unreached(err error) {
	c.partial = "the provider was not reached"
	if why := c.gone(); why != "" {
		c.partial = why
	}
	c.close()
	if errors.Is(err, context.Canceled) {
		return
	}
	// The error may name the address, never the key: it is in no address.
	c.answer(c.wire.Refuse(c.route, wire.Policy, "Countersign: provider "+c.provider.Name+" was not reached: "+c.hide(err.Error())), true)
}

// failed answers in the provider's place: its own words name the account, or
// the end of the key. They are on record.
func (c *call) failed(resp *http.Response) {
	status := strconv.Itoa(resp.StatusCode)
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		c.answer(c.wire.Refuse(c.route, wire.Policy, "Countersign: provider "+c.provider.Name+" refused the company's key or account (status "+status+"): outside, type `countersign keys set "+c.provider.Name+"`"), true)
		return
	}
	if resp.StatusCode < http.StatusBadRequest {
		c.answer(c.wire.Refuse(c.route, wire.Policy, "Countersign: provider "+c.provider.Name+" leads elsewhere (status "+status+"), which is not followed: correct its base_url in gateway.yaml"), true)
		return
	}
	why := wire.Failed
	if resp.StatusCode == http.StatusTooManyRequests {
		why = wire.Rate
	}
	out := c.wire.Refuse(c.route, why, "provider "+c.provider.Name+" answered "+strings.TrimSpace(status+" "+http.StatusText(resp.StatusCode))+"; its words are on record, outside")
	out.Status = resp.StatusCode
	for _, h := range []string{"Retry-After", "Retry-After-Ms", "X-Should-Retry", "Request-Id", "X-Request-Id"} {
		if v := resp.Header.Get(h); v != "" {
			c.w.Header().Set(h, c.hide(v))
		}
	}
	c.answer(out, false)
}
