// Package gather puts what is written to a connection piece by piece into one write.
// The server of net/http has room for 4 KiB, so that an answer a little longer takes
// two writes, each of which wakes who reads it.
//
// It promises: what was written before a Release that succeeds has been handed to the
// system, in order; while nobody has called Hold, the connection is as it was. It keeps
// at most a piece's bytes, and none after Release.
package gather

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// most is how many bytes are held, enough for most answers that are no stream.
const most = 16 << 10

// Listen returns a listener whose connections can hold.
func Listen(l net.Listener) net.Listener {
	return listener{l, &sync.Pool{New: func() any { return new([most]byte) }}}
}

type listener struct {
	net.Listener
	rooms *sync.Pool // of *[most]byte
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: c, rooms: l.rooms}, nil
}

// Conn is a connection that can hold, or nil, for one that cannot. Its methods may be
// called concurrently.
type Conn struct {
	net.Conn
	rooms *sync.Pool

	mu   sync.Mutex
	room *[most]byte // nil: nothing is held
	n    int         // bytes of it
	err  error       // of what was held: what comes behind it is not written either
}

// CloseWrite is for the server of net/http, which tells so that an answer is all to
// who still sends.
func (c *Conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// Write implements net.Conn.
func (c *Conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	if c.room == nil {
		return c.Conn.Write(b)
	}
	if len(b) > most-c.n {
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	if len(b) > most {
		n, err := c.Conn.Write(b)
		c.err = err
		return n, err
	}
	c.n += copy(c.room[c.n:], b)
	return len(b), nil
}

// Hold has what is written kept back until Release, or until it is more than fits.
func (c *Conn) Hold() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.room == nil {
		c.room = c.rooms.Get().(*[most]byte)
	}
}

// Release writes what is held, and holds no more. Its error is that of the write.
func (c *Conn) Release() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.room == nil {
		return nil
	}
	err := c.flush()
	c.rooms.Put(c.room)
	c.room = nil
	return err
}

func (c *Conn) flush() error {
	if c.n > 0 && c.err == nil {
		_, c.err = c.Conn.Write(c.room[:c.n])
	}
	c.n = 0
	return c.err
}

type key struct{}

// Context is for http.Server.ConnContext: Of finds the connection in it, if it or
// what is below its TLS is one that can hold.
func Context(ctx context.Context, c net.Conn) context.Context {
	if over, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = over.NetConn()
	}
	if held, ok := c.(*Conn); ok {
		return context.WithValue(ctx, key{}, held)
	}
	return ctx
}

// Of returns the connection of a request; nil if it cannot hold, or is others' as well
// (HTTP/2).
func Of(r *http.Request) *Conn {
	c, _ := r.Context().Value(key{}).(*Conn)
	if r.ProtoMajor > 1 {
		return nil
	}
	return c
}
