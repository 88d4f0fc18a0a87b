package ledger

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// wired are the two ends of a connection with room on the way.
func wired(t *testing.T) (here, there net.Conn) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if here, err = net.Dial("unix", l.Addr().String()); err == nil {
		there, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	return here, there
}

// Many ask on one lane at once, alone and together: each gets his own answer.
func TestLaneAnswersEveryAsker(t *testing.T) {
	here, there := wired(t)
	l := &lane{out: &pipe{conn: here}, in: &pipe{conn: here}}
	go func() {
		p := &pipe{conn: there}
		for {
			kind, msg, err := p.receive()
			if err != nil || kind != askFile {
				return
			}
			for more, ok := p.next(askFile); ok; more, ok = p.next(askFile) {
				p.add(okay, msg)
				msg = more
			}
			if p.send(okay, msg) != nil {
				return
			}
		}
	}()
	var all sync.WaitGroup
	for g := range 32 {
		all.Go(func() {
			for i := range 2000 {
				want := fmt.Sprint(g, " ", i)
				if a := l.ask(askFile, []byte(want)); a.err != nil || string(a.payload) != want {
					t.Errorf("%q, %v, want %q", a.payload, a.err, want)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("somebody waits for an answer that was given")
	}
	l.leave(io.EOF)
	if a := l.ask(askFile, nil); a.err == nil {
		t.Error("a lane that is left was asked")
	}
}

// The end of the connection reaches all that wait.
func TestLaneEndsForAll(t *testing.T) {
	here, there := wired(t)
	l := &lane{out: &pipe{conn: here}, in: &pipe{conn: here}}
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if a := l.ask(askFile, []byte("x")); a.err == nil {
				t.Error("answered by nobody")
			}
		})
	}
	b := make([]byte, 6)
	for range 16 {
		if _, err := io.ReadFull(there, b); err != nil || binary.BigEndian.Uint32(b) != 2 {
			t.Errorf("%v %v", b, err)
		}
	}
	there.Close()
	all.Wait()
}
