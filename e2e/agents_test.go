package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// npmAgent installs a real agent from npm into a cache outside the repository
// and returns the directory of its program.
func npmAgent(t *testing.T, pkg, version string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("installs from npm")
	}
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("npm is not installed")
	}
	dir := agentCache(t, strings.NewReplacer("/", "_", "@", "").Replace(pkg)+"-"+version)
	bin := filepath.Join(dir, "node_modules", ".bin")
	if _, err := os.Stat(bin); err == nil {
		return bin
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("npm", "install", "--no-audit", "--no-fund", "--prefix", dir, pkg+"@"+version).CombinedOutput()
	if err != nil {
		t.Skipf("the registry did not answer: %v\n%.500s", err, out)
	}
	return bin
}

// agentEnv are the variables that the agents add for the commands they run; an
// allow rule must name each.
const agentEnv = `[NoDefaultCurrentDirectoryInExePath, COREPACK_ENABLE_AUTO_PIN, AI_AGENT, CLAUDE_CODE_ENTRYPOINT,
  CLAUDE_CODE_MESSAGING_SOCKET, CLAUDE_CODE_MESSAGING_TOKEN, SHELL, GIT_EDITOR, CLAUDE_CODE_EXECPATH, CLAUDECODE,
  CLAUDE_CODE_SESSION_ID, CLAUDE_CODE_CHILD_SESSION, CLAUDE_CODE_SESSION_ATTENDED, CLAUDE_PID, CLAUDE_CODE_CHILD_NOTES_DIR,
  CLAUDE_EFFORT, CODEX_APPLY_PATCH_PRESERVE_LINE_ENDINGS, CODEX_SESSION_ID, CODEX_TOOL_CALL_ID, CODEX_VERSION, CODEX_MANAGED_BY_NPM, CODEX_THREAD_ID, CODEX_CI, NO_COLOR, TERM, LANG, LC_CTYPE, LC_ALL, COLORTERM, PAGER,
  GIT_PAGER, GH_PAGER, CODEX_SANDBOX_NETWORK_DISABLED, CODEX_MANAGED_PACKAGE_ROOT, PATH, ANTHROPIC_API_KEY]`

const agentPolicy = `version: 1
commands:
  - {id: t-bash, verdict: allow, argv: ["bash", "..."], reason: a test of the agent, env: ` + agentEnv + `}
  - {id: t-sh, verdict: allow, argv: ["sh", "..."], reason: a test of the agent, env: ` + agentEnv + `}
`

// realAgent prepares a small Go project with a secret and a scripted provider.
func realAgent(t *testing.T, wire, path string, uid int, steps ...step) (*world, *model) {
	w := newWorld(t, uid)
	m := newModel(t, steps...)
	w.write("x.test.js", "require('node:test')('adds', () => require('node:assert').equal(1 + 1, 2))\n")
	w.write(".env", "SECRET="+secretText+"\n")
	w.repo()
	base := m.URL + path
	w.write(filepath.Join(w.root, "config/countersign/gateway.yaml"), "providers:\n  - {name: scripted, wire: "+wire+", base_url: "+base+", key: {env: REAL_KEY}}\n")
	w.env = append(w.env, "REAL_KEY=sk-real-company-key-000000000000")
	m.token = w.sessionToken
	return w, m
}

// sessionToken finds the token of the world's session where the agent has it: in
// its environment.
func (w *world) sessionToken() string {
	for _, p := range hostProcs() {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid))
		env := strings.Split(string(b), "\x00")
		if !slices.Contains(env, "HOME="+w.home) {
			continue
		}
		for _, kv := range env {
			if token, ok := strings.CutPrefix(kv, "COUNTERSIGN_SESSION_TOKEN="); ok {
				return token
			}
		}
	}
	return ""
}

func (w *world) withPath(dir string) {
	for i, kv := range w.env {
		if strings.HasPrefix(kv, "PATH=") {
			w.env[i] = "PATH=" + dir + ":" + strings.TrimPrefix(kv, "PATH=")
		}
	}
}

