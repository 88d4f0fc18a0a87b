package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// saying is what the scripted provider answers on every wire.
const saying = "the scripted answer is marmalade"

// everyWire is a provider that answers on the wires of all vendors, streamed if
// asked, and keeps what it was asked.
type everyWire struct {
	*httptest.Server
	mu    sync.Mutex
	calls []wireCall
}

type wireCall struct {
	path, credentials string
	body              string
}

func newEveryWire(t *testing.T) *everyWire {
	p := &everyWire{}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.Close)
	return p
}

func (p *everyWire) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var creds []string
	for _, h := range []string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"} {
		creds = append(creds, r.Header.Get(h))
	}
	p.mu.Lock()
	p.calls = append(p.calls, wireCall{r.Method + " " + r.URL.RequestURI(), strings.Join(creds, " "), string(body)})
	p.mu.Unlock()
	stream := strings.Contains(string(body), `"stream":true`)
	switch path := r.URL.Path; {
	case strings.HasSuffix(path, "/count_tokens"):
		fmt.Fprint(w, `{"input_tokens":10}`)
	case strings.HasSuffix(path, ":countTokens"):
		fmt.Fprint(w, `{"totalTokens":10}`)
	case strings.HasSuffix(path, "/messages"):
		events(w, true,
			map[string]any{"type": "message_start", "message": map[string]any{"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": []any{}, "usage": map[string]any{"input_tokens": 10, "output_tokens": 1}}},
			map[string]any{"type": "content_block_start", "index": 0, "content_block": map[string]any{"type": "text", "text": ""}},
			map[string]any{"type": "content_block_delta", "index": 0, "delta": map[string]any{"type": "text_delta", "text": saying}},
			map[string]any{"type": "content_block_stop", "index": 0},
			map[string]any{"type": "message_delta", "delta": map[string]any{"stop_reason": "end_turn"}, "usage": map[string]any{"output_tokens": 7}},
			map[string]any{"type": "message_stop"})
	case strings.HasSuffix(path, "/responses"):
		item := map[string]any{"type": "message", "id": "msg_1", "role": "assistant", "content": []any{map[string]any{"type": "output_text", "text": saying}}}
		events(w, true,
			map[string]any{"type": "response.created", "response": map[string]any{"id": "resp_1", "created_at": 1, "model": "gpt-x"}},
			map[string]any{"type": "response.output_item.added", "output_index": 0, "item": map[string]any{"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []any{}}},
			map[string]any{"type": "response.content_part.added", "item_id": "msg_1", "output_index": 0, "content_index": 0, "part": map[string]any{"type": "output_text", "text": "", "annotations": []any{}}},
			map[string]any{"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": saying},
			map[string]any{"type": "response.output_item.done", "output_index": 0, "item": item},
			map[string]any{"type": "response.completed", "response": map[string]any{"id": "resp_1", "model": "gpt-x", "usage": map[string]any{"input_tokens": 10, "output_tokens": 7, "total_tokens": 17}}})
	case strings.HasSuffix(path, "/chat/completions"):
		p.chat(w, stream)
	case strings.Contains(path, "enerateContent"):
		p.gemini(w, strings.Contains(path, ":stream"))
	case strings.HasSuffix(path, "/models"):
		fmt.Fprint(w, `{"object":"list","data":[{"id":"gpt-x","object":"model"}]}`)
	default:
		http.NotFound(w, r)
	}
}

var chatUsage = map[string]any{"prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17}

func (p *everyWire) chat(w http.ResponseWriter, stream bool) {
	base := func(choice map[string]any) map[string]any {
		choice["index"] = 0
		return map[string]any{"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x", "choices": []any{choice}}
	}
	if !stream {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-x","choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":7,"total_tokens":17}}`, saying)
		return
	}
	last := base(map[string]any{"delta": map[string]any{}, "finish_reason": "stop"})
	events(w, false,
		base(map[string]any{"delta": map[string]any{"role": "assistant", "content": ""}, "finish_reason": nil}),
		base(map[string]any{"delta": map[string]any{"content": saying}, "finish_reason": nil}),
		last,
		map[string]any{"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x", "choices": []any{}, "usage": chatUsage})
	fmt.Fprint(w, "data: [DONE]\n\n")
}

func (p *everyWire) gemini(w http.ResponseWriter, stream bool) {
	answer := map[string]any{
		"candidates":    []any{map[string]any{"index": 0, "content": map[string]any{"role": "model", "parts": []any{map[string]any{"text": saying}}}, "finishReason": "STOP"}},
		"usageMetadata": map[string]any{"promptTokenCount": 10, "candidatesTokenCount": 7, "totalTokenCount": 17}, "modelVersion": "gemini-x",
	}
	if stream {
		events(w, false, answer)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"candidates":[{"index":0,"content":{"role":"model","parts":[{"text":%q}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":7,"totalTokenCount":17},"modelVersion":"gemini-x"}`, saying)
}

// outside runs an agent as it is installed, outside of a session, against a
// standing gateway: nothing but the loopback can be reached.
func (s *standing) outside(t *testing.T, program string, env []string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := s.command(ctx, program, args...)
	cmd.Env = append(append([]string{
		"HTTPS_PROXY=http://127.0.0.1:1", "https_proxy=http://127.0.0.1:1", "NO_PROXY=127.0.0.1,localhost", "no_proxy=127.0.0.1,localhost",
		"NO_COLOR=1", "OTEL_TELEMETRY_ENABLED=0", "OTEL_SDK_DISABLED=true", "DISABLE_TELEMETRY=1", "TMPDIR=" + s.root + "/run", "CLAUDE_CODE_TMPDIR=" + s.root + "/run", "CI=1", "TERM=dumb",
	}, s.world.env...), env...)
	cmd.SysProcAttr.Setpgid = true
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	t.Cleanup(func() { // agents leave daemons behind
		for _, p := range hostProcs() {
			if strings.Contains(strings.Join(p.argv, " "), s.root+"/") && len(p.argv) > 1 && p.argv[1] != "__ledger" {
				_ = syscall.Kill(p.pid, syscall.SIGKILL)
			}
		}
	})
	cmd.Stdin = strings.NewReader("")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// agentOutside is one agent: its package, and how its user points it at a
// gateway.
type agentOutside struct {
	name, pkg, version string
	wire               string // that it must have used, by the route's name
	setup              func(s *standing) (env, args []string)
}

func agentsOutside() []agentOutside {
	config := func(s *standing, name, text string) { s.write(filepath.Join(s.home, name), text) }
	return []agentOutside{
		{"claude", "@anthropic-ai/claude-code", "2.1.331", "anthropic", func(s *standing) (env, args []string) {
			return []string{"ANTHROPIC_BASE_URL=" + s.url, "ANTHROPIC_AUTH_TOKEN=" + s.token, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1"}, []string{"-p", "say hi", "--model", "claude-sonnet-4-5"}
		}},
		{"codex", "@openai/codex", "0.169.0", "openai-responses", func(s *standing) (env, args []string) {
			config(s, ".codex/config.toml", fmt.Sprintf("model = \"gpt-x\"\nmodel_provider = \"gw\"\nweb_search = \"disabled\"\ncheck_for_update_on_startup = false\n[features]\nplugins = false\n[analytics]\nenabled = false\n[model_providers.gw]\nname = \"gw\"\nbase_url = \"%s/v1\"\nenv_key = \"GW_TOKEN\"\nwire_api = \"responses\"\n", s.url))
			return []string{"GW_TOKEN=" + s.token}, []string{"exec", "--skip-git-repo-check", "say hi"}
		}},
		{"gemini", "@google/gemini-cli", "0.61.0", "gemini", func(s *standing) (env, args []string) {
			config(s, ".gemini/settings.json", `{"security":{"auth":{"selectedType":"gemini-api-key"}},"telemetry":{"enabled":false},"privacy":{"usageStatisticsEnabled":false},"general":{"disableAutoUpdate":true,"enableAutoUpdate":false}}`)
			return []string{"GOOGLE_GEMINI_BASE_URL=" + s.url, "GEMINI_API_KEY=" + s.token, "GEMINI_CLI_TRUST_WORKSPACE=true"}, []string{"-m", "gemini-x", "-p", "say hi"}
		}},
		{"opencode", "opencode-ai", "1.18.33", "openai-chat", func(s *standing) (env, args []string) {
			config(s, ".config/opencode/opencode.json", fmt.Sprintf(`{"$schema":"https://opencode.ai/config.json","autoupdate":false,"share":"disabled","model":"gw/gpt-x","small_model":"gw/gpt-x","enabled_providers":["gw"],"provider":{"gw":{"npm":"@ai-sdk/openai-compatible","name":"gw","options":{"baseURL":"%s/v1","apiKey":"{env:GW_TOKEN}"},"models":{"gpt-x":{"name":"gpt-x"}}}}}`, s.url))
			return []string{"GW_TOKEN=" + s.token, "XDG_CONFIG_HOME=" + filepath.Join(s.home, ".config"), "OPENCODE_DISABLE_AUTOUPDATE=1", "OPENCODE_DISABLE_MODELS_FETCH=1", "OPENCODE_DISABLE_LSP_DOWNLOAD=1"}, []string{"run", "say hi"}
		}},
		{"copilot", "@github/copilot", "1.0.102", "openai-chat", func(s *standing) (env, args []string) {
			return []string{"COPILOT_PROVIDER_BASE_URL=" + s.url + "/v1", "COPILOT_PROVIDER_TYPE=openai", "COPILOT_PROVIDER_API_KEY=" + s.token, "COPILOT_MODEL=gpt-x", "COPILOT_OFFLINE=true", "COPILOT_AUTO_UPDATE=false"}, []string{"-p", "say hi", "--allow-all-tools"}
		}},
		{"cline", "cline", "3.0.65", "openai-chat", func(s *standing) (env, args []string) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				s.t.Fatal(err)
			}
			defer l.Close() // a hub of its own, not one that runs on the machine
			return []string{fmt.Sprint("CLINE_HUB_PORT=", l.Addr().(*net.TCPAddr).Port)}, nil
		}},
	}
}

// Real agents, as they are installed, complete a prompt through the standing
// gateway with nothing but its address and a token.
func TestAgentsOutsideOfSessions(t *testing.T) {
	for _, a := range agentsOutside() {
		t.Run(a.name, func(t *testing.T) {
			bin := npmAgent(t, a.pkg, a.version)
			uid := users()[len(users())-1]
			w := newWorld(t, uid)
			w.withPath(bin)
			w.repoWith("hello.txt", "hello\n")
			p := newEveryWire(t)
			s := serveStanding(w, p.URL)
			env, args := a.setup(s)
			if a.name == "cline" {
				clineAuth(t, s, filepath.Join(bin, "cline"))
				args = []string{"--timeout", "60", "-P", "openai-compatible", "say hi"}
			}
			if out, err := s.outside(t, filepath.Join(bin, a.name), env, args...); err != nil || !strings.Contains(out, saying) {
				t.Errorf("%v\n%.4000s", err, out)
			}
			if r := s.end(syscall.SIGTERM); r.code != 0 {
				t.Errorf("%+v", r)
			}
			p.balanced(t, w, a.wire, s.token)
		})
	}
}

func clineAuth(t *testing.T, s *standing, cline string) {
	t.Helper()
	if r := s.exec(cline, "auth", "-p", "openai-compatible", "-b", s.url+"/v1", "-k", s.token, "-m", "gpt-x"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
}

// balanced compares what a real agent's calls left with what the provider saw.
func (p *everyWire) balanced(t *testing.T, w *world, wire, token string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.calls {
		if strings.Contains(c.credentials+c.path, token) || !strings.Contains(c.credentials, companyKey()) {
			t.Errorf("%s came with %q", c.path, c.credentials)
		}
	}
	allowed, answers, used := 0, 0, false
	for _, r := range w.log("--type", "model.*") {
		switch {
		case r.Type == "model.response":
			answers++
			used = used || r.Model.Wire == wire && r.Outcome.Status == "ok"
		case r.Decision.Verdict == "allow":
			allowed++
			if found := r.Detail["redactions"]; found != nil {
				t.Errorf("secrets are seen in an agent's own words: %v", found)
			}
		default:
			t.Logf("refused: %s %s %v", r.Policy.Rule, r.Decision.Reason, r.Detail)
		}
	}
	if allowed != len(p.calls) || answers != allowed || !used {
		t.Errorf("%d calls, %d requests and %d answers on record, %s used: %v", len(p.calls), allowed, answers, wire, used)
	}
	for _, c := range p.calls {
		t.Logf("%s, %d bytes", c.path, len(c.body))
	}
	w.must("verify")
}

// insidePolicy lets an agent look at the machine and the repository, and start
// its own helper.
const insidePolicy = `version: 1
commands:
  - {id: t-git, verdict: allow, argv: ["git", "..."], env: [AGENT, OPENCODE, OPENCODE_PID, npm_config_user_agent, CLINE_CONNECTOR_CLI_LAUNCH], reason: a test of the agent}
  - {id: t-sh, verdict: allow, argv: ["sh", "..."], reason: a test of the agent}
  - {id: t-own, verdict: allow, argv: ["%s", "..."], env: [CLINE_CONNECTOR_CLI_LAUNCH, CLINE_BUILD_ENV, CLINE_RUN_AS_HUB_DAEMON, CLINE_NO_INTERACTIVE], reason: the agent's own helper}
`

// The same agents inside a session: pointed at its gateway by the session itself,
// they complete a prompt, and nothing but the loopback is there.
func TestAgentsInsideSessions(t *testing.T) {
	args := map[string][]string{
		"gemini":   {"--skip-trust", "-m", "gemini-x", "-p", "say hi"},
		"opencode": {"run", "-m", "openai/gpt-5", "say hi"},
		"copilot":  {"--model", "gpt-x", "-p", "say hi", "--allow-all-tools"},
		"cline":    {"--timeout", "60", "-P", "openai-compatible", "-m", "gpt-x", "say hi"},
	}
	for _, a := range agentsOutside() {
		if args[a.name] == nil {
			continue
		}
		t.Run(a.name, func(t *testing.T) {
			bin := npmAgent(t, a.pkg, a.version)
			w := newWorld(t, users()[len(users())-1])
			w.withPath(bin)
			w.repoWith("hello.txt", "hello\n")
			p := newEveryWire(t)
			w.write(filepath.Join(w.root, "config/countersign/gateway.yaml"), fmt.Sprintf(`providers:
  - {name: scripted, wire: openai, base_url: "%[1]s/v1", key: {env: REAL_KEY}}
  - {name: scripted-gemini, wire: gemini, base_url: "%[1]s", key: {env: REAL_KEY}}
`, p.URL))
			w.env = append(w.env, "REAL_KEY="+companyKey(), "NO_COLOR=1", "CI=1")
			r := w.cs(append([]string{"run", "--policy", w.policy(fmt.Sprintf(insidePolicy, filepath.Dir(bin)+"/*/*/bin/"+a.name)), "--approver", "none", "--", a.name}, args[a.name]...)...)
			if r.code != 0 || !strings.Contains(r.out, saying) {
				t.Errorf("exit %d\n%.3000s\n%.2000s", r.code, r.out, r.err)
			}
			wire := a.wire
			if a.name == "opencode" { // its own provider speaks Responses
				wire = "openai-responses"
			}
			p.balanced(t, w, wire, "cs-")
			for _, x := range w.log("--type", "exec.decided") {
				if t.Failed() {
					t.Logf("%s %s %.150q %q", x.Decision.Verdict, x.Decision.Basis, x.Action.Argv, x.Action.Env)
				}
			}
		})
	}
}
