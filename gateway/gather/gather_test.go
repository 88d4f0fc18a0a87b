package gather

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// counted is a connection that counts its writes and keeps what was written.
type counted struct {
	net.Conn
	writes []int
	all    bytes.Buffer
	err    error
}

func (c *counted) Write(b []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	c.writes = append(c.writes, len(b))
	return c.all.Write(b)
}

// over is a connection that can hold over one that is counted.
func over() (*counted, *Conn) {
	below := &counted{}
	return below, &Conn{Conn: below, rooms: Listen(nil).(listener).rooms}
}

func TestConn(t *testing.T) {
	below, c := over()
	var want []byte
	say := func(n int) {
		t.Helper()
		b := bytes.Repeat([]byte{byte(len(want))}, n)
		want = append(want, b...)
		if got, err := c.Write(b); got != n || err != nil {
			t.Fatal(got, err)
		}
	}
	say(3)
	c.Hold()
	c.Hold()
	say(4096)
	say(0)
	say(365)
	if len(below.writes) != 1 {
		t.Errorf("written while it is held: %v", below.writes)
	}
	if err := errors.Join(c.Release(), c.Release()); err != nil {
		t.Error(err)
	}
	say(7)
	c.Hold()
	say(most - 1)
	say(2)        // does not fit
	say(most + 1) // fits in no room
	say(most)
	if err := c.Release(); err != nil {
		t.Error(err)
	}
	if got := []int{3, 4461, 7, most - 1, 2, most + 1, most}; !slices.Equal(below.writes, got) || !bytes.Equal(below.all.Bytes(), want) {
		t.Errorf("writes %v, want %v", below.writes, got)
	}
}

// What could not be written is no success later, and nothing is written behind it.
func TestConnKeepsAnError(t *testing.T) {
	for _, more := range []int{0, 4, most + 1} {
		below, c := over()
		c.Hold()
		if _, err := c.Write(make([]byte, most)); err != nil {
			t.Fatal(err)
		}
		below.err = io.ErrClosedPipe
		if more > 0 {
			if _, err := c.Write(make([]byte, more)); !errors.Is(err, io.ErrClosedPipe) {
				t.Error(err)
			}
		}
		if err := c.Release(); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%d more: the error of the write was lost: %v", more, err)
		}
		below.err = nil
		if _, err := c.Write([]byte("next")); err == nil || below.all.Len() > 0 {
			t.Errorf("%d more: %q was written behind a gap", more, below.all.Bytes())
		}
	}
}

// What fits in no room and could not be written is no success later either.
func TestConnKeepsAnErrorOfMuch(t *testing.T) {
	below, c := over()
	c.Hold()
	below.err = io.ErrClosedPipe
	if _, err := c.Write(make([]byte, most+1)); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
	below.err = nil
	if err := c.Release(); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

// Who still sends hears that the answer is all, as without the room between.
func TestServerStillHalfCloses(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusUnauthorized)
	}))
	s.Listener, s.Config.ConnContext = Listen(s.Listener), Context
	s.Start()
	defer s.Close()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", 1<<20, strings.Repeat("x", 300<<10)); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(c) // a reset, where the server only closes on what it has not read
	if err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 401") {
		t.Errorf("%.40q, %v", all, err)
	}
}

// An answer longer than the server's own room is one write, below TLS too.
func TestServer(t *testing.T) {
	long := strings.Repeat("x", 6<<10)
	for _, secure := range []bool{false, true} {
		var writes chan int
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := Of(r)
			if c == nil {
				t.Error("no connection that can hold")
				return
			}
			w.Header().Set("Content-Length", "6144")
			c.Conn.(*told).writes = writes
			c.Hold()
			_, _ = io.WriteString(w, long)
			_ = http.NewResponseController(w).Flush()
			if err := c.Release(); err != nil {
				t.Error(err)
			}
			c.Conn.(*told).writes = nil
		}))
		writes = make(chan int, 100)
		s.Listener = Listen(tellers{s.Listener})
		s.Config.ConnContext = Context
		if secure {
			s.StartTLS()
		} else {
			s.Start()
		}
		resp, err := s.Client().Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		s.Close()
		if string(got) != long || err != nil || len(writes) != 1 {
			t.Errorf("secure %v: %d bytes in %d writes: %v", secure, len(got), len(writes), err)
		}
	}
	var none *Conn // of HTTP/2
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if none = Of(r); r.ProtoMajor != 2 {
			t.Error("not HTTP/2")
		}
	}))
	s.Listener, s.Config.ConnContext, s.EnableHTTP2 = Listen(s.Listener), Context, true
	s.StartTLS()
	if resp, err := s.Client().Get(s.URL); err != nil {
		t.Error(err)
	} else {
		resp.Body.Close()
	}
	if s.Close(); none != nil {
		t.Error("a connection that is others' as well was held")
	}
	none.Hold()
	if none = Of(httptest.NewRequest(http.MethodGet, "/", nil)); none.Release() != nil || none != nil {
		t.Error("a connection from nowhere")
	}
}

type tellers struct{ net.Listener }

func (l tellers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &told{Conn: c}, err
}

// told tells of each write, where it is to.
type told struct {
	net.Conn
	writes chan int
}

func (c *told) Write(b []byte) (int, error) {
	if c.writes != nil {
		c.writes <- len(b)
	}
	return c.Conn.Write(b)
}
