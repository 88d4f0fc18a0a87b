package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const budgets = `version: 1
models:
  allow: ["scripted/*"]
  budgets:
    - {id: day, per: user, window: month, usd: 0.0002, reason: what this test may cost}
    - {id: pace, per: session, window: month, requests: 50, models: ["other/*"], reason: another's pace}
`

// What was spent outlives a kill: a budget that is spent stays spent, each refusal
// is on record under its id, and what is left is said.
func TestBudgetSurvivesAKill(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		m := newModel(t)
		w.write(filepath.Join(w.root, "config/countersign/gateway.yaml"), fmt.Sprintf("find_local: false\nproviders:\n  - {name: scripted, wire: anthropic, base_url: %q, key: {env: REAL_KEY}, prices: anthropic}\n", m.URL))
		w.env = append(w.env, "REAL_KEY="+companyKey())
		const ask = `{"model":"claude-sonnet-4-5","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`
		s := serveBy(w, budgets)
		call := func(want int, says string) {
			t.Helper()
			if code, body, err := s.say(t.Context(), http.DefaultClient, ask); err != nil || code != want || !strings.Contains(body, says) {
				t.Errorf("%d %s %v", code, body, err)
			}
		}
		call(200, "all done") // 10 tokens in and 7 out: $0.000135 of $0.0002
		s.end(syscall.SIGKILL)
		eventually(t, "the ledger process ended", func() bool { return len(w.ledgers()) == 0 })
		s.begin(w.policy(budgets))
		call(200, "all done")
		s.end(syscall.SIGKILL)
		eventually(t, "the ledger process ended", func() bool { return len(w.ledgers()) == 0 })
		s.begin(w.policy(budgets))
		call(429, "budget day: ")
		call(429, "billing_error")
		if r := w.cs("models", "--policy", filepath.Join(w.root, "policy.yaml")); !strings.Contains(r.err, "budget day: ") || strings.Contains(r.err, "other") {
			t.Errorf("%+v", r)
		}
		if r := s.end(syscall.SIGTERM); r.code != 0 {
			t.Errorf("%+v", r)
		}
		refused, paid := 0, 0
		for _, r := range w.raw() {
			if r["type"] == "model.request" && r["policy"].(map[string]any)["rule"] == "day" {
				refused++
			}
			if c, ok := r["cost"].(map[string]any); ok && c["usd"] == "0.000135" && c["nano_usd"] == 135000.0 {
				paid++
			}
		}
		if refused != 2 || paid != 2 || len(m.bodies) < 2 {
			t.Errorf("%d refused, %d paid on record", refused, paid)
		}
		if out := w.must("log", "--type", "model.response").out; strings.Count(out, "10 in, 0 cached, 7 out  $0.000135") != 2 {
			t.Errorf("%s", out)
		}
		w.must("verify")
	})
}

// Two gateways and 256 calls at once keep one budget: the provider is paid less
// than one call beyond it, and each call is on record, paid or refused.
func TestTwoGatewaysKeepOneBudget(t *testing.T) {
	const calls, cost, of = 256, 135_000, 10_000_000 // nano-dollars
	w := newWorld(t, users()[len(users())-1])
	var served atomic.Int64
	m := newModel(t)
	p := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		served.Add(1)
		m.serve(rw, r)
	}))
	t.Cleanup(p.Close)
	w.write(filepath.Join(w.root, "config/countersign/gateway.yaml"), fmt.Sprintf("find_local: false\nproviders:\n  - {name: scripted, wire: anthropic, base_url: %q, key: {env: REAL_KEY}, prices: anthropic}\n", p.URL))
	w.env = append(w.env, "REAL_KEY="+companyKey())
	const rules = "version: 1\nmodels:\n  allow: [\"scripted/*\"]\n  budgets: [{id: day, per: user, window: month, usd: 0.01, reason: what this test may cost}]\n"
	one := serveBy(w, rules)
	two := &standing{world: w, token: one.token}
	two.begin(w.policy(rules))
	var answered, refused, other atomic.Int64
	for range 3 {
		var wg sync.WaitGroup
		for i := range calls {
			wg.Add(1)
			go func() {
				defer wg.Done()
				code, body, err := []*standing{one, two}[i%2].say(t.Context(), http.DefaultClient, `{"model":"claude-sonnet-4-5","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`)
				switch {
				case err == nil && code == 200:
					answered.Add(1)
				case err == nil && code == 429 && strings.Contains(body, "budget day: "):
					refused.Add(1)
				default:
					other.Add(1)
					t.Logf("%d %s %v", code, body, err)
				}
			}()
		}
		wg.Wait()
	}
	one.end(syscall.SIGTERM)
	two.end(syscall.SIGTERM)
	if n := served.Load(); n != answered.Load() || n*cost >= of+cost || n == 0 || other.Load() > 0 || refused.Load() == 0 {
		t.Errorf("%d calls reached the provider for %d of %d, %d were answered, %d refused, %d otherwise", n, n*cost, of, answered.Load(), refused.Load(), other.Load())
	}
	paid, denied := int64(0), int64(0)
	for _, r := range w.raw() {
		if c, ok := r["cost"].(map[string]any); ok {
			paid += int64(c["nano_usd"].(float64))
		}
		if p, ok := r["policy"].(map[string]any); ok && r["type"] == "model.request" && p["rule"] == "day" {
			denied++
		}
	}
	if paid != served.Load()*cost || denied != refused.Load() {
		t.Errorf("on record: %d paid and %d refused; %d and %d were", paid, denied, served.Load()*cost, refused.Load())
	}
	t.Logf("%d calls went for %d of %d nano-dollars, %d were refused", served.Load(), paid, of, denied)
}

