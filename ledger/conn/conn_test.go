//go:build unix

package conn

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// pair returns both ends of a connection, the first in the poller if that is asked for.
func pair(t *testing.T, polled bool) (*Conn, *Conn) {
	t.Helper()
	addr := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"}
	l, err := net.ListenUnix("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.DialUnix("unix", nil, addr)
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	one, err := Take(a)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Take(b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { one.Close(); other.Close() })
	if polled {
		if err := one.Poll(); err != nil {
			t.Fatal(err)
		}
	}
	return one, other
}

// Whoever reads is woken by either end's hanging up, in the poller and out of it, and
// has what was written before.
func TestHangUp(t *testing.T) {
	for name, hangUp := range map[string]func(one, other *Conn){
		"own":      func(one, _ *Conn) { one.HangUp() },
		"own read": func(one, _ *Conn) { one.HangUpRead() },
		"other":    func(_, other *Conn) { other.HangUp() },
		"gone":     func(_, other *Conn) { other.Close() },
	} {
		for _, polled := range []bool{false, true} {
			one, other := pair(t, polled)
			if _, err := other.Write([]byte("before")); err != nil {
				t.Fatal(err)
			}
			heard, end := make(chan string), make(chan error)
			go func() {
				var all []byte
				buf := make([]byte, 3)
				for {
					n, err := one.Read(buf)
					if all = append(all, buf[:n]...); err != nil {
						end <- err
						return
					}
					if string(all) == "before" {
						heard <- string(all)
					}
				}
			}()
			<-heard
			time.Sleep(10 * time.Millisecond) // it waits; where it does not yet, the test is weaker
			hangUp(one, other)
			if err := <-end; !errors.Is(err, io.EOF) {
				t.Errorf("%s, polled %v: %v", name, polled, err)
			}
		}
	}
}

// A connection is in the poller with all that came before it was.
func TestPollLosesNothing(t *testing.T) {
	one, other := pair(t, false)
	if _, err := other.Write([]byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := one.Poll(); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	for c, want := range map[*Conn]string{one: "first", other: "answer"} {
		buf := make([]byte, 32)
		if n, err := c.Read(buf); err != nil || string(buf[:n]) != want {
			t.Errorf("%q, %v, want %q", buf[:n], err, want)
		}
	}
	if uid, err := one.PeerUID(); err != nil || uid != os.Geteuid() {
		t.Errorf("user %d, %v", uid, err)
	}
}

// A wait that is bounded ends, and leaves the connection as it was.
func TestReadWithin(t *testing.T) {
	one, other := pair(t, false)
	if err := one.ReadWithin(time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if _, err := other.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := one.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
