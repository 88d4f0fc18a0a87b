// Package dnsstub answers the name questions of a session: localhost with the
// loopback, everything else with NXDOMAIN, after telling who was asked for.
//
// It promises that no question leaves the machine and that each name is
// reported before its answer goes out. It touches only the socket it is given.
package dnsstub

import (
	"errors"
	"net"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// Serve answers on conn until it is closed (RFC 1035 messages over UDP). asked
// is called for every question but localhost, before its answer, with the
// address it came from.
func Serve(conn net.PacketConn, asked func(from net.Addr, name, typ string)) error {
	buf := make([]byte, 4096)
	for {
		n, from, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		tell := func(name, typ string) { asked(from, name, typ) }
		if reply := answer(buf[:n], tell); reply != nil {
			_, _ = conn.WriteTo(reply, from)
		}
	}
}

// answer returns nil for what is no question: silence is the safest reply to it.
func answer(msg []byte, asked func(name, typ string)) []byte {
	var p dnsmessage.Parser
	head, err := p.Start(msg)
	if err != nil || head.Response {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	name := strings.TrimSuffix(q.Name.String(), ".")
	local := strings.EqualFold(name, "localhost")
	out := dnsmessage.Header{ID: head.ID, Response: true, RecursionDesired: head.RecursionDesired, RecursionAvailable: true}
	if !local {
		asked(name, strings.TrimPrefix(q.Type.String(), "Type"))
		out.RCode = dnsmessage.RCodeNameError
	}
	b := dnsmessage.NewBuilder(nil, out)
	if b.StartQuestions() != nil || b.Question(q) != nil || b.StartAnswers() != nil {
		return nil
	}
	rh := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60}
	switch {
	case local && q.Type == dnsmessage.TypeA:
		err = b.AResource(rh, dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}})
	case local && q.Type == dnsmessage.TypeAAAA:
		err = b.AAAAResource(rh, dnsmessage.AAAAResource{AAAA: [16]byte{15: 1}})
	}
	if err != nil {
		return nil
	}
	reply, err := b.Finish()
	if err != nil {
		return nil
	}
	return reply
}
