package gateway

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/budget"
	"github.com/countersign/countersign/gateway/early"
	"github.com/countersign/countersign/gateway/envelope"
	"github.com/countersign/countersign/gateway/gather"
	"github.com/countersign/countersign/gateway/leaf"
	"github.com/countersign/countersign/gateway/screen"
	"github.com/countersign/countersign/gateway/wire"
)

func (c *call) outgoing(body []byte) *http.Request {
	r := c.r
	u := c.provider.url(c.route.Wire, c.path, envelope.Query(r.URL.RawQuery))
	out := (&http.Request{
		Method: r.Method, URL: u, Host: u.Host, Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
	}).WithContext(c.traced(r.Context()))
	switch {
	case len(body) == 0:
		out.Body = http.NoBody
	case r.Header.Get("Idempotency-Key") == "" && r.Header.Get("X-Idempotency-Key") == "":
		// The transport takes another connection where an idle one was found dead
		// before a byte was written. With one of these headers it would also send
		// again what may have arrived: one record, two calls.
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	envelope.Copy(out.Header, r.Header)
	// Bytes that are read are bytes that are recorded: no compression.
	out.Header.Set("Accept-Encoding", "identity")
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = []string{""}
	}
	if c.key != "" {
		c.provider.vendor.Authorize(out.Header, c.key)
	}
	return out
}

// headers hands those of an answer through, without the key, and makes room for as
// much as they say that comes.
func (c *call) headers(resp *http.Response) {
	envelope.Copy(c.w.Header(), resp.Header)
	for name, values := range c.w.Header() {
		if c.key != "" && strings.Contains(strings.ToLower(name), strings.ToLower(c.key)) {
			delete(c.w.Header(), name)
			continue
		}
		for i := range values {
			values[i] = c.hide(values[i])
		}
	}
	if resp.ContentLength >= 0 {
		c.kept.Grow(int(min(resp.ContentLength, usual)))
		c.line = gather.Of(c.r)
		c.w.Header().Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	}
}

// relayed is relay; where that fails in itself, the record of what there was is written
// all the same.
func (c *call) relayed(resp *http.Response) (whole bool) {
	defer func() {
		if p := recover(); p != nil {
			c.partial = leaf.Clip(fmt.Sprintf("the gateway failed: %v", p))
			c.close()
			panic(http.ErrAbortHandler) // so that the agent does not take a part for the whole
		}
	}()
	return c.relay(resp)
}

// readSize is how much of an answer is read at once, usual how much is kept of
// most, in bytes.
const (
	readSize = 8 << 10
	usual    = 12 << 10
)

// relay hands the answer through, each read flushed at once. It reports whether
// the agent can tell how the answer ended.
func (c *call) relay(resp *http.Response) (whole bool) {
	c.headers(resp)
	flusher := http.NewResponseController(c.w)
	filter := envelope.NewFilter(c.key)
	c.tally = c.wire.Meter(c.route, c.media)
	var hold *screen.Hold
	if c.g.Secrets.HoldsAnswers() {
		hold = screen.NewHold(c.g.Scanner, c.g.Secrets, c.tally)
	}
	ask := early.New(c.g.Early, c.tally)
	pings := c.startPinger(flusher, resp.ContentLength < 0 && (hold != nil || ask != nil || c.watching()))
	defer pings.Stop()
	pass := func(out []byte, known bool) bool {
		defer pings.Writing()()
		return c.pass(flusher, out, known)
	}
	buf := c.g.buffers.Get().(*[readSize]byte)
	if c.r.ProtoMajor < 2 { // HTTP/2 may still write what it was given when a stream has ended
		defer c.g.buffers.Put(buf) // what is passed on is written, what is kept is copied
	}
	for {
		n, err := resp.Body.Read(buf[:])
		if n > 0 && c.first.IsZero() {
			c.first = c.g.Now()
		}
		out := filter.Next(buf[:n])
		if err != nil {
			out = filter.Final(out)
		}
		waits := c.watching()
		if waits {
			out = c.judge(out, err != nil)
		}
		if hold != nil && c.refused == nil {
			out = c.held(hold, out, waits, err != nil)
		}
		if ask != nil && c.refused == nil {
			out = c.awaited(ask, out, waits || hold != nil, err, pass)
		}
		if c.refused != nil || err != nil {
			pings.Stop()
		}
		if c.refused != nil {
			return !c.begun || c.stop(flusher, resp.ContentLength < 0)
		}
		c.ends = err == io.EOF && resp.ContentLength < 0
		if !pass(out, waits || hold != nil || ask != nil) {
			return false
		}
		if err != nil {
			c.begin(resp.StatusCode)
		}
		if err == io.EOF {
			return true
		}
		if err != nil {
			return c.cutOff(flusher, resp.ContentLength < 0)
		}
	}
}

