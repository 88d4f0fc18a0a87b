package egress

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	countersign "github.com/countersign/countersign"
)

// proxy serves a client's requests, one after the other: HTTP, or SOCKS5 by its
// first byte.
func (c *client) proxy() {
	defer func() {
		if c.up != nil {
			c.up.end(nil)
		}
	}()
	for first := true; ; first = false {
		_ = c.conn.SetReadDeadline(time.Now().Add(c.d.cfg.Times.Idle))
		b, err := c.br.Peek(1)
		if err != nil {
			return
		}
		_ = c.conn.SetReadDeadline(time.Now().Add(c.d.cfg.Times.Head))
		if first && b[0] == socksVersion {
			c.socks()
			return
		}
		h, err := c.readHead()
		_ = c.conn.SetReadDeadline(time.Time{})
		if err != nil {
			c.malformed(h, target{}, err)
			return
		}
		to, connect, err := h.where()
		if err != nil {
			c.malformed(h, to, err)
			return
		}
		if connect {
			c.tunnel(h, to)
			return
		}
		if !c.forward(h, to) {
			return
		}
	}
}

// malformed refuses what is no request of one meaning.
func (c *client) malformed(h head, to target, err error) {
	var f *fault
	if !errors.As(err, &f) {
		return // gone
	}
	host := to.host
	if host == "" {
		host = "?"
	}
	c.refuse(c.action(countersign.Net{Proto: ProtoHost, Host: host, Port: to.port}), ruling(RuleRequest, "%s", f.why))
	c.answer(h.method, f)
}

// tunnel serves CONNECT (RFC 9110, 9.3.6): what goes through is not looked at.
func (c *client) tunnel(h head, to target) {
	if _, err := c.br.Discard(h.size); err != nil {
		return
	}
	l, f := c.connect(to)
	if f != nil {
		c.answer(h.method, f)
		return
	}
	_, err := io.WriteString(c.conn, "HTTP/1.1 200 Connection established\r\n\r\n")
	if err == nil {
		err = c.relay(l.conn, l)
	}
	l.end(err)
}

// relay carries bytes both ways until both have ended.
func (c *client) relay(out net.Conn, l *link) error {
	if n := c.br.Buffered(); n > 0 {
		b, _ := c.br.Peek(n)
		w, err := out.Write(b)
		l.sent.Add(int64(w))
		if err != nil {
			return err
		}
	}
	back := make(chan error, 1)
	go func() { back <- carry(c.conn, out, l.received.Add) }()
	there := carry(out, c.conn, l.sent.Add)
	return errors.Join(there, <-back)
}

// carry copies in one direction. A clean end is passed on; any other ends both.
func carry(to, from net.Conn, count func(int64) int64) error {
	n, err := io.Copy(to, from)
	count(n)
	half, ok := to.(interface{ CloseWrite() error })
	if err == nil && ok && half.CloseWrite() == nil {
		return nil
	}
	_ = to.Close()
	_ = from.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// answer refuses in the words of HTTP. The reason stands in the status line too:
// of a refused CONNECT, most clients show nothing else.
func (c *client) answer(method string, f *fault) {
	why := "countersign: " + oneLine(f.why)
	body := why + "\n"
	if f.status == 403 {
		body += "A person sees it with: countersign log --type net.denied\nand can allow it by a rule of `network` in the policy: docs/egress.md\n"
	}
	length := len(body)
	if method == "HEAD" {
		body = ""
	}
	_ = c.conn.SetWriteDeadline(time.Now().Add(c.d.cfg.Times.Head))
	_, err := fmt.Fprintf(c.conn, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", f.status, cutAt(why, 300), length, body)
	half, ok := c.conn.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		return
	}
	// What is still coming must be taken, or the kernel tears the answer away.
	_ = c.conn.SetReadDeadline(time.Now().Add(time.Second))
	_, _ = io.CopyN(io.Discard, c.conn, 256<<10)
}

// oneLine keeps a text from being more than that.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '?'
		}
		return r
	}, s)
}

func cutAt(s string, n int) string { return s[:min(len(s), n)] }
