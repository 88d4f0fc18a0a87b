package egress

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
)

// What passes has one meaning: the standard library finds the same host, the same
// method and the same way of ending.
func FuzzHead(f *testing.F) {
	f.Add("GET http://ok.example/x HTTP/1.1\r\nHost: ok.example\r\n\r\n")
	f.Add("CONNECT ok.example:443 HTTP/1.1\r\nHost: ok.example:443\r\n\r\n")
	f.Add("POST http://[2606:4700::1]:8080/x?y HTTP/1.0\r\nContent-Length: 5\r\n\r\n")
	f.Add("POST http://a/ HTTP/1.1\r\nHost: a:80\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parseHead([]byte(s))
		if err != nil {
			return
		}
		to, connect, err := h.where()
		if err != nil {
			return
		}
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader([]byte(s))))
		if err != nil {
			return // refused after all
		}
		otherwise := 80
		if connect {
			otherwise = 0
		}
		theirs, err := parseAuthority(req.Host, otherwise)
		if err != nil || theirs != to || req.Method != h.method {
			t.Errorf("%q: %s for us, %q for others (%v)", s, to, req.Host, err)
		}
		if len(h.all("content-length")) > 0 && req.ContentLength < 0 || len(h.all("transfer-encoding")) > 0 != (len(req.TransferEncoding) > 0) {
			t.Errorf("%q: other ends", s)
		}
	})
}

func FuzzAuthority(f *testing.F) {
	for _, s := range []string{"ok.example:443", "[::1]:80", "127.0.0.1:1", "0x7f.1:80", "a@b:1", "A.:80", "[::ffff:1.2.3.4]:9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		to, err := parseAuthority(s, 80)
		if err != nil {
			return
		}
		again, err := parseAuthority(to.String(), 0)
		if err != nil || again != to {
			t.Errorf("%q is %s, and that is %v (%v)", s, to, again, err)
		}
		if to.host != strings.ToLower(to.host) || strings.HasSuffix(to.host, ".") || to.port < 1 || to.port > 65535 {
			t.Errorf("%q: %+v", s, to)
		}
	})
}
