package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// companyKey is what a provider must be called with, made up at run time.
func companyKey() string { return "sk-" + strings.Repeat("real-company-", 2) + "0000" }

const allowModels = "version: 1\nmodels: {allow: [\"scripted/*\"]}\n"

// standing is a standing gateway in a world of its own.
type standing struct {
	*world
	*job
	url, token string
}

// serveStanding starts a gateway in front of a provider and prints a token.
func serveStanding(w *world, provider string, args ...string) *standing {
	w.t.Helper()
	gatewayOf(w, provider)
	return serveBy(w, strings.Replace(allowModels, "scripted/*", `scripted*/*`, 1), args...)
}

// gatewayOf writes a gateway.yaml with the wires of three vendors, all at one
// address.
func gatewayOf(w *world, provider string) {
	w.t.Helper()
	w.write(filepath.Join(w.root, "config/countersign/gateway.yaml"), fmt.Sprintf(`providers:
  - {name: scripted, wire: anthropic, base_url: "%[1]s", key: {env: REAL_KEY}}
  - {name: scripted-openai, wire: openai, base_url: "%[1]s/v1", key: {env: REAL_KEY}}
  - {name: scripted-gemini, wire: gemini, base_url: "%[1]s", key: {env: REAL_KEY}}
`, provider))
	w.env = append(w.env, "REAL_KEY="+companyKey())
}

// serveBy starts a gateway on the world's gateway.yaml under a policy.
func serveBy(w *world, rules string, args ...string) *standing {
	w.t.Helper()
	s := &standing{world: w, token: strings.TrimSpace(w.must("gateway", "token", "--name", "tester", "--project", "app").out)}
	s.begin(w.policy(rules), args...)
	return s
}

// begin starts the gateway, again after it has ended.
func (s *standing) begin(policy string, args ...string) {
	w := s.world
	w.t.Helper()
	s.job = w.start(append([]string{"gateway", "--listen", "127.0.0.1:0", "--policy", policy, "--json"}, args...)...)
	s.prints("}\n")
	var ready struct{ URL string }
	if err := json.Unmarshal([]byte(s.out.String()), &ready); err != nil {
		w.t.Fatalf("%v in %q", err, s.out.String())
	}
	s.url = ready.URL
}

// say sends one prompt and returns the answer's status and body; an error is a
// connection that broke.
func (s *standing) say(ctx context.Context, client *http.Client, body string, header ...string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/messages", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if len(header) == 0 {
		header = []string{"X-Api-Key", s.token}
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	if hangUp, ok := ctx.Value(firstByte{}).(context.CancelFunc); ok {
		_, _ = resp.Body.Read(make([]byte, 1))
		hangUp()
	}
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// firstByte marks a call that hangs up at the first byte of its answer.
type firstByte struct{}

func (s *standing) end(sig syscall.Signal) result {
	s.t.Helper()
	_ = s.cmd.Process.Signal(sig)
	return s.wait()
}

const hello = `{"model":"claude-x","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`

// A standing gateway serves who has a token of it, wherever agents put keys, and
// nobody else; each call is on record as the holder's, and the start and the end
// are.
func TestStandingGateway(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		m := newModel(t)
		s := serveStanding(w, m.URL)
		places := []struct{ path, header, value string }{
			{"/v1/messages", "X-Api-Key", s.token},
			{"/v1/messages", "Authorization", "Bearer " + s.token},
			{"/v1/responses", "Authorization", "Bearer " + s.token},
			{"/v1/responses", "Api-Key", s.token},
			{"/v1beta/models/gemini-x:generateContent", "X-Goog-Api-Key", s.token},
			{"/v1beta/models/gemini-x:generateContent?key=" + s.token, "X-None", ""},
		}
		for _, p := range places {
			req, _ := http.NewRequest(http.MethodPost, s.url+p.path, strings.NewReader(`{"model":"gemini-x","store":false}`))
			req.Header.Set(p.header, p.value)
			resp, err := http.DefaultClient.Do(req)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("%s with %s: %v %v", p.path, p.header, resp, err)
			}
			if err == nil {
				_, _ = io.Copy(io.Discard, resp.Body) // else it has hung up
				resp.Body.Close()
			}
		}
		for _, h := range [][]string{{"X-Api-Key", "cs-" + strings.Repeat("0", 64)}, {"X-None", ""}} {
			if code, body, err := s.say(t.Context(), http.DefaultClient, hello, h...); err != nil || code != 401 || !strings.Contains(body, "gateway's own token") {
				t.Errorf("%v: %d %s %v", h, code, body, err)
			}
		}
		req, _ := http.NewRequest(http.MethodPost, s.url+"/v1/messages", strings.NewReader(hello))
		req.Host = "evil.example"
		if resp, err := http.DefaultClient.Do(req); err != nil || resp.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("another name: %v %v", resp, err)
		}
		w.must("gateway", "token", "revoke", "tester")
		if code, _, _ := s.say(t.Context(), http.DefaultClient, hello); code != 401 {
			t.Errorf("a revoked token: %d", code)
		}
		if r := s.end(syscall.SIGTERM); r.code != 0 {
			t.Errorf("%+v", r)
		}
		for _, k := range m.keys {
			if !strings.Contains(k, companyKey()) && k != "" || strings.Contains(k, s.token) {
				t.Errorf("the provider was called with %q", k)
			}
		}
		checkStanding(t, w, len(places))
	})
}

