package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// theWeb serves h at outsideAddr, plain and TLS, and returns the certificate.
func theWeb(t *testing.T, h http.Handler, names ...string) string {
	t.Helper()
	_, text, key := certificate(t, names...)
	cert, err := tls.X509KeyPair([]byte(text), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	serveOutside(t, outsideAddr+":80", h)
	l, err := net.Listen("tcp", outsideAddr+":443")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}, ErrorLog: nil}
	go srv.ServeTLS(l, "", "")
	t.Cleanup(func() { srv.Close() })
	return text
}

const netPolicy = allowBash + `network:
  - {id: t-web, verdict: allow, host: pkg.example, port: 80, reason: r}
  - {id: t-tls, verdict: allow, host: pkg.example, port: 443, reason: r}
  - {id: t-rebind, verdict: allow, host: rebind.example, port: 80, reason: r}
  - {id: t-asked, verdict: ask, host: asked.example, reason: r}
`

// What a rule allows is reached, by the programs that agents use; what none allows,
// and what leads elsewhere than it says, is not, and each try is one record.
func TestNetworkDoor(t *testing.T) {
	if !alone(t, map[string]string{"pkg.example": outsideAddr, "other.example": outsideAddr, "asked.example": outsideAddr, "rebind.example": "127.0.0.1"}) {
		return
	}
	w := newWorld(t, users()[len(users())-1])
	var hits []string
	ca := theWeb(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		hits = append(hits, r.Host+r.URL.Path)
		fmt.Fprintln(rw, "hello from", r.URL.Path)
	}), "pkg.example", "other.example")
	w.write("ca.pem", ca)
	w.repo()
	r := w.script(netPolicy, `
env | grep -i _proxy | sort
curl -sS http://pkg.example/plain
curl -sS --cacert ca.pem https://pkg.example/secret
curl -sS -x socks5h://127.0.0.1:4142 http://pkg.example/socks
curl -sS --cacert ca.pem https://other.example/no; echo "other=$?"
curl -sS http://rebind.example/no
curl -sS --noproxy '*' --resolve pkg.example:80:`+outsideAddr+` http://pkg.example/no; echo "raw=$?"
curl -sS --noproxy '' http://127.0.0.1:4141/no
getent hosts unknown.example; echo "name=$?"
curl -sS http://asked.example/no
`)
	for _, want := range []string{
		"http_proxy=http://127.0.0.1:4142\n", "HTTPS_PROXY=http://127.0.0.1:4142\n", "NO_PROXY=localhost,127.0.0.1,::1\n",
		"hello from /plain\n", "hello from /secret\n", "hello from /socks\n", "other=56\n", "raw=7\n", "name=2\n",
		"rebind.example:80 is refused by rule public-hosts: 127.0.0.1 is the loopback",
	} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in\n%s\n%s", want, r.out, r.err)
		}
	}
	if !strings.Contains(r.err, "403") || len(hits) != 3 {
		t.Errorf("%s\nhits %q", r.err, hits)
	}
	var got []string
	for _, x := range w.log() {
		if !strings.HasPrefix(x.Type, "net.") {
			continue
		}
		if filepath.Base(x.Actor.Peer.Exe) != "curl" && x.Action.Op != "dns" {
			t.Errorf("not the program that asked: %+v", x)
		}
		got = append(got, fmt.Sprintf("%s %s %s:%d %s", x.Type, x.Action.Op, x.Action.Host, x.Action.Port, x.Policy.Rule))
		if x.Type == "net.finished" && (x.Detail["received"].(float64) < 50 || x.Detail["sent"].(float64) < 50 || !strings.HasPrefix(fmt.Sprint(x.Detail["address"]), outsideAddr)) {
			t.Errorf("%+v", x.Detail)
		}
	}
	slices.Sort(got)
	want := []string{
		"net.decided tcp pkg.example:443 t-tls", "net.decided tcp pkg.example:80 t-web", "net.decided tcp pkg.example:80 t-web", "net.decided tcp rebind.example:80 t-rebind",
		"net.denied dns unknown.example:53 no-network", "net.denied tcp " + outsideAddr + ":80 no-network", "net.denied tcp 127.0.0.1:4141 default",
		"net.denied tcp asked.example:80 t-asked", "net.denied tcp other.example:443 default", "net.denied tcp rebind.example:80 public-hosts",
		"net.finished tcp pkg.example:443 ", "net.finished tcp pkg.example:80 ", "net.finished tcp pkg.example:80 ",
	}
	slices.Sort(want)
	if !slices.Equal(slices.Compact(got), slices.Compact(want)) {
		t.Errorf("on record\n%s", strings.Join(got, "\n"))
	}
	w.must("verify")
}

// Where no rule opens it, the door is not there, and neither are its variables.
func TestNoRuleNoDoor(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.repoWith("hello.txt", "hello\n")
	for _, rules := range []string{"", "network: [{id: n, verdict: deny, host: x.example, reason: r}]\n", "network: [{id: n, verdict: allow, host: x.example, port: 80, reason: r}]\nmodels: {local_only: true}\n"} {
		r := w.script(allowBash+rules, "env | grep -i proxy\n(exec 3<>/dev/tcp/127.0.0.1/4142) 2>/dev/null; echo \"door=$?\"\n")
		if r.out != "door=1\n" {
			t.Errorf("%q: %+v", rules, r)
		}
	}
}

