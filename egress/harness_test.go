package egress

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	countersign "github.com/countersign/countersign"
)

// judge is a policy and a record in memory.
type judge struct {
	rules map[string]countersign.Verdict // by host:port, or kind:port
	wait  chan struct{}                  // an ask waits for it, or for its context

	mu      sync.Mutex
	n       int
	lines   []string // what is on record, in order
	traffic []Traffic
}

func key(n countersign.Net) string {
	if n.Proto != ProtoHost {
		return fmt.Sprintf("%s:%d", n.Proto, n.Port)
	}
	return target{host: n.Host, port: n.Port}.String()
}

func (j *judge) Rule(n countersign.Net) countersign.Ruling {
	if v := j.rules[key(n)]; v != "" {
		return countersign.Ruling{Verdict: v, Rule: "r"}
	}
	return countersign.Ruling{Verdict: countersign.Deny, Rule: "default", Reason: "no rule allows it"}
}

func (j *judge) put(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *judge) Connect(ctx context.Context, a countersign.Action) (countersign.Permit, error) {
	if j.Rule(*a.Net).Verdict == countersign.Ask {
		select {
		case <-j.wait:
		case <-ctx.Done():
			j.put("timed out %s", key(*a.Net))
			return countersign.Permit{}, errors.New("not approved yet")
		}
	}
	j.put("decided %s", key(*a.Net))
	j.mu.Lock()
	defer j.mu.Unlock()
	j.n++
	return countersign.Permit{Record: fmt.Sprint(j.n), Digest: a.Digest(nil, nil)}, nil
}

func (j *judge) Refused(a countersign.Action, r countersign.Ruling, n int) {
	j.put("refused %s by %s x%d", key(*a.Net), r.Rule, n)
}

func (j *judge) Withdraw(_ countersign.Permit, r countersign.Ruling) {
	j.put("withdrawn by %s", r.Rule)
}

func (j *judge) Ended(_ countersign.Permit, o countersign.Outcome, t Traffic) {
	j.put("ended %s", o.Status)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.traffic = append(j.traffic, t)
}

func (j *judge) log() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.lines...)
}

// outside is a world behind the door: names, addresses, and where these really lead.
type outside struct {
	mu     sync.Mutex
	names  map[string][]string // a name's addresses; after the first answer, the rest of a "then" list
	asked  []string
	leads  map[string]string // address:port to a listener of the test
	dialed []string
}

func (o *outside) resolve(_ context.Context, host string) ([]netip.Addr, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, host)
	list, ok := o.names[host]
	if !ok {
		return nil, errors.New("no such host")
	}
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	if next, ok := o.names["then "+host]; ok {
		o.names[host] = next
	}
	return out, nil
}

func (o *outside) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	o.mu.Lock()
	o.dialed = append(o.dialed, to.String())
	where, ok := o.leads[to.String()]
	o.mu.Unlock()
	if !ok {
		return nil, errors.New("connection refused")
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", where)
}

func (o *outside) dials() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.dialed...)
}

// world is a door with a proxy, and one server outside, ok.example, on ports 80,
// 443 and 22.
type world struct {
	door  *Door
	judge *judge
	out   *outside
	proxy string
	hits  func() []string // requests that reached the server, whole
	web   *httptest.Server
}

func newWorld(t testing.TB, change func(*Config)) *world {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		seen = append(seen, fmt.Sprintf("%s %s host=%s %v %s", r.Method, r.RequestURI, r.Host, r.Header, b))
		mu.Unlock()
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.Path, b)
	}))
	t.Cleanup(web.Close)
	to := web.Listener.Addr().String()
	w := &world{
		judge: &judge{rules: map[string]countersign.Verdict{"ok.example:80": countersign.Allow, "ok.example:443": countersign.Allow, "ask.example:443": countersign.Ask}, wait: make(chan struct{})},
		out: &outside{
			names: map[string][]string{"ok.example": {"198.51.100.7"}, "ask.example": {"198.51.100.7"}},
			leads: map[string]string{"198.51.100.7:80": to, "198.51.100.7:443": to, "198.51.100.7:22": to},
		},
		web: web, hits: func() []string { mu.Lock(); defer mu.Unlock(); return append([]string(nil), seen...) },
	}
	cfg := Config{
		Judge: w.judge, Session: "s", Resolve: w.out.resolve, Dial: w.out.dial, Now: time.Now,
		Own:   func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("203.0.113.9")}, nil },
		Taken: func(int) bool { return false },
	}
	if change != nil {
		change(&cfg)
	}
	w.door = New(cfg)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.proxy = l.Addr().String()
	go w.door.Proxy(l)
	t.Cleanup(w.door.Close)
	return w
}

// raw sends bytes and returns all that comes back.
func (w *world) raw(t *testing.T, send string) string {
	t.Helper()
	c, err := net.Dial("tcp", w.proxy)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, send); err != nil {
		t.Fatal(err)
	}
	_ = c.(*net.TCPConn).CloseWrite()
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("%v after %q", err, b)
	}
	return string(b)
}

func status(answer string) string {
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), nil)
	if err != nil {
		return fmt.Sprintf("%q", answer)
	}
	return fmt.Sprint(resp.StatusCode)
}