func checkStanding(t *testing.T, w *world, calls int) {
	t.Helper()
	started, ended := w.log("--type", "gateway.started"), w.log("--type", "gateway.ended")
	if len(started) != 1 || len(ended) != 1 || ended[0].Session != started[0].Session || ended[0].Outcome.Status != "ok" {
		t.Errorf("%+v %+v", started, ended)
	}
	answers, refused, misnamed := 0, 0, 0
	for _, r := range w.log("--type", "model.*") {
		switch {
		case r.Type == "model.response" && r.Outcome.Status == "ok":
			answers++
		case r.Decision.Verdict == "deny" && r.Policy.Rule == "gateway-token":
			refused++
			continue
		case r.Decision.Verdict == "deny" && r.Policy.Rule == "gateway-host":
			misnamed++
			continue
		}
		if r.Session != started[0].Session || r.Actor.ID != "tester" || r.Detail["project"] != "app" {
			t.Errorf("whose is it? %+v", r)
		}
	}
	if answers != calls || refused != 3 || misnamed != 1 {
		t.Errorf("%d answers, %d refused, %d misnamed on record", answers, refused, misnamed)
	}
	raw := w.must("log", "--json").out
	for _, secret := range []string{companyKey(), "cs-0000"} {
		if strings.Contains(raw, secret) {
			t.Errorf("%q is on record", secret)
		}
	}
	w.must("verify")
	eventually(t, "the ledger process ended", func() bool { return len(w.ledgers()) == 0 })
}

// slow is a provider that streams an answer until it is let go.
func slow(t *testing.T) (provider *httptest.Server, open *atomic.Int64, release func()) {
	gate := make(chan struct{})
	open = &atomic.Int64{}
	provider = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude-x\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n")
		w.(http.Flusher).Flush()
		open.Add(1)
		defer open.Add(-1)
		select {
		case <-gate:
			fmt.Fprint(w, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(provider.Close)
	done := false
	release = func() {
		if !done {
			done = true
			close(gate)
		}
	}
	t.Cleanup(release)
	return provider, open, release
}

// On SIGTERM an answer under way comes to its end; one that does not in time is
// cut off, and is on record as that.
func TestStandingGatewayDrains(t *testing.T) {
	for _, c := range []struct {
		name, drain, status string
		whole               bool
	}{{"patient", "1m", "ok", true}, {"impatient", "100ms", "failed", false}} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, users()[len(users())-1])
			provider, open, release := slow(t)
			s := serveStanding(w, provider.URL, "--drain", c.drain)
			body := make(chan string, 1)
			go func() {
				_, b, err := s.say(context.Background(), http.DefaultClient, hello)
				body <- fmt.Sprint(b, err)
			}()
			eventually(t, "the answer is under way", func() bool { return open.Load() == 1 })
			_ = s.cmd.Process.Signal(syscall.SIGTERM)
			eventually(t, "no new call is taken", func() bool {
				_, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
				return err != nil
			})
			if c.whole {
				release()
			}
			if r := s.wait(); r.code != 0 {
				t.Errorf("%+v", r)
			}
			if got := <-body; strings.Contains(got, "message_stop") != c.whole {
				t.Errorf("the agent got %q", got)
			}
			rs := w.log("--type", "model.response")
			if len(rs) != 1 || rs[0].Outcome.Status != c.status || !c.whole && rs[0].Outcome.Error != "the gateway was stopped" {
				t.Errorf("%+v", rs)
			}
			w.must("verify")
		})
	}
}

