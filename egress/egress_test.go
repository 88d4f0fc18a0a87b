package egress

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	countersign "github.com/countersign/countersign"
)

// TestAttacks sends what an agent may try, as bytes. Nothing of it may reach the
// server but where the row says so, and each refusal is one record.
func TestAttacks(t *testing.T) {
	long := strings.Repeat("a", maxHead)
	tests := []struct {
		name   string
		send   string
		status string
		record string // the only line on record, by its beginning; with "decided" there are more
		hits   int
	}{
		{"honest, plain", "GET http://ok.example/x HTTP/1.1\r\nHost: ok.example\r\nConnection: close\r\n\r\n", "200", "decided ok.example:80", 1},
		{"honest, another writing", "GET http://OK.example.:80/x HTTP/1.1\r\nHost: ok.EXAMPLE\r\nConnection: close\r\n\r\n", "200", "decided ok.example:80", 1},
		{"honest, HTTP/1.0", "GET http://ok.example/x HTTP/1.0\r\n\r\n", "200", "decided ok.example:80", 1},
		{"honest tunnel", "CONNECT ok.example:443 HTTP/1.1\r\nHost: ok.example:443\r\n\r\nGET / HTTP/1.0\r\n\r\n", "200", "decided ok.example:443", 1},
		{"tunnel, Host without port", "CONNECT ok.example:443 HTTP/1.1\r\nHost: ok.example\r\n\r\nGET / HTTP/1.0\r\n\r\n", "200", "decided ok.example:443", 1},
		{"host not allowed", "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", "403", "refused evil.example:443 by default", 0},
		{"a longer name", "CONNECT ok.example.evil.example:443 HTTP/1.1\r\n\r\n", "403", "refused ok.example.evil.example:443 by default", 0},
		{"CONNECT to port 22", "CONNECT ok.example:22 HTTP/1.1\r\nHost: ok.example:22\r\n\r\n", "403", "refused ok.example:22 by default", 0},
		{"plain to port 22", "GET http://ok.example:22/ HTTP/1.1\r\nHost: ok.example:22\r\n\r\n", "403", "refused ok.example:22 by default", 0},
		{"no port", "CONNECT ok.example HTTP/1.1\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"port of words", "CONNECT ok.example:https HTTP/1.1\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"port with a sign", "CONNECT ok.example:+443 HTTP/1.1\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"port with a zero", "CONNECT ok.example:0443 HTTP/1.1\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"port too large", "CONNECT ok.example:65979 HTTP/1.1\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"two ports", "CONNECT ok.example:443:22 HTTP/1.1\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"userinfo", "GET http://ok.example@evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"userinfo in CONNECT", "CONNECT a:b@ok.example:443 HTTP/1.1\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"backslash", `GET http://evil.example\@ok.example/ HTTP/1.1` + "\r\nHost: ok.example\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"two dots", "CONNECT ok.example..:443 HTTP/1.1\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"an empty label", "CONNECT ok..example:443 HTTP/1.1\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"percent", "CONNECT ok%2eexample:443 HTTP/1.1\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"letters like others", "CONNECT \u043ek.example:443 HTTP/1.1\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"full-width dot", "CONNECT ok\uff0eexample:443 HTTP/1.1\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"NUL", "CONNECT ok.example\x00.evil.example:443 HTTP/1.1\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"decimal address", "CONNECT 2130706433:443 HTTP/1.1\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"octal address", "CONNECT 0177.0.0.1:443 HTTP/1.1\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"hexadecimal address", "CONNECT 0x7f000001:443 HTTP/1.1\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"hexadecimal in parts", "CONNECT 127.0.0.0x1:443 HTTP/1.1\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"short address", "CONNECT 127.1:443 HTTP/1.1\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"zone", "CONNECT [fe80::1%25eth0]:443 HTTP/1.1\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"IPv6 without brackets", "CONNECT ::1:443 HTTP/1.1\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"name in brackets", "CONNECT [ok.example]:443 HTTP/1.1\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"another Host", "GET http://ok.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", "400", "refused ok.example:80 by proxy-request", 0},
		{"another Host's port", "GET http://ok.example/ HTTP/1.1\r\nHost: ok.example:8080\r\n\r\n", "400", "refused ok.example:80 by proxy-request", 0},
		{"another Host for the tunnel", "CONNECT ok.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", "400", "refused ok.example:443 by proxy-request", 0},
		{"two Hosts", "GET http://ok.example/ HTTP/1.1\r\nHost: ok.example\r\nHost: evil.example\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"no Host", "GET http://ok.example/ HTTP/1.1\r\n\r\n", "400", "refused ok.example:80 by proxy-request", 0},
		{"origin form", "GET / HTTP/1.1\r\nHost: ok.example\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"https in the clear", "GET https://ok.example/ HTTP/1.1\r\nHost: ok.example\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"another scheme", "GET ftp://ok.example/ HTTP/1.1\r\nHost: ok.example\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"fragment", "GET http://ok.example#@evil.example/ HTTP/1.1\r\nHost: ok.example\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"both lengths", "POST http://ok.example/ HTTP/1.1\r\nHost: ok.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET http://ok.example/smuggled HTTP/1.1\r\nHost: ok.example\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"two lengths", "POST http://ok.example/ HTTP/1.1\r\nHost: ok.example\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "400", "refused ?:0 by proxy-request", 0},
		{"length with a sign", "POST http://ok.example/ HTTP/1.1\r\nHost: ok.example\r\nContent-Length: +5\r\n\r\nhello", "400", "refused ?:0 by proxy-request", 0},
		{"length in a list", "POST http://ok.example/ HTTP/1.1\r\nHost: ok.example\r\nContent-Length: 5, 5\r\n\r\nhello", "400", "refused ?:0 by proxy-request", 0},
		{"coding in disguise", "POST http://ok.example/ HTTP/1.1\r\nHost: ok.example\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"coding before the colon", "POST http://ok.example/ HTTP/1.1\r\nHost: ok.example\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"coding of 1.0", "POST http://ok.example/ HTTP/1.0\r\nHost: ok.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"tunnel with a body", "CONNECT ok.example:443 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "400", "refused ?:0 by proxy-request", 0},
		{"folded line", "GET http://ok.example/ HTTP/1.1\r\nHost: ok.example\r\nX: a\r\n b\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"bare line feed", "GET http://ok.example/ HTTP/1.1\nHost: ok.example\n\n", "400", "refused ?:0 by proxy-request", 0},
		{"bare carriage return", "GET http://ok.example/ HTTP/1.1\r\nHost: ok.example\rX: y\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"line break in the target", "GET http://ok.example/ HTTP/1.1\r\nX: y\r\n HTTP/1.1\r\nHost: ok.example\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"two blanks", "GET  http://ok.example/ HTTP/1.1\r\nHost: ok.example\r\n\r\n", "400", "refused ?:0 by proxy-request", 0},
		{"long head", "GET http://ok.example/" + long + " HTTP/1.1\r\nHost: ok.example\r\n\r\n", "431", "refused ?:0 by proxy-request", 0},
		{"many fields", "GET http://ok.example/ HTTP/1.1\r\nHost: ok.example\r\n" + strings.Repeat("X: y\r\n", maxFields+1) + "\r\n", "431", "refused ?:0 by proxy-request", 0},
		{"HTTP/2 in the clear", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505", "refused ?:0 by proxy-request", 0},
		{"unknown expectation", "GET http://ok.example/ HTTP/1.1\r\nHost: ok.example\r\nExpect: a-bribe\r\n\r\n", "417", "refused ?:0 by proxy-request", 0},
		{"loopback", "CONNECT 127.0.0.1:443 HTTP/1.1\r\n\r\n", "403", "refused 127.0.0.1:443 by default", 0},
		{"this machine's gateway", "GET http://127.0.0.1:4141/ HTTP/1.1\r\nHost: 127.0.0.1:4141\r\n\r\n", "403", "refused 127.0.0.1:4141 by default", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, nil)
			if got := status(w.raw(t, tt.send)); got != tt.status {
				t.Errorf("status %s, want %s", got, tt.status)
			}
			w.door.Close()
			log, hits := w.judge.log(), w.hits()
			if len(hits) != tt.hits || len(log) == 0 || !strings.HasPrefix(log[0], tt.record) || tt.hits == 0 && len(log) != 1 {
				t.Errorf("on record %q, at the server %q", log, hits)
			}
			if tt.hits == 0 && len(w.out.dials())+len(w.out.asked) > 0 {
				t.Errorf("dialled %q, asked %q", w.out.dials(), w.out.asked)
			}
			if tt.hits > 0 && !slices.Equal(log[1:], []string{"ended ok"}) {
				t.Errorf("on record %q", log)
			}
		})
	}
}

// Whatever an allowed name resolves to, only public hosts are reached, at the very
// address that was looked at.
func TestNamesThatTurn(t *testing.T) {
	tests := []struct {
		name  string
		addrs []string
		deny  string // an address that a rule denies
		dial  string
		rule  string
	}{
		{"public", []string{"198.51.100.7"}, "", "198.51.100.7:443", ""},
		{"loopback", []string{"127.0.0.1"}, "", "", RulePublic},
		{"private", []string{"10.0.0.5"}, "", "", RulePublic},
		{"private six", []string{"fd00::5"}, "", "", RulePublic},
		{"metadata", []string{"169.254.169.254"}, "", "", RulePublic},
		{"carrier", []string{"100.64.3.4"}, "", "", RulePublic},
		{"mapped", []string{"::ffff:127.0.0.1"}, "", "", RulePublic},
		{"mapped public", []string{"::ffff:198.51.100.7"}, "", "", RulePublic},
		{"translated", []string{"64:ff9b::7f00:1"}, "", "", RulePublic},
		{"6to4", []string{"2002:7f00:1::1"}, "", "", RulePublic},
		{"Teredo", []string{"2001:0:1::1"}, "", "", RulePublic},
		{"multicast", []string{"224.0.0.1"}, "", "", RulePublic},
		{"this machine's own", []string{"203.0.113.9"}, "", "", RulePublic},
		{"none", nil, "", "", RulePublic},
		{"one of two", []string{"127.0.0.1", "198.51.100.7"}, "", "198.51.100.7:443", ""},
		{"an address that a rule denies", []string{"198.51.100.7"}, "198.51.100.7:443", "", "r"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.out.names["ok.example"] = tt.addrs
			if tt.deny != "" {
				w.judge.rules[tt.deny] = countersign.Deny
			}
			// The second answer would lead to this machine: it is never asked for.
			w.out.names["then ok.example"] = []string{"127.0.0.1"}
			got := status(w.raw(t, "CONNECT ok.example:443 HTTP/1.1\r\n\r\nGET / HTTP/1.0\r\n\r\n"))
			w.door.Close()
			want, dials := []string{"decided ok.example:443", "ended ok"}, []string(nil)
			if tt.rule != "" {
				want = []string{"decided ok.example:443", "withdrawn by " + tt.rule}
			}
			if tt.dial != "" {
				dials = []string{tt.dial}
			}
			if diff := cmp.Diff(want, w.judge.log()); diff != "" || !slices.Equal(w.out.dials(), dials) || len(w.out.asked) != 1 {
				t.Errorf("%s\ndialled %q, asked %q", diff, w.out.dials(), w.out.asked)
			}
			if (got == "200") != (tt.rule == "") {
				t.Errorf("status %s", got)
			}
		})
	}
}

// An address that a rule allows by itself is looked at as well.
func TestAddressesAreLookedAt(t *testing.T) {
	w := newWorld(t, nil)
	for _, host := range []string{"10.1.1.1", "169.254.169.254", "[::1]", "[::ffff:8.8.8.8]", "203.0.113.9"} {
		to, err := parseAuthority(host, 443)
		if err != nil {
			t.Fatal(err)
		}
		w.judge.rules[to.String()] = countersign.Allow
		if got := status(w.raw(t, "CONNECT "+host+":443 HTTP/1.1\r\n\r\n")); got != "403" {
			t.Errorf("%s: %s", host, got)
		}
	}
	if len(w.out.dials()) > 0 || len(w.judge.log()) != 5 {
		t.Errorf("dialled %q, on record %q", w.out.dials(), w.judge.log())
	}
}

// A client of the standard library goes through, plain and TLS, request by request
// on one connection, and what went through is on record.
func TestClientsGoThrough(t *testing.T) {
	w := newWorld(t, nil)
	secure := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(rw, "got %d", n)
	}))
	defer secure.Close()
	w.out.leads["198.51.100.7:443"] = secure.Listener.Addr().String()
	proxy, _ := url.Parse("http://" + w.proxy)
	tr := &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	client := &http.Client{Transport: tr, Timeout: 20 * time.Second}
	get := func(method, url, body string, chunked bool) string {
		t.Helper()
		var r io.Reader
		if body != "" {
			r = strings.NewReader(body)
		}
		if chunked {
			r = io.MultiReader(r)
		}
		req, _ := http.NewRequest(method, url, r)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%d %v", resp.StatusCode, err)
		}
		return string(b)
	}
	big := strings.Repeat("x", 1<<20)
	for _, got := range []string{
		get("GET", "http://ok.example/a", "", false), get("POST", "http://ok.example/b", "hello", false), get("PUT", "http://ok.example/c", "chunks", true),
	} {
		if !slices.Contains([]string{"GET /a ", "POST /b hello", "PUT /c chunks"}, got) {
			t.Errorf("%q", got)
		}
	}
	if got := get("POST", "https://ok.example/", big, false); got != "got 1048576" {
		t.Errorf("%q", got)
	}
	tr.CloseIdleConnections()
	w.door.Close()
	log := w.judge.log()
	slices.Sort(log)
	if diff := cmp.Diff([]string{"decided ok.example:443", "decided ok.example:80", "ended ok", "ended ok"}, log); diff != "" {
		t.Error(diff)
	}
	var sent int64
	for _, x := range w.judge.traffic {
		sent = max(sent, x.Sent)
		if x.Received < 100 || x.Sent < 100 || x.Took <= 0 || !strings.HasPrefix(x.Address, "198.51.100.7:") {
			t.Errorf("%+v", x)
		}
	}
	if sent < 1<<20 {
		t.Errorf("%d bytes sent", sent)
	}
	for _, h := range w.hits() {
		if strings.Contains(h, "Proxy-") || !strings.Contains(h, "host=ok.example ") {
			t.Errorf("%s", h)
		}
	}
}