func TestStatusSaysWhatIsLeft(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.write("README.md", "a project\n")
	w.repo()
	j := w.start("run", "--approver", "none", "--policy", w.policy(budgets), "--", "/usr/bin/sleep", "60")
	var all []struct {
		Budgets []struct {
			ID  string
			USD *struct{ Spent, Reserved, Limit, Left string }
		}
	}
	eventually(t, "the session to say its budgets", func() bool {
		all = nil
		w.decode(&all, "status", "--json")
		return len(all) == 1 && len(all[0].Budgets) == 2
	})
	if b := all[0].Budgets[0]; b.ID != "day" || b.USD == nil || b.USD.Left != "0.0002" || b.USD.Limit != "0.0002" || b.USD.Spent != "0" {
		t.Errorf("%+v", b)
	}
	if out := w.must("status").out; !strings.Contains(out, "budget day: $0.0002 of $0.0002 left, per user and month") || !strings.Contains(out, "budget pace: 50 of 50 requests left") {
		t.Errorf("%s", out)
	}
	_ = j.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-j.done:
	case <-time.After(time.Minute):
		t.Error("the session does not end")
	}
}

// A budget that is spent stops real agents: each gives up after few calls, though
// no two of them heed the same word, and tells its person why.
func TestAgentsStopAtASpentBudget(t *testing.T) {
	// The calls that an agent may make before it gives up; two at once are two.
	most := map[string]int{"claude": 1, "codex": 1, "gemini": 1, "opencode": 2, "copilot": 1, "cline": 1}
	for _, a := range agentsOutside() {
		t.Run(a.name, func(t *testing.T) {
			bin := npmAgent(t, a.pkg, a.version)
			w := newWorld(t, users()[len(users())-1])
			w.withPath(bin)
			w.repoWith("hello.txt", "hello\n")
			p := newEveryWire(t)
			gatewayOf(w, p.URL)
			s := serveBy(w, "version: 1\nmodels:\n  allow: [\"scripted*/*\"]\n  budgets: [{id: spent, per: user, window: month, tokens: 1, reason: this test's is spent}]\n")
			if code, _, err := s.say(t.Context(), http.DefaultClient, hello); err != nil || code != 200 {
				t.Fatal(code, err)
			}
			env, args := a.setup(s)
			if a.name == "cline" {
				clineAuth(t, s, filepath.Join(bin, "cline"))
				args = []string{"--timeout", "60", "-P", "openai-compatible", "say hi"}
			}
			began := time.Now()
			out, err := s.outside(t, filepath.Join(bin, a.name), env, args...)
			took := time.Since(began)
			s.end(syscall.SIGTERM)
			refused := 0
			for _, r := range w.log("--type", "model.request") {
				if r.Policy.Rule == "spent" {
					refused++
				}
			}
			t.Logf("%d calls refused in %v, then %v", refused, took.Round(100*time.Millisecond), err)
			if !strings.Contains(out, "budget spent: ") {
				t.Errorf("it does not say why: %.4000s", out)
			}
			if refused == 0 || refused > most[a.name] {
				t.Errorf("%d calls before it gave up, at most %d are meant", refused, most[a.name])
			}
		})
	}
}