// Without its ledger nothing is served: what comes is refused in words, and the
// gateway ends.
func TestStandingGatewayWithoutItsLedger(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	m := newModel(t)
	s := serveStanding(w, m.URL)
	if code, body, err := s.say(t.Context(), http.DefaultClient, hello); err != nil || code != 200 {
		t.Fatalf("%d %s %v", code, body, err)
	}
	for _, l := range w.ledgers() {
		syscall.Kill(l.pid, syscall.SIGKILL)
	}
	eventually(t, "the ledger is gone", func() bool { return len(w.ledgers()) == 0 })
	for err := error(nil); err == nil; {
		var code int
		if code, _, err = s.say(t.Context(), http.DefaultClient, hello); err == nil && code == 200 {
			t.Error("served without a ledger")
		}
	}
	if r := s.wait(); r.code != 1 || !strings.Contains(r.err, "ledger") {
		t.Errorf("%+v", r)
	}
	requests := len(w.log("--type", "model.request"))
	if m.mu.Lock(); len(m.bodies) > requests {
		t.Errorf("%d calls, %d requests on record", len(m.bodies), requests)
	}
	m.mu.Unlock()
	again := serveStandingAgain(s)
	if !strings.Contains(again.err.String(), "without a word") {
		t.Errorf("the next start says %q", again.err.String())
	}
	again.end(syscall.SIGTERM)
	w.must("verify")
}

// serveStandingAgain starts the next gateway in the same world.
func serveStandingAgain(s *standing) *standing {
	s.t.Helper()
	next := &standing{world: s.world, token: s.token}
	next.job = s.start("gateway", "--listen", "127.0.0.1:0", "--policy", filepath.Join(s.root, "policy.yaml"), "--json")
	next.prints("}\n")
	var ready struct{ URL string }
	if err := json.Unmarshal([]byte(next.out.String()), &ready); err != nil {
		s.t.Fatal(err)
	}
	next.url = ready.URL
	return next
}

// With a certificate it serves a team, on any address.
func TestStandingGatewayWithTLS(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	m := newModel(t)
	pool, cert, key := certificate(t)
	w.write(filepath.Join(w.root, "cert.pem"), cert)
	w.write(filepath.Join(w.root, "key.pem"), key)
	s := serveStanding(w, m.URL, "--listen", "0.0.0.0:0", "--tls-cert", filepath.Join(w.root, "cert.pem"), "--tls-key", filepath.Join(w.root, "key.pem"))
	if !strings.HasPrefix(s.url, "https://") {
		t.Fatalf("its address is %q", s.url)
	}
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	s.url = "https://127.0.0.1:" + port
	for _, h2 := range []bool{true, false} {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: h2}
		if code, body, err := s.say(t.Context(), &http.Client{Transport: tr}, hello); err != nil || code != 200 || !strings.Contains(body, "all done") {
			t.Errorf("h2 %v: %d %s %v", h2, code, body, err)
		}
		tr.CloseIdleConnections()
	}
	if r := s.end(syscall.SIGTERM); r.code != 0 {
		t.Errorf("%+v", r)
	}
	if started := w.log("--type", "gateway.started"); len(started) != 1 || started[0].Detail["tls"] != true {
		t.Errorf("%+v", started)
	}
}

