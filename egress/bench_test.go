package egress

import (
	"io"
	"net"
	"testing"
)

// BenchmarkTunnel is a new tunnel with a small answer, the record aside.
func BenchmarkTunnel(b *testing.B) {
	w := newWorld(b, nil)
	buf := make([]byte, 4096)
	for b.Loop() {
		c, err := net.Dial("tcp", w.proxy)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.WriteString(c, "CONNECT ok.example:443 HTTP/1.1\r\n\r\nGET / HTTP/1.0\r\n\r\n")
		for {
			if _, err := c.Read(buf); err != nil {
				break
			}
		}
		c.Close()
	}
}