// awaited keeps back a call that a person is asked about first, until the answer is
// whole and they have answered. known says that the bytes are kept and read already.
func (c *call) awaited(h *early.Hold, in []byte, known bool, err error, pass func([]byte, bool) bool) (out []byte) {
	for line := range bytes.Lines(in) { // so that what was said before a call goes on
		if !known {
			c.take(line)
		}
		out = append(out, h.Next(line)...)
	}
	switch {
	case err == nil:
		return out
	case err != io.EOF:
		return append(out, h.Rest()...)
	case !pass(out, true):
		return nil
	}
	from := c.g.Now()
	if h.Wait(c.r.Context(), c.heard().Calls) {
		c.waited, c.partial = max(1, c.g.Now().Sub(from)), c.gone()
	}
	return h.Rest()
}

// pass writes bytes to the agent; known ones are kept and read already.
func (c *call) pass(flusher *http.ResponseController, out []byte, known bool) bool {
	if len(out) == 0 {
		return true
	}
	c.begin(c.status)
	err := c.handOver(flusher, out)
	heard := err != nil && !known && c.complete() // before these bytes
	if !known {
		c.keep(out) // and read later: the agent waits for the next bytes
	}
	if err != nil && !heard {
		c.partial = hungUp
		if why := c.gone(); why != "" {
			c.partial = why
		}
	}
	return err == nil
}

// handOver writes bytes and flushes them; a stream's last go out with its end.
func (c *call) handOver(flusher *http.ResponseController, out []byte) error {
	c.line.Hold()
	_, err := c.w.Write(out)
	if err == nil && !c.ends {
		_ = flusher.Flush() // a writer that cannot flush has written already
	}
	return cmp.Or(err, c.line.Release())
}

// cutOff ends an answer whose provider fell silent: a stream with an error event
// of its wire. It reports whether that was possible.
func (c *call) cutOff(flusher *http.ResponseController, open bool) bool {
	c.partial = "the provider's answer was cut off"
	if why := c.gone(); why != "" {
		if c.partial = why; why == hungUp && c.complete() {
			c.partial = "" // it had heard the end, and did not wait for the connection's
		}
		return false
	}
	end := c.wire.Cut(c.route, c.media, "Countersign: "+c.partial)
	if !open || end == nil {
		return false
	}
	c.catchUp()
	if c.tally.Open() {
		end = append([]byte("\n\n"), end...)
	}
	if _, err := c.w.Write(end); err != nil {
		return false
	}
	return flusher.Flush() == nil
}

// gone says why nobody waits for the answer any more; empty if somebody does.
func (c *call) gone() string {
	switch ctx := c.r.Context(); {
	case ctx.Err() == nil:
		return ""
	case errors.Is(context.Cause(ctx), ErrStopped):
		return ErrStopped.Error()
	}
	return hungUp
}

const hungUp = "the agent hung up"

func (c *call) keep(b []byte) {
	if c.kept.Cap() == 0 {
		c.kept.Grow(usual)
	}
	room := maxKept - c.kept.Len()
	if len(b) <= room {
		c.kept.Write(b)
		return
	}
	c.cut = true
	c.kept.Write(b[:room])
	if c.tally != nil { // what is not kept is read now
		c.catchUp()
		c.tally.Feed(b[room:])
	}
}

// take keeps bytes of which something is to be known before they go on.
func (c *call) take(b []byte) {
	c.keep(b)
	c.catchUp()
}

// catchUp has the tally read what is kept.
func (c *call) catchUp() {
	c.tally.Feed(c.kept.Bytes()[c.heardTo:])
	c.heardTo = c.kept.Len()
}

// complete reports whether the answer has said why it stopped and what it used.
func (c *call) complete() bool {
	c.catchUp()
	return c.tally.Stop != "" && c.tally.Counts.Said
}

// later has the record of a whole answer written beside what the agent does with it,
// and then says that it was searched. It reports false where that is not possible: a
// budget counts before the next call, and what is under way is bounded.
func (c *call) later(searched func()) bool {
	if c.refused != nil || c.partial != "" || c.hold != (budget.Hold{}) {
		return false
	}
	c.asked, c.prompt = wire.Request{}, nil // the request is not held for longer
	return c.g.after.Take(c.kept.Len(), func() {
		defer searched()
		c.close()
	})
}

// done forgets a request that the provider has answered as it was asked: the same one
// again is no other attempt.
func (c *call) done() {
	if c.refused == nil && c.partial == "" && c.status >= http.StatusOK && c.status < http.StatusMultipleChoices {
		c.g.Attempts.Answered(c.print)
	}
}

// close records the answer. If it cannot, no further request leaves.
func (c *call) close() {
	defer func() {
		if p := recover(); p != nil { // a record is missing
			c.g.close(fmt.Errorf("record an answer: %v", p))
		}
	}()
	said, kept := c.searched()
	rec := c.response(said)
	add := func(role, media string, b []byte) {
		if len(b) > 0 {
			rec.Payloads = append(rec.Payloads, countersign.Payload{Role: role, Media: media, Plain: b})
		}
	}
	add("answer", c.media, kept)
	if c.tally != nil && c.tally.Streams() {
		add("said", "application/json", said.Transcript())
	}
	if _, err := c.g.append(c.r.Context(), rec, false); err != nil {
		c.g.close(err)
	}
}

func (c *call) hide(s string) string {
	if c.key == "" {
		return s
	}
	return strings.ReplaceAll(s, c.key, strings.Repeat("*", len(c.key)))
}