// certificate makes one for 127.0.0.1, and for names, that signs itself.
func certificate(t *testing.T, names ...string) (pool *x509.CertPool, cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	var c, p bytes.Buffer
	_ = pem.Encode(&c, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	_ = pem.Encode(&p, &pem.Block{Type: "PRIVATE " + "KEY", Bytes: kder})
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(c.Bytes())
	return pool, c.String(), p.String()
}

// Where only this machine may be reached, the session says so, and no other
// provider is dialled.
func TestLocalOnly(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	m := newModel(t)
	w.write(filepath.Join(w.root, "config/countersign/gateway.yaml"), fmt.Sprintf(`providers:
  - {name: far, wire: anthropic, base_url: "https://192.0.2.1", key: {env: REAL_KEY}}
  - {name: near, wire: anthropic, base_url: "%s"}
`, m.URL))
	w.env = append(w.env, "REAL_KEY="+companyKey())
	r := w.script(allowBash+"models: {local_only: true}\n", `python3 - <<'PY'
import os, urllib.request
for model in ("claude-x", "far/claude-x"):
    q = urllib.request.Request(os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages", b'{"model":"%s"}' % model.encode(), {"X-Api-Key": os.environ["ANTHROPIC_API_KEY"]})
    try:
        print(model, urllib.request.urlopen(q, timeout=20).status)
    except urllib.error.HTTPError as e:
        print(model, e.code, e.read().decode())
PY
`)
	if r.code != 0 || !strings.Contains(r.out, "claude-x 200") || !strings.Contains(r.out, "far/claude-x 400") || !strings.Contains(r.out, "models-local-only") {
		t.Errorf("%+v", r)
	}
	if started := w.log("--type", "session.started"); len(started) != 1 || !strings.Contains(fmt.Sprint(started[0].Detail["posture"]), "local-only") {
		t.Errorf("%+v", started)
	}
}

// The models of every provider are listed with what policy says of them, those
// of an Ollama that runs on this machine without a word of configuration.
func TestModelsAreListed(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	ollama := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/version":
			fmt.Fprint(w, `{"version":"0.14.0"}`)
		case "/api/tags":
			fmt.Fprint(w, `{"models":[{"name":"q:1b","model":"q:1b"},{"name":"gpt-oss:120b-cloud","model":"gpt-oss:120b-cloud"}]}`)
		case "/api/chat":
			fmt.Fprint(w, `{"model":"q:1b","message":{"role":"assistant","content":"local"},"done":true}`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(ollama.Close)
	w.env = append(w.env, "OLLAMA_HOST="+strings.TrimPrefix(ollama.URL, "http://"))
	policy := w.policy("version: 1\nmodels: {local_only: true}\n")
	var lists []struct {
		Provider         string
		Found, Reachable bool
		Models           []struct {
			ID, Rule string
			Allowed  bool
		}
	}
	w.decode(&lists, "models", "--json", "--policy", policy)
	if len(lists) != 1 || lists[0].Provider != "ollama" || !lists[0].Found || !lists[0].Reachable || len(lists[0].Models) != 2 || !lists[0].Models[0].Allowed || lists[0].Models[1].Rule != "models-local-only" {
		t.Errorf("%+v", lists)
	}
	if out := w.must("models").out; !strings.Contains(out, "ollama/q:1b  ") || !strings.Contains(out, "found on this machine") {
		t.Errorf("%s", out)
	}
	r := w.script(allowBash, `curl -sS -H "Authorization: Bearer $OPENAI_API_KEY" "$ANTHROPIC_BASE_URL/api/chat" -d '{"model":"q:1b","stream":false}'`)
	if r.code != 0 || !strings.Contains(r.out, "local") {
		t.Errorf("%+v", r)
	}
	if rs := w.log("--type", "model.response"); len(rs) == 0 || rs[len(rs)-1].Model.Provider != "ollama" || rs[len(rs)-1].Model.Served != "q:1b" {
		t.Errorf("%+v", rs)
	}
}

// What the record says of strangers and of retries outlives the gateway: a flood
// is counted exactly, and a request that is tried again after a restart is
// another attempt at the same.
func TestStandingGatewayCounts(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	var status atomic.Int64
	status.Store(http.StatusServiceUnavailable)
	provider := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(int(status.Load()))
		_, _ = io.WriteString(rw, "{}")
	}))
	t.Cleanup(provider.Close)
	s := serveStanding(w, provider.URL)
	if code, _, err := s.say(t.Context(), http.DefaultClient, hello); code != http.StatusServiceUnavailable {
		t.Fatal(code, err)
	}
	const guesses = 300
	for range guesses {
		if code, body, err := s.say(t.Context(), http.DefaultClient, hello, "X-Api-Key", "cs-"+strings.Repeat("1", 64)); code != http.StatusUnauthorized {
			t.Fatal(code, body, err)
		}
	}
	if r := s.end(syscall.SIGTERM); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	s.begin(w.policy(strings.Replace(allowModels, "scripted/*", `scripted*/*`, 1)))
	status.Store(http.StatusOK)
	if code, body, err := s.say(t.Context(), http.DefaultClient, hello); code != http.StatusOK {
		t.Fatal(code, body, err)
	}
	s.end(syscall.SIGTERM)
	refused, records, tries := 0, 0, []any{}
	for _, r := range w.log("--type", "model.request") {
		switch {
		case r.Decision.Verdict == "allow":
			tries = append(tries, r.Detail["attempt"])
		case r.Detail["count"] != nil:
			refused, records = refused+int(r.Detail["count"].(float64)), records+1
		default:
			refused, records = refused+1, records+1
		}
		if r.Decision.Verdict != "allow" && r.Detail["from"] != "127.0.0.1" {
			t.Errorf("%+v", r.Detail)
		}
	}
	if refused != guesses || records > 200 || fmt.Sprint(tries) != "[<nil> 2]" {
		t.Errorf("%d records of %d refusals, attempts %v", records, refused, tries)
	}
}
