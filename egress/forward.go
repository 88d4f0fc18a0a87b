package egress

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"time"
)

// maxAnswerHead bounds the head of an answer, bytes.
const maxAnswerHead = 1 << 20

// forward serves one plain request and reports whether another may follow. A
// client's requests to one host and port share a connection, and its permit.
func (c *client) forward(h head, to target) bool {
	req, err := http.ReadRequest(c.br)
	if err != nil {
		c.malformed(h, to, bad("%v", err))
		return false
	}
	defer req.Body.Close()
	last := req.Close || h.minor == 0
	for retry := true; ; retry = false {
		used := c.up != nil && c.up.to == to
		if !used {
			if c.up != nil {
				c.up.end(nil)
				c.up = nil
			}
			var f *fault
			if c.up, f = c.connect(to); f != nil {
				c.up = nil
				c.answer(h.method, f)
				return false
			}
			c.up.head, c.up.br = maxAnswerHead, bufio.NewReaderSize(c.up, 32<<10)
		}
		if len(h.all("expect")) > 0 {
			if _, err := io.WriteString(c.conn, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
				return false
			}
		}
		again, begun, err := c.exchange(req, last)
		if err == nil {
			return again
		}
		c.up.end(err)
		c.up = nil
		// A host may end a connection that was kept; then the request never arrived.
		if begun || !used || !retry || req.ContentLength != 0 {
			if !begun {
				c.answer(h.method, &fault{502, fmt.Sprintf("%s: %v", to, err)})
			}
			return false
		}
	}
}

// exchange sends a request and hands its answer back; begun says that the answer
// has.
func (c *client) exchange(req *http.Request, last bool) (again, begun bool, err error) {
	outgoing(req, c.up.to)
	sent := make(chan error, 1)
	go func() { sent <- req.Write(c.up) }()
	resp, err := c.response(req)
	if err != nil {
		_ = c.up.conn.Close() // the sender may still wait
		_ = c.conn.SetReadDeadline(past())
		werr := <-sent
		_ = c.conn.SetReadDeadline(never())
		if werr != nil && req.ContentLength != 0 {
			err = fmt.Errorf("%w (%w)", err, werr)
		}
		return false, false, err
	}
	defer resp.Body.Close()
	upstream := resp.Close
	hop(resp.Header)
	resp.Close = last || resp.Close
	if last {
		resp.ProtoMajor, resp.ProtoMinor = 1, req.ProtoMinor
	} else {
		resp.ProtoMajor, resp.ProtoMinor = 1, 1
	}
	if resp.ProtoMinor == 0 {
		resp.TransferEncoding = nil
	}
	if err := resp.Write(c.conn); err != nil {
		_ = c.up.conn.Close()
		_ = c.conn.Close()
		<-sent
		return false, true, err
	}
	if err = c.rest(req, sent); err != nil {
		return false, true, err
	}
	if upstream {
		c.up.end(nil)
		c.up = nil
	}
	if resp.Close || c.up == nil {
		return !resp.Close, true, nil
	}
	c.up.head = maxAnswerHead
	return true, true, nil
}

// rest waits for the end of a request whose answer has been handed back. A host
// may answer before it has all: then nobody waits long for the rest.
func (c *client) rest(req *http.Request, sent <-chan error) error {
	if req.ContentLength == 0 {
		return <-sent
	}
	select {
	case err := <-sent:
		return err
	case <-time.After(time.Second):
	}
	_ = c.up.conn.Close()
	_ = c.conn.Close()
	<-sent
	return fmt.Errorf("the host answered before the whole request had come")
}

// response reads the answer's head, past those that only announce one. A switch
// to another protocol, which nobody asked for, is an error.
func (c *client) response(req *http.Request) (*http.Response, error) {
	for range 10 {
		c.up.head = maxAnswerHead
		resp, err := http.ReadResponse(c.up.br, req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode == http.StatusSwitchingProtocols {
			return nil, fmt.Errorf("the host switched protocols")
		}
		if resp.StatusCode >= 200 {
			c.up.head = math.MaxInt64
			return resp, nil
		}
	}
	return nil, fmt.Errorf("the host announced an answer and gave none")
}

// outgoing makes a request of the client's one of our own: the same in all that
// is meant for the host, without what is meant for a proxy.
func outgoing(req *http.Request, to target) {
	hop(req.Header)
	req.Host = to.named()
	req.URL.Host = req.Host
	req.Header.Del("Expect")
	req.Close = false
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "") // else one would be made up
	}
}

// hop removes what is about one connection only (RFC 9110, 7.6.1), an upgrade
// among it.
func hop(h http.Header) {
	for _, v := range h.Values("Connection") {
		for name := range strings.SplitSeq(v, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range []string{"Connection", "Proxy-Connection", "Proxy-Authorization", "Proxy-Authenticate", "Keep-Alive", "Te", "Upgrade", "Http2-Settings"} {
		h.Del(name)
	}
}