// checkAgent looks at what a real agent's two-step task left.
func checkAgent(t *testing.T, w *world, m *model, r result) {
	t.Helper()
	if !strings.Contains(m.seen(), "pass 1") {
		t.Errorf("the tests' output never reached the provider\nout %s\nerr %s", r.out, r.err)
	}
	if strings.Contains(m.seen(), secretText) {
		t.Error("the secret reached the provider")
	}
	for _, k := range m.keys {
		if !strings.Contains(k, "sk-real-company-key") {
			t.Errorf("a call came without the company's key: %q", k)
		}
	}
	found := false
	for _, h := range w.hunks() {
		found = found || h.Path == "hello.txt" && h.Op == "create"
	}
	if !found {
		t.Errorf("hello.txt is not a hunk: %+v\nout %s\nerr %s", w.hunks(), r.out, r.err)
	}
	if _, err := os.Stat(filepath.Join(w.project, "hello.txt")); err == nil {
		t.Error("the real tree was written")
	}
	calls := map[string]int{}
	for _, rec := range w.log() {
		calls[rec.Type]++
	}
	for typ, exe := range map[string]string{"file.denied": "/cat", "net.denied": "/curl"} {
		n := 0
		for _, rec := range w.log("--type", typ) {
			if strings.HasSuffix(rec.Actor.Peer.Exe, exe) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d records of %s by %s, not one: %v", n, typ, exe, calls)
		}
	}
	checkCalls(t, w, m)
	w.must("verify")
	if t.Failed() {
		for _, rec := range w.log("--type", "exec.decided") {
			t.Logf("%s %s %.120q %q", rec.Decision.Verdict, rec.Decision.Basis, rec.Action.Argv, rec.Action.Env)
		}
	}
}

// checkCalls holds what the provider saw against what is on record: each call is
// a request and an answer with its usage, and none carries the session's token.
func checkCalls(t *testing.T, w *world, m *model) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	seen, answers := map[string]int{}, map[string]rec{}
	for _, c := range m.calls {
		path, _, _ := strings.Cut(c.url, "?")
		seen[fmt.Sprintf("%s %s of %d bytes", c.method, path, len(c.body))]++
		if everything := fmt.Sprint(c.url, c.header, c.body); m.held == "" || strings.Contains(everything, m.held) {
			t.Errorf("%s carries the session's token %q", c.url, m.held)
		}
	}
	for _, r := range w.log("--type", "model.response") {
		if _, twice := answers[r.Parent]; twice {
			t.Errorf("a request has two answers: %+v", r)
		}
		answers[r.Parent] = r
	}
	for _, r := range w.log("--type", "model.request") {
		if r.Decision.Verdict != "allow" {
			continue
		}
		bytes, _ := r.Detail["bytes"].(float64)
		seen[fmt.Sprintf("%v %v of %v bytes", r.Detail["method"], r.Detail["path"], bytes)]--
		a := answers[r.ID]
		delete(answers, r.ID)
		if _, timed := a.Detail["ttft_ms"]; a.Outcome.Status != "ok" || a.Model.Served == "" || a.Usage == nil || a.Usage.Input != 10 || a.Usage.Output != 7 || !timed {
			t.Errorf("%v was answered, on record, by %+v", r.Detail, a)
		}
	}
	for what, n := range seen {
		if n != 0 {
			t.Errorf("%s: the provider saw %+d more than are on record", what, n)
		}
	}
	for n := range m.steps {
		if last := m.calls[len(m.calls)-1].body; m.signs && !strings.Contains(last, signature(n)) {
			t.Errorf("the signature of turn %d did not come back: %s", n, last)
		}
	}
	if len(m.calls) == 0 || len(answers) > 0 {
		t.Errorf("%d calls, answers without a request: %v", len(m.calls), answers)
	}
}

// tries are what a command of the task attempts and must not get: a secret, and a host.
const tries = "cat .env; curl -s -m 5 http://192.0.2.1/"

var twoSteps = []step{{write: "hello.txt", content: "hi\n"}, {run: tries + "; node --test"}}

func TestClaudeCodeFinishesATask(t *testing.T) {
	bin := npmAgent(t, "@anthropic-ai/claude-code", "2.1.331")
	for _, uid := range users() {
		w, m := realAgent(t, "anthropic", "", uid, twoSteps...)
		w.withPath(bin)
		m.steps[0].write, m.signs = filepath.Join(w.project, "hello.txt"), true
		r := w.cs("run", "--policy", w.policy(agentPolicy), "--approver", "none", "--", "claude", "-p", "write hello.txt and run the tests", "--permission-mode", "acceptEdits", "--allowedTools", "Bash,Edit,Write")
		checkAgent(t, w, m, r)
	}
}

func TestCodexFinishesATask(t *testing.T) {
	bin := npmAgent(t, "@openai/codex", "0.169.0")
	for _, uid := range users() {
		w, m := realAgent(t, "openai", "/v1", uid, twoSteps...)
		w.withPath(bin)
		m.signs = true
		policy := agentPolicy + fmt.Sprintf("  - {id: t-codex, verdict: allow, argv: [%q, \"...\"], reason: its own helper, env: %s}\n", filepath.Dir(bin)+"/@openai/*/vendor/*/bin/codex", agentEnv)
		r := w.cs("run", "--policy", w.policy(policy), "--approver", "none", "--", "codex", "exec", "-m", "gpt-5.5", "--skip-git-repo-check", "write hello.txt and run the tests")
		checkAgent(t, w, m, r)
	}
}
