package egress

import (
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"time"

	countersign "github.com/countersign/countersign"
)

// SOCKS5 (RFC 1928): CONNECT without authentication, names resolved here.
const (
	socksVersion = 5
	socksOK      = 0
	socksFailed  = 1
	socksRefused = 2
	socksCommand = 7
	socksForm    = 8
)

// socks serves one SOCKS5 client.
func (c *client) socks() {
	command, to, err := c.socksRequest()
	_ = c.conn.SetReadDeadline(time.Time{})
	if err != nil {
		if f := (*fault)(nil); errors.As(err, &f) {
			c.refuse(c.action(countersign.Net{Proto: ProtoHost, Host: "?"}), ruling(RuleRequest, "%s", f.why))
			c.socksReply(byte(f.status))
		}
		return
	}
	if command != 1 {
		c.refuse(c.action(countersign.Net{Proto: ProtoHost, Host: to.host, Port: to.port}), ruling(RuleRequest, "SOCKS command %d: only CONNECT is served", command))
		c.socksReply(socksCommand)
		return
	}
	l, f := c.connect(to)
	switch {
	case f == nil:
	case f.status == 403:
		c.socksReply(socksRefused)
		return
	default:
		c.socksReply(socksFailed)
		return
	}
	if err = c.socksReply(socksOK); err == nil {
		err = c.relay(l.conn, l)
	}
	l.end(err)
}

// socksRequest reads the greeting and the request. A fault's status is the reply.
func (c *client) socksRequest() (command byte, to target, err error) {
	var b [257]byte
	if _, err = io.ReadFull(c.br, b[:2]); err != nil {
		return 0, to, err
	}
	methods := b[2 : 2+int(b[1])]
	if _, err = io.ReadFull(c.br, methods); err != nil {
		return 0, to, err
	}
	if _, err = c.conn.Write([]byte{socksVersion, 0}); err != nil {
		return 0, to, err
	}
	if _, err = io.ReadFull(c.br, b[:4]); err != nil {
		return 0, to, err
	}
	command = b[1]
	if b[0] != socksVersion || b[2] != 0 {
		return 0, to, &fault{socksFailed, "no SOCKS5 request"}
	}
	to, err = c.socksAddress(b[3], b[:])
	if err != nil {
		return 0, to, err
	}
	if _, err = io.ReadFull(c.br, b[:2]); err != nil {
		return 0, to, err
	}
	if to.port = int(binary.BigEndian.Uint16(b[:2])); to.port == 0 {
		return 0, to, &fault{socksFailed, errPort.Error()}
	}
	return command, to, nil
}

func (c *client) socksAddress(form byte, b []byte) (target, error) {
	size := map[byte]int{1: 4, 4: 16}[form]
	if form == 3 {
		if _, err := io.ReadFull(c.br, b[:1]); err != nil {
			return target{}, err
		}
		size = int(b[0])
	}
	if size == 0 {
		return target{}, &fault{socksForm, "an address of an unknown form"}
	}
	if _, err := io.ReadFull(c.br, b[:size]); err != nil {
		return target{}, err
	}
	if form != 3 {
		a, _ := netip.AddrFromSlice(b[:size])
		return target{host: a.String(), addr: a}, nil
	}
	to, err := parseHost(string(b[:size]))
	if err != nil {
		return target{}, &fault{socksForm, err.Error()}
	}
	return to, nil
}

func (c *client) socksReply(code byte) error {
	_, err := c.conn.Write([]byte{socksVersion, code, 0, 1, 0, 0, 0, 0, 0, 0})
	return err
}
