package gateway

import (
	"context"
	"net/http"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/envelope"
	"github.com/countersign/countersign/gateway/screen"
	"github.com/countersign/countersign/gateway/wire"
)

// secrets searches a request. It returns the edits that take secrets out of what
// is sent, and those that take them out of what is kept only; ok is false where it
// has refused the request.
func (c *call) secrets(doc *wire.Doc) (sent, kept []wire.Edit, ok bool) {
	if !c.unlock() { // a key in use must be known as one
		return nil, nil, false
	}
	r, err := c.search(doc)
	if r.Early {
		ctx, stop := context.WithTimeout(c.r.Context(), patience)
		c.g.said.Wait(ctx, c.holder.Name)
		stop()
		r, err = c.search(doc)
	}
	c.found = r.Found
	switch f := &c.found; {
	case err != nil:
		c.refuse(wire.Policy, "gateway-scan", err.Error()+", so nothing was sent")
		return nil, nil, false
	case f.Blocked != nil:
		f.By.Reason = f.Blocked.Rule + " in " + f.Blocked.Place + ": " + f.By.Reason
		c.deny(f.By, wire.Policy, "policy blocks a secret in the request ("+f.Blocked.Rule+", in "+f.Blocked.Place+"): take it out of the conversation, or have models.secrets of the policy redact it")
		return nil, nil, false
	}
	return r.Sent, r.Kept, true
}

// search searches all of a request.
func (c *call) search(doc *wire.Doc) (r screen.Request, err error) {
	r = screen.Request{Scanner: c.g.Scanner, Rules: c.g.Secrets, Said: &c.g.said, Holder: c.holder.Name}
	headers := http.Header{}
	envelope.Copy(headers, c.r.Header)
	err = c.work(func() error {
		if err := r.Beside(c.path, envelope.Query(c.r.URL.RawQuery), headers); err != nil {
			return err
		}
		return r.Body(c.wire, c.route, doc)
	})
	return r, err
}

// patience is how long a request that may only bring back what the provider has said
// waits for the search of that.
const patience = 2 * time.Second

// searched is screened in a place for one request or answer.
func (c *call) searched() (said wire.Answer, raw []byte) {
	c.g.examining <- struct{}{}
	defer func() { <-c.g.examining }()
	return c.screened()
}

// screened takes the secrets out of an answer before it is kept.
func (c *call) screened() (said wire.Answer, raw []byte) {
	a := screen.Answer{Scanner: c.g.Scanner, Rules: c.g.Secrets}
	heard, streams := c.heard(), false
	var read *wire.Doc
	if c.tally != nil {
		streams, read = c.tally.Streams(), c.tally.Whole()
	}
	said, raw, err := a.Clear(heard, c.kept.Bytes(), streams, read)
	c.answered, c.unscanned = a.Found, err != nil
	c.g.said.Add(&c.answered)
	return said, raw
}

// held takes bytes of an answer that is held and returns those that may go on;
// fed says that they are kept and read, end that no more come.
func (c *call) held(h *screen.Hold, b []byte, fed, end bool) []byte {
	feed := c.take
	if fed {
		feed = nil
	}
	out, f, err := h.Next(b, feed)
	if end && f == nil && err == nil {
		var rest []byte
		c.heard()
		rest, f, err = h.End(nil)
		out = append(out, rest...)
		// What is encoded is seen in the whole only.
		if c.screened(); f == nil && err == nil && c.answered.Blocked != nil {
			f = &c.answered.Blocked.Finding
		}
	}
	switch {
	case err != nil:
		c.halt(countersign.Ruling{Rule: "gateway-scan", Reason: "so the answer was stopped", Bundle: c.ruling.Bundle}, err.Error())
	case f != nil:
		_, by := c.g.Secrets.Secret(f.Rule, f.Low, true)
		c.halt(by, f.Rule)
	}
	return out
}

// halt refuses an answer.
func (c *call) halt(by countersign.Ruling, why string) {
	by.Verdict, by.Reason = countersign.Deny, why+": "+by.Reason
	c.refused, c.partial = &by, "policy blocks a secret in the answer"
	c.message = "policy blocks a secret in the answer (" + why + "; rule " + by.Rule + ")"
}

// stop ends an answer that has begun, in the words of its wire; it reports whether
// the agent can tell.
func (c *call) stop(flusher *http.ResponseController, open bool) bool {
	end := c.wire.Cut(c.route, c.media, "Countersign: "+c.message)
	if !open || end == nil {
		return false
	}
	_, err := c.w.Write(end)
	return err == nil && flusher.Flush() == nil
}