// A person's answer at the desk opens the way to one host and port.
func TestAskingForAHost(t *testing.T) {
	if !alone(t, map[string]string{"asked.example": outsideAddr}) {
		return
	}
	w := newWorld(t, users()[len(users())-1])
	theWeb(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { fmt.Fprintln(rw, "hello") }), "asked.example")
	wait := w.asking(allowBash+"network: [{id: t-any, verdict: ask, host: \"*\", reason: looking things up}]\n", `bash -c 'for n in 1 2 3; do curl -sS -o /dev/null -w "$n=%{http_code}\n" http://asked.example/; done; curl -sS http://asked.example:8080/ | head -1'`)
	q := w.asked()
	if q.Kind != "net.connect" || q.Summary != "tcp asked.example:80" || q.Rule != "t-any" {
		t.Errorf("%+v", q)
	}
	w.must("approve", q.ID, "--for", "session")
	eventually(t, "another port is asked", func() bool { rs := w.requests(); return len(rs) == 1 && rs[0].Summary == "tcp asked.example:8080" })
	w.must("deny", w.asked().ID, "--reason", "no such port")
	out := wait()
	if !strings.Contains(out, "1=200") || !strings.Contains(out, "3=200") || !strings.Contains(out, "no such port") {
		t.Errorf("%s", out)
	}
	var bases []string
	for _, r := range w.log("--type", "net.decided") {
		bases = append(bases, r.Decision.Basis)
	}
	if !slices.Equal(bases, []string{"person", "grant", "grant"}) {
		t.Errorf("%q", bases)
	}
}

// A listed service of this machine is reachable inside at its address, another is
// not, and Countersign's own never is; a listed port of the session's is shown
// here, and gone with who listens on it.
func TestServicesAndPublishedPorts(t *testing.T) {
	if !alone(t, nil) {
		return
	}
	w := newWorld(t, users()[len(users())-1])
	for port, text := range map[string]string{"5432": "the database", "6379": "the cache"} {
		serveOutside(t, "127.0.0.1:"+port, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { fmt.Fprintln(rw, text) }))
	}
	m := newModel(t)
	w.write(filepath.Join(w.root, "config/countersign/gateway.yaml"), fmt.Sprintf("providers:\n  - {name: scripted, wire: anthropic, base_url: %q}\n", m.URL))
	s := serveBy(w, allowBash)
	_, gate, _ := net.SplitHostPort(strings.TrimPrefix(s.url, "http://"))
	w.write("page/index.html", "shown\n")
	w.repo()
	w.write("agent.sh", "bash ./inner.sh\n")
	w.write("inner.sh", `
curl -sS http://localhost:5432/
curl -sS http://127.0.0.1:6379/; echo "other=$?"
curl -sS http://127.0.0.1:`+gate+`/; echo "gateway=$?"
python3 - <<'PY'
import http.server
s = http.server.HTTPServer(("127.0.0.1", 3000), http.server.SimpleHTTPRequestHandler)
s.handle_request()
s.handle_request()
PY
echo over
`)
	policy := w.policy(allowBash + fmt.Sprintf(`services:
  - {id: t-db, verdict: allow, port: 5432, reason: r}
  - {id: t-gw, verdict: allow, port: %s, reason: r}
publish: [{id: t-page, verdict: allow, port: 3000, reason: r}]
`, gate))
	done := make(chan result, 1)
	go func() { done <- w.cs("run", "--policy", policy, "--approver", "none", "--", "bash", "agent.sh") }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	page := ""
	eventually(t, "the page is shown", func() bool {
		resp, err := client.Get("http://127.0.0.1:3000/page/index.html")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		page += string(b)
		return page == "shown\nshown\n"
	})
	r := <-done
	for _, want := range []string{"the database\n", "other=7\n", "gateway=5", "over\n"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in %+v", want, r)
		}
	}
	if resp, err := client.Get("http://127.0.0.1:3000/"); err == nil {
		resp.Body.Close()
		t.Error("the port is still shown")
	}
	var got []string
	for _, x := range w.log() {
		if strings.HasPrefix(x.Type, "net.") {
			got = append(got, fmt.Sprintf("%s %s %d %s", x.Type, x.Action.Op, x.Action.Port, x.Policy.Rule))
		}
		if x.Type == "net.finished" && x.Action.Op == "publish" && (x.Detail["connections"] != 2.0 || x.Detail["sent"].(float64) < 100) {
			t.Errorf("%+v", x.Detail)
		}
	}
	want := []string{
		"net.decided service 5432 t-db", "net.finished service 5432 ", "net.denied service " + gate + " sandbox",
		"net.decided publish 3000 t-page", "net.finished publish 3000 ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("on record %q", got)
	}
}

// A connection whose session is killed gets its end on record at the next start.
func TestConnectionsOfALostSession(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.write("agent.sh", "bash ./inner.sh\n")
	w.write("inner.sh", "exec 3<>/dev/tcp/127.0.0.1/$(cat port); read -u 3 x; echo \"$x\"; sleep 60\n")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			fmt.Fprintln(c, "connected")
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	w.write("port", port+"\n")
	w.repo()
	policy := w.policy(allowBash + "services: [{id: t-s, verdict: allow, port: " + port + ", reason: r}]\n")
	j := w.start("run", "--policy", policy, "--approver", "none", "--", "bash", "agent.sh")
	j.prints("connected")
	if err := syscall.Kill(j.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	j.wait()
	w.must("run", "--policy", policy, "--approver", "none", "--", "true")
	decided, ended := w.log("--type", "net.decided"), w.log("--type", "net.finished")
	if len(decided) != 1 || len(ended) != 1 || ended[0].Parent != decided[0].ID || ended[0].Outcome.Status != "orphaned" || ended[0].Session != decided[0].Session {
		t.Errorf("decided %+v\nended %+v", decided, ended)
	}
	w.must("verify")
}
