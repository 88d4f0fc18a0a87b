package dnsstub

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
)

// A real resolver asks; nothing may be answered but localhost.
func TestResolverIsToldNothing(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var mu sync.Mutex
	names := map[string]int{}
	go Serve(conn, func(_ net.Addr, name, _ string) {
		mu.Lock()
		defer mu.Unlock()
		names[name]++
	})
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	_, err = r.LookupHost(context.Background(), "secret-data.example.com")
	var dns *net.DNSError
	if !errors.As(err, &dns) || !dns.IsNotFound {
		t.Errorf("got %v, want no such host", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if names["secret-data.example.com"] == 0 {
		t.Errorf("the question was not reported: %v", names)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0, 1})
	f.Fuzz(func(t *testing.T, msg []byte) { answer(msg, func(string, string) {}) })
}