// Nothing of an upgrade passes, and a host that switches all the same ends there.
func TestNoUpgrade(t *testing.T) {
	w := newWorld(t, nil)
	w.raw(t, "GET http://ok.example/ HTTP/1.1\r\nHost: ok.example\r\nConnection: Upgrade, X-Mine, close\r\nUpgrade: websocket\r\nX-Mine: 1\r\nProxy-Authorization: Basic eA==\r\n\r\n")
	if h := w.hits(); len(h) != 1 || strings.Contains(h[0], "Upgrade") || strings.Contains(h[0], "X-Mine") || strings.Contains(h[0], "Proxy-") {
		t.Errorf("%q", h)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nraw")
		}
	}()
	w.out.leads["198.51.100.7:80"] = l.Addr().String()
	if got := w.raw(t, "GET http://ok.example/ HTTP/1.1\r\nHost: ok.example\r\n\r\n"); status(got) != "502" || strings.Contains(got, "\nraw") {
		t.Errorf("%q", got)
	}
}

// Two requests behind each other are two requests; a body is no second one.
func TestPipelines(t *testing.T) {
	w := newWorld(t, nil)
	inner := "GET http://ok.example/inner HTTP/1.1\r\nHost: ok.example\r\n\r\n"
	got := w.raw(t, fmt.Sprintf("POST http://ok.example/a HTTP/1.1\r\nHost: ok.example\r\nContent-Length: %d\r\n\r\n%sGET http://ok.example/b HTTP/1.1\r\nHost: ok.example\r\nConnection: close\r\n\r\n", len(inner), inner))
	if hits := w.hits(); len(hits) != 2 || !strings.HasPrefix(hits[0], "POST /a") || !strings.HasPrefix(hits[1], "GET /b") {
		t.Errorf("%q\n%s", hits, got)
	}
	// The second one is for a host that nobody allowed.
	got = w.raw(t, "GET http://ok.example/c HTTP/1.1\r\nHost: ok.example\r\n\r\nGET http://evil.example/d HTTP/1.1\r\nHost: evil.example\r\n\r\n")
	if strings.Count(got, "HTTP/1.1 200") != 1 || strings.Count(got, "HTTP/1.1 403") != 1 || len(w.hits()) != 3 {
		t.Errorf("%q", got)
	}
}

