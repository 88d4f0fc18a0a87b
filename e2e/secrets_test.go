package e2e

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The content of a denied file does not leave in a prompt, however it came into
// it, and neither does what looks like a secret: the model gets placeholders, and
// nothing on the disk has it but the file itself.
func TestSecretsDoNotLeaveInPrompts(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	m := newModel(t)
	pass := "Tr0ub" + "4dor&" + strings.Repeat("z9", 6)
	pat := "gh" + "p_" + strings.Repeat("aB3dE6gH9", 4)
	w.write(".env", "NODE_ENV=production\nDB_PASSWORD="+pass+"\n")
	w.write("src/app.js", "const env = 'production'\n")
	w.repo()
	w.write(filepath.Join(w.root, "config/countersign/gateway.yaml"), fmt.Sprintf("providers:\n  - {name: scripted, wire: anthropic, base_url: %q}\n", m.URL))
	coded := base64.StdEncoding.EncodeToString([]byte("the password is " + pass))
	// What a person pasted: the agent has it from elsewhere.
	w.write("pasted.txt", "in production, log in with "+pass+" or "+coded+", push with "+pat+"\n")
	r := w.script(allowBash, `python3 - <<'PY'
import json, os, urllib.request
body = {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": open("pasted.txt").read()}]}
for n in range(2):
    q = urllib.request.Request(os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages", json.dumps(body).encode(), {"X-Api-Key": os.environ["ANTHROPIC_API_KEY"]})
    print(urllib.request.urlopen(q, timeout=20).status)
PY
`)
	if r.code != 0 || strings.Count(r.out, "200") != 2 {
		t.Fatalf("%+v", r)
	}
	seen := m.seen()
	for _, secret := range []string{pass, pat, coded[24:48]} {
		if strings.Contains(seen, secret) {
			t.Errorf("the model got %q:\n%s", secret, seen)
		}
	}
	if !strings.Contains(seen, "in production, log in with [secret:denied-file:") || strings.Count(seen, "[secret:github-pat:") != 2 {
		t.Errorf("%s", seen)
	}
	requests := w.log("--type", "model.request")
	if len(requests) != 2 {
		t.Fatalf("%+v", requests)
	}
	list := fmt.Sprint(requests[0].Detail["redactions"])
	if list != fmt.Sprint(requests[1].Detail["redactions"]) || !strings.Contains(list, "source:.env") || !strings.Contains(list, "github-pat") || !strings.Contains(list, "base64") {
		t.Errorf("%s", list)
	}
	for path, b := range w.ledgerBytes() {
		if strings.Contains(b, pass) || strings.Contains(b, pat) {
			t.Errorf("%s holds a secret", path)
		}
	}
	if raw := w.must("log", "--json").out + r.out + r.err; strings.Contains(raw, pass) || strings.Contains(raw, pat) {
		t.Error("a secret is shown")
	}
}

// A standing gateway does the same by its policy, in the wire's own words.
func TestStandingGatewayBlocksSecrets(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	m := newModel(t)
	w.write(filepath.Join(w.root, "config/countersign/gateway.yaml"), fmt.Sprintf("providers:\n  - {name: scripted, wire: anthropic, base_url: %q}\n", m.URL))
	pat := "gh" + "p_" + strings.Repeat("aB3dE6gH9", 4)
	s := serveBy(w, "version: 1\nmodels: {allow: [\"scripted/*\"], secrets: {rules: [{rule: \"github-*\", verdict: block}]}}\n")
	code, body, err := s.say(t.Context(), http.DefaultClient, strings.Replace(hello, "hi", "push with "+pat, 1))
	if err != nil || code != 400 || !strings.Contains(body, "invalid_request_error") || !strings.Contains(body, "github-pat") || strings.Contains(body, pat) || m.seen() != "" {
		t.Errorf("%d %s %v", code, body, err)
	}
	if r := s.end(syscall.SIGTERM); r.code != 0 {
		t.Errorf("%+v", r)
	}
	if rs := w.log("--type", "model.request"); len(rs) != 1 || rs[0].Outcome.Status != "refused" || rs[0].Policy.Rule != "models-secrets" {
		t.Errorf("%+v", rs)
	}
	bad := w.policy("version: 1\nmodels: {secrets: {rules: [{rule: github-pats, verdict: block}]}}\n")
	if r := w.cs("policy", "check", bad); r.code == 0 || !strings.Contains(r.err, "github-pats") {
		t.Errorf("%+v", r)
	}
}
