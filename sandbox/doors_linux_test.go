package sandbox

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// echo listens on a port of the loopback and answers one connection.
func echo(args []string) error {
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	c, err := l.Accept()
	if err != nil {
		return err
	}
	_, err = io.Copy(c, c)
	c.Close()
	return err
}

// The session serves ports inside that it asked for, and reaches who listens there,
// of either family; each connection lives in the session's own network.
func TestDoorsBothWays(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:3000", "[::1]:3000"} {
		g := newGround(t)
		g.Listen = []int{5432, 80}
		s := g.start(t, "bash", "-c", `exec 3<>/dev/tcp/127.0.0.1/5432; read -u 3 x; [ "$x" = served ] && exec "$0" __attack echo `+addr, g.exe)
		if len(s.Doors) != 2 || s.Doors[1].Addr().String() != "127.0.0.1:80" {
			t.Fatalf("%v", s.Doors)
		}
		if _, err := s.Dial(3000); err == nil {
			t.Fatal("nobody listens yet")
		}
		if err := s.Go(); err != nil {
			t.Fatal(err)
		}
		in, err := s.Doors[0].Accept()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(in, "served")
		in.Close()
		var out net.Conn
		eventually(t, "somebody listens", func() bool { out, err = s.Dial(3000); return err == nil })
		_ = out.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(out, "hello")
		_ = out.(*net.TCPConn).CloseWrite()
		if b, err := io.ReadAll(out); string(b) != "hello" || err != nil {
			t.Errorf("%s: %q %v", addr, b, err)
		}
		if _, err := net.Dial("tcp", addr); err == nil {
			t.Error("it listens outside")
		}
		if exit, err := s.Wait(); exit != 0 || err != nil {
			t.Errorf("%d %v", exit, err)
		}
	}
}

// A connect that nobody answers is an error of its own.
func TestDialNobody(t *testing.T) {
	g := newGround(t)
	s := g.start(t, "true")
	if _, err := s.Dial(3000); !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Errorf("%v", err)
	}
}