// A client that does not send a whole head is let go.
func TestSlowClients(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Times.Head = 50 * time.Millisecond })
	c, err := net.Dial("tcp", w.proxy)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET http://ok.example/ HTTP/1.1\r\nHost: ok")
	b, err := io.ReadAll(c)
	if err != nil || status(string(b)) != "408" {
		t.Errorf("%q %v", b, err)
	}
}

// A client that goes away while a person thinks takes its attempt with it; one
// that waits is connected when the answer comes.
func TestAsking(t *testing.T) {
	w := newWorld(t, nil)
	c, err := net.Dial("tcp", w.proxy)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "CONNECT ask.example:443 HTTP/1.1\r\n\r\n")
	c.Close()
	eventually(t, func() bool { return slices.Equal(w.judge.log(), []string{"timed out ask.example:443"}) })
	answers := make(chan string, 1)
	go func() { answers <- w.raw(t, "CONNECT ask.example:443 HTTP/1.1\r\n\r\nGET / HTTP/1.0\r\n\r\n") }()
	close(w.judge.wait)
	if got := <-answers; !strings.Contains(got, "200 Connection established") || !strings.Contains(got, "200 OK") {
		t.Errorf("%q", got)
	}
	if len(w.out.asked) != 1 {
		t.Errorf("asked the resolver for %q", w.out.asked)
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal("never happened")
}

// A flood of refusals is a few records with the exact total.
func TestFloodsAreFolded(t *testing.T) {
	w := newWorld(t, nil)
	for range 200 {
		w.raw(t, "CONNECT evil.example:443 HTTP/1.1\r\n\r\n")
	}
	w.door.Close()
	total := 0
	for _, line := range w.judge.log() {
		var n int
		if _, err := fmt.Sscanf(line, "refused evil.example:443 by default x%d", &n); err != nil {
			t.Errorf("%s", line)
		}
		total += n
	}
	if total != 200 || len(w.judge.log()) > 70 {
		t.Errorf("%d refusals in %d records", total, len(w.judge.log()))
	}
}

func TestSOCKS(t *testing.T) {
	name := func(command byte, host string, port uint16) string {
		return string([]byte{5, 1, 0, 5, command, 0, 3, byte(len(host))}) + host + string([]byte{byte(port >> 8), byte(port)})
	}
	tests := []struct {
		name, send string
		code       byte
		record     string
		hits       int
	}{
		{"allowed", name(1, "ok.example", 443) + "GET / HTTP/1.0\r\n\r\n", socksOK, "decided ok.example:443", 1},
		{"not allowed", name(1, "evil.example", 443), socksRefused, "refused evil.example:443 by default", 0},
		{"bind", name(2, "ok.example", 443), socksCommand, "refused ok.example:443 by proxy-request", 0},
		{"datagrams", name(3, "ok.example", 443), socksCommand, "refused ok.example:443 by proxy-request", 0},
		{"port 0", name(1, "ok.example", 0), socksFailed, "refused ?:0 by proxy-request", 0},
		{"a name with a NUL", name(1, "ok.example\x00", 443), socksForm, "refused ?:0 by proxy-request", 0},
		{"an address", string([]byte{5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, 1, 187}), socksRefused, "refused 127.0.0.1:443 by default", 0},
		{"a mapped address", string([]byte{5, 1, 0, 5, 1, 0, 4}) + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x7f\x00\x00\x01\x01\xbb", socksRefused, "refused [::ffff:127.0.0.1]:443 by default", 0},
		{"an unknown form", string([]byte{5, 1, 0, 5, 1, 0, 9, 1, 1}), socksForm, "refused ?:0 by proxy-request", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, nil)
			got := w.raw(t, tt.send)
			w.door.Close()
			log := w.judge.log()
			if len(got) < 4 || got[0] != 5 || got[3] != tt.code || len(w.hits()) != tt.hits || len(log) == 0 || !strings.HasPrefix(log[0], tt.record) || tt.hits == 0 && len(log) != 1 {
				t.Errorf("%q, on record %q", got, log)
			}
		})
	}
}

// What ends because the session ends is on record too, and nothing begins after.
func TestClosing(t *testing.T) {
	w := newWorld(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w.out.leads["198.51.100.7:443"] = l.Addr().String()
	c, err := net.Dial("tcp", w.proxy)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "CONNECT ok.example:443 HTTP/1.1\r\n\r\n")
	if _, err := io.ReadFull(c, make([]byte, 12)); err != nil {
		t.Fatal(err)
	}
	w.door.Close()
	if log := w.judge.log(); len(log) != 2 || !strings.HasPrefix(log[1], "ended") {
		t.Errorf("%q", log)
	}
	if _, err := io.ReadAll(c); err == nil {
		_ = err // an end or a reset, as the kernel has it
	}
	if d, err := net.Dial("tcp", w.proxy); err == nil {
		d.Close()
		t.Error("the proxy still listens")
	}
}
