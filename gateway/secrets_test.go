package gateway

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/scan"
	"github.com/countersign/countersign/gateway/screen"
)

// made returns n characters, so that no scanner finds a secret in this file.
func made(seed uint64, n int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	r, b := rand.New(rand.NewPCG(seed, 2)), make([]byte, n)
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(b)
}

func pat(seed uint64) string { return "gh" + "p_" + made(seed, 36) }

// words is a policy on secrets: what is said of requests and of answers.
type words struct{ ask, answer map[string]string }

func (w words) Secret(rule string, low, answer bool) (string, countersign.Ruling) {
	by := countersign.Ruling{Verdict: countersign.Deny, Rule: "models-secrets", Reason: "models.secrets says so", Bundle: "sha256:b"}
	m, usual := w.ask, screen.Redact
	if answer {
		m, usual = w.answer, screen.Flag
	}
	if v, ok := m[rule]; ok {
		return v, by
	}
	return usual, by
}

func (w words) HoldsAnswers() bool {
	for _, v := range w.answer {
		if v == screen.Block {
			return true
		}
	}
	return false
}

func secretRules(w words) func(*Options) { return func(o *Options) { o.Secrets = w } }

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// requests of every wire, with a place for a text.
var requestForms = []struct{ name, path, body string }{
	{"anthropic user", "/v1/messages", `{"model":"claude-x", "n":1.0,"messages":[{"role":"user","content":%s}]}`},
	{"anthropic system", "/v1/messages", `{"model":"claude-x","system":[{"type":"text","text":%s,"cache_control":{"type":"ephemeral"}}],"messages":[]}`},
	{"anthropic tool result", "/v1/messages", `{"model":"claude-x","messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"a\u002fb"},{"type":"tool_use","id":"t1","name":"Read","input":{"path":"x"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":%s}]}]}]}`},
	{"anthropic tool call", "/v1/messages", `{"model":"claude-x","messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"Write","input":{"content":%s}}]}]}`},
	{"anthropic tool schema", "/v1/messages", `{"model":"claude-x","messages":[],"tools":[{"name":"x","description":%s,"input_schema":{}}]}`},
	{"anthropic count", "/v1/messages/count_tokens", `{"model":"claude-x","messages":[{"role":"user","content":%s}]}`},
	{"anthropic unknown field", "/v1/messages", `{"model":"claude-x","messages":[],"new":{"x":[%s]}}`},
	{"chat user", "/v1/chat/completions", `{"model":"gpt-x","messages":[{"role":"user","content":%s}]}`},
	{"chat tool", "/v1/chat/completions", `{"model":"gpt-x","messages":[{"role":"tool","tool_call_id":"c","content":%s}]}`},
	{"responses", "/v1/responses", `{"model":"gpt-x","store":false,"input":[{"type":"function_call_output","call_id":"c","output":%s}]}`},
	{"azure", "/openai/deployments/gpt-x/chat/completions?api-version=1", `{"messages":[{"role":"user","content":%s}]}`},
	{"gemini", "/v1beta/models/gemini-x:generateContent", `{"contents":[{"role":"user","parts":[{"text":%s}]}]}`},
	{"gemini tool", "/v1beta/models/gemini-x:generateContent", `{"contents":[{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"out":%s}}}]}]}`},
	{"ollama", "/api/chat", `{"model":"llama","messages":[{"role":"user","content":%s}]}`},
}

func okAnswer(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{}`)
}

// noTrace fails where a secret is in a record or a payload.
func (r *rig) noTrace(t *testing.T, secrets ...string) {
	t.Helper()
	r.book.mu.Lock()
	defer r.book.mu.Unlock()
	for _, s := range secrets {
		for _, rec := range r.book.records {
			if b, _ := rec.JSON(); strings.Contains(string(b), s) {
				t.Errorf("a record holds the secret: %s", b)
			}
		}
		for name, b := range r.book.blobs {
			if strings.Contains(b, s) {
				t.Errorf("%s holds the secret: %s", name, b)
			}
		}
	}
}

func redactions(rec countersign.Record) []map[string]any {
	out, _ := rec.Detail["redactions"].([]map[string]any)
	return out
}

func TestSecretsAreRedactedOnEveryWire(t *testing.T) {
	secret := pat(1)
	texts := map[string]string{
		"plain":  "the token\n" + secret + "\n is \"it\" é😀",
		"twice":  secret + " and " + secret,
		"base64": "x " + base64.StdEncoding.EncodeToString([]byte("token "+secret+" of ours")) + " y",
		"JSON":   `{"a":"b\n` + secret + `"}`,
	}
	for _, form := range requestForms {
		r := newRig(t, okAnswer)
		for name, text := range texts {
			body := fmt.Sprintf(form.body, quoted(text))
			resp, _ := r.do(t, "POST", form.path, body, "Authorization", "Bearer "+token)
			if resp.StatusCode != 200 {
				t.Errorf("%s, %s: %d", form.name, name, resp.StatusCode)
				continue
			}
			<-r.got
			sent := <-r.bodies
			recs := r.untilClosed(t, 2)
			found := redactions(recs[0])
			if len(found) != 1 || found[0]["rule"] != "github-pat" || found[0]["verdict"] != screen.Redact {
				t.Fatalf("%s, %s: %v", form.name, name, recs[0].Detail)
			}
			ph := found[0]["placeholder"].(string)
			if strings.Contains(sent, secret) || !json.Valid([]byte(sent)) || !strings.Contains(sent, ph) {
				t.Errorf("%s, %s: sent %s", form.name, name, sent)
			}
			if name == "plain" && strings.Replace(sent, ph, secret, 1) != body {
				t.Errorf("%s: other bytes changed:\n%s\n%s", form.name, sent, body)
			}
			if name == "twice" && found[0]["count"] != 2 {
				t.Errorf("%s: counted %v", form.name, found[0])
			}
			if r.book.blobs[recs[0].Payloads[0].CT] != sent {
				t.Errorf("%s, %s: what is kept is not what was sent", form.name, name)
			}
			r.noTrace(t, secret, secret[4:20])
			r.book.mu.Lock()
			r.book.records = nil
			r.book.mu.Unlock()
		}
	}
}

// The beginning of a conversation stays the same with each turn, so that the
// provider's cache of prompts holds.
func TestPlaceholdersAreTheSameWithEachTurn(t *testing.T) {
	r, secret := newRig(t, okAnswer), pat(2)
	turn := func(more string) string {
		r.do(t, "POST", "/v1/messages", `{"model":"claude-x","messages":[{"role":"user","content":"`+secret+` and `+strings.Repeat("words ", 200)+`"}`+more+`]}`, "X-Api-Key", token)
		<-r.got
		return <-r.bodies
	}
	one := turn("")
	two := turn(`,{"role":"user","content":"more"}`)
	if !strings.HasPrefix(two, strings.TrimSuffix(one, "]}")) {
		t.Errorf("%s\n%s", one, two)
	}
}

func TestFlaggedSecretsGoOnButAreNotKept(t *testing.T) {
	secret := pat(3)
	r := newRig(t, okAnswer, secretRules(words{ask: map[string]string{"github-pat": screen.Flag}}))
	body := `{"model":"claude-x","e":1.0,"messages":[{"role":"user","content":"a ` + secret + ` b"}]}`
	r.do(t, "POST", "/v1/messages", body, "X-Api-Key", token)
	if sent := <-r.bodies; sent != body {
		t.Errorf("sent %s", sent)
	}
	recs := r.untilClosed(t, 2)
	if f := redactions(recs[0]); len(f) != 1 || f[0]["verdict"] != screen.Flag || recs[0].Detail["kept"] != "redacted" {
		t.Errorf("%v", recs[0].Detail)
	}
	r.noTrace(t, secret)
}

func TestBlockedSecretsDoNotLeave(t *testing.T) {
	secret := pat(4)
	block := words{ask: map[string]string{"github-pat": screen.Block, scan.ProviderKey: screen.Block}}
	signed := `{"model":"claude-x","messages":[{"role":"assistant","content":[{"type":"thinking","thinking":%s,"signature":"x"}]}]}`
	tests := []struct {
		name, path, body string
		rules            words
		headers          []string
	}{
		{"header", "/v1/messages", `{"model":"claude-x","messages":[]}`, words{}, []string{"X-Note", secret}},
		{"query", "/v1/messages?note=" + secret, `{"model":"claude-x","messages":[]}`, words{}, nil},
		{"signed block, to be redacted", "/v1/messages", fmt.Sprintf(signed, quoted(secret)), words{}, nil},
		{"id, to be redacted", "/v1/messages", `{"model":"claude-x","messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"` + secret + `","content":""}]}]}`, words{}, nil},
	}
	for _, form := range requestForms {
		tests = append(tests, struct {
			name, path, body string
			rules            words
			headers          []string
		}{form.name, form.path, fmt.Sprintf(form.body, quoted("x "+secret)), block, nil})
		tests = append(tests, struct {
			name, path, body string
			rules            words
			headers          []string
		}{form.name + ", the provider's key", form.path, fmt.Sprintf(form.body, quoted("x"+base64.StdEncoding.EncodeToString([]byte("k="+key)))), block, nil})
	}
	for _, tt := range tests {
		if strings.HasPrefix(tt.name, "ollama, the") {
			continue // it has none
		}
		r := newRig(t, okAnswer, secretRules(tt.rules))
		resp, body := r.do(t, "POST", tt.path, tt.body, append([]string{"X-Api-Key", token}, tt.headers...)...)
		var e struct{ Error any }
		if resp.StatusCode != 400 || json.Unmarshal([]byte(body), &e) != nil || e.Error == nil || resp.Header.Get("X-Should-Retry") != "false" || !strings.Contains(body, "models.secrets") {
			t.Errorf("%s: %d %s", tt.name, resp.StatusCode, body)
		}
		if r.reached() > 0 || strings.Contains(body, secret) || strings.Contains(body, key) {
			t.Errorf("%s: it left: %s", tt.name, body)
		}
		recs := r.untilClosed(t, 1)
		if rec := recs[0]; rec.Policy.Rule != "models-secrets" || rec.Decision.Verdict != "deny" || len(rec.Payloads) > 0 || len(redactions(rec)) != 1 || redactions(rec)[0]["verdict"] != screen.Block {
			t.Errorf("%s: %+v", tt.name, rec)
		}
		r.noTrace(t, secret, key)
	}
}

// A body on which the scan would not end is refused.
func TestScanThatDoesNotEnd(t *testing.T) {
	r := newRig(t, okAnswer)
	body := `{"model":"claude-x","messages":[{"role":"user","content":"` + strings.Repeat("curl -u ", 40_000) + `"}]}`
	resp, out := r.do(t, "POST", "/v1/messages", body, "X-Api-Key", token)
	if resp.StatusCode != 400 || !strings.Contains(out, "does not end in its time") || r.reached() > 0 {
		t.Errorf("%d %s", resp.StatusCode, out)
	}
	if rec := r.untilClosed(t, 1)[0]; rec.Policy.Rule != "gateway-scan" || rec.Outcome.Status != "refused" {
		t.Errorf("%+v", rec)
	}
}

func TestImagesAreNotScannedAndForgedPlaceholdersAreSeen(t *testing.T) {
	r := newRig(t, okAnswer)
	png := base64.StdEncoding.EncodeToString([]byte("\x89PNG\r\n\x1a\n\x00\x00" + made(5, 600)))
	doc := base64.StdEncoding.EncodeToString([]byte("a text of ours\n" + strings.Repeat("with words\n", 60)))
	body := `{"model":"claude-x","messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + png + `"}},{"type":"document","source":{"type":"base64","media_type":"text/plain","data":"` + doc + `"}},{"type":"text","text":"[secret:github-pat:abcdefghabcdefghabcdefgh]"}]}]}`
	r.do(t, "POST", "/v1/messages", body, "X-Api-Key", token)
	if sent := <-r.bodies; sent != body {
		t.Errorf("sent %s", sent)
	}
	if d := r.untilClosed(t, 1)[0].Detail; d["unscanned_bytes"] != len(png) || d["forged_placeholders"] != 1 {
		t.Errorf("%v", d)
	}
	withKey := strings.Replace(body, doc, base64.StdEncoding.EncodeToString([]byte("a text of ours "+pat(6)+" is in it")), 1)
	if resp, _ := r.do(t, "POST", "/v1/messages", withKey, "X-Api-Key", token); resp.StatusCode != 400 {
		t.Errorf("%d", resp.StatusCode) // a document's bytes are not edited
	}
}

// streams of every wire that say a text in pieces.
var answerForms = []struct {
	name, path, body, media string
	event                   func(piece string) string
	end                     string
}{
	{"anthropic", "/v1/messages", `{"model":"claude-x","stream":true,"messages":[]}`, "text/event-stream", func(p string) string {
		return "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":" + quoted(p) + "}}\n\n"
	}, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"},
	{"anthropic tool", "/v1/messages", `{"model":"claude-x","stream":true,"messages":[]}`, "text/event-stream", func(p string) string {
		return "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":" + quoted(p) + "}}\n\n"
	}, ""},
	{"chat", "/v1/chat/completions", `{"model":"gpt-x","stream":true,"messages":[]}`, "text/event-stream", func(p string) string {
		return "data: {\"model\":\"gpt-x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":" + quoted(p) + "}}]}\n\n"
	}, "data: [DONE]\n\n"},
	{"responses", "/v1/responses", `{"model":"gpt-x","store":false,"stream":true,"input":"x"}`, "text/event-stream", func(p string) string {
		return "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,\"delta\":" + quoted(p) + "}\n\n"
	}, ""},
	{"gemini", "/v1beta/models/gemini-x:streamGenerateContent?alt=sse", `{"contents":[]}`, "text/event-stream", func(p string) string {
		return "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":" + quoted(p) + "}]}}]}\r\n\r\n"
	}, ""},
	{"ollama", "/api/chat", `{"model":"llama","messages":[]}`, "application/x-ndjson", func(p string) string {
		return "{\"model\":\"llama\",\"message\":{\"role\":\"assistant\",\"content\":" + quoted(p) + "},\"done\":false}\n"
	}, "{\"model\":\"llama\",\"done\":true}\n"},
}

// say streams a text in pieces of n bytes.
func say(event func(string) string, text string, n int, media, end string) (whole string, answer http.HandlerFunc) {
	var events []string
	for ; text != ""; text = text[min(n, len(text)):] {
		events = append(events, event(text[:min(n, len(text))]))
	}
	events = append(events, end)
	return strings.Join(events, ""), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", media)
		for _, e := range events {
			_, _ = io.WriteString(w, e)
			w.(http.Flusher).Flush()
		}
	}
}

func TestSecretsInAnswersAreOnRecord(t *testing.T) {
	for _, form := range answerForms {
		for _, n := range []int{3, 1000} {
			secret := pat(7)
			whole, answer := say(form.event, "here it is: "+secret+", as you asked", n, form.media, form.end)
			r := newRig(t, answer)
			_, body := r.do(t, "POST", form.path, form.body, "X-Api-Key", token)
			if body != whole {
				t.Errorf("%s in pieces of %d: other bytes came", form.name, n)
			}
			recs := r.untilClosed(t, 2)
			if f := redactions(recs[1]); len(f) != 1 || f[0]["rule"] != "github-pat" || f[0]["verdict"] != screen.Flag || f[0]["count"] != 1 {
				t.Errorf("%s in pieces of %d: %v", form.name, n, recs[1].Detail)
			}
			r.noTrace(t, secret)
			said := ""
			for _, p := range recs[1].Payloads {
				said += r.book.blobs[p.CT]
			}
			if !strings.Contains(said, "[secret:github-pat:") || !strings.Contains(said, "as you asked") {
				t.Errorf("%s in pieces of %d: kept %q", form.name, n, said)
			}
		}
	}
}

func TestAnswersThatBlock(t *testing.T) {
	rules := secretRules(words{answer: map[string]string{"github-pat": screen.Block}})
	for _, form := range answerForms {
		for _, n := range []int{1, 7, 5000} {
			secret, before := pat(8), strings.Repeat("Some words that come before it. ", 80)
			_, answer := say(form.event, before+secret+" and more", n, form.media, form.end)
			r := newRig(t, answer, rules)
			_, body := r.do(t, "POST", form.path, form.body, "X-Api-Key", token)
			if strings.Contains(strings.Join(texts(body), ""), secret[:12]) {
				t.Errorf("%s in pieces of %d: the secret came", form.name, n)
			}
			if !strings.Contains(body, "policy blocks a secret in the answer") {
				t.Errorf("%s in pieces of %d: nobody says why: …%s", form.name, n, body[max(0, len(body)-300):])
			}
			rec := r.untilClosed(t, 2)[1]
			if rec.Outcome.Status != "refused" || rec.Policy == nil || rec.Policy.Rule != "models-secrets" || len(redactions(rec)) != 1 || redactions(rec)[0]["verdict"] != screen.Block {
				t.Errorf("%s in pieces of %d: %+v %v", form.name, n, rec.Outcome, rec.Detail)
			}
			r.noTrace(t, secret)
		}
	}
}

// texts are the strings of the events' JSON.
func texts(stream string) (out []string) {
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, k := range []string{"type", "index"} {
				delete(v, k)
			}
			for _, x := range v {
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		case string:
			out = append(out, v)
		}
	}
	for _, line := range strings.Split(stream, "\n") {
		var v any
		if json.Unmarshal([]byte(strings.TrimPrefix(strings.TrimSpace(line), "data:")), &v) == nil {
			walk(v)
		}
	}
	return out
}

// With a rule that blocks, an answer without a secret comes byte for byte, and
// its events without waiting for its end.
func TestHeldAnswersComeWhole(t *testing.T) {
	rules := secretRules(words{answer: map[string]string{"github-pat": screen.Block, "generic-api-key": screen.Block}})
	for _, form := range answerForms {
		for _, n := range []int{1, 11, 400} {
			whole, answer := say(form.event, strings.Repeat("A key = value, a token: words. ghp", 30)+"\n😀é", n, form.media, form.end)
			if n == 1 || n == 11 {
				whole, answer = say(form.event, strings.Repeat("A key = value, a token: words. ghp", 30), n, form.media, form.end)
			}
			r := newRig(t, answer, rules)
			if _, body := r.do(t, "POST", form.path, form.body, "X-Api-Key", token); body != whole {
				t.Errorf("%s in pieces of %d: other bytes came", form.name, n)
			}
		}
	}
	next := make(chan bool)
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, answerForms[0].event("plain words and "))
		w.(http.Flusher).Flush()
		<-next
		// Full of what rules look for: all but a window comes.
		for range 300 {
			_, _ = io.WriteString(w, answerForms[0].event("the key = "))
		}
		w.(http.Flusher).Flush()
		<-next
		_, _ = io.WriteString(w, answerForms[0].event("more of them"))
	}, rules)
	stuck := time.AfterFunc(20*time.Second, func() { next <- true })
	resp := r.begin(t, "POST", "/v1/messages", answerForms[0].body, "X-Api-Key", token)
	defer resp.Body.Close()
	buf := make([]byte, 4096)
	if n, err := resp.Body.Read(buf); err != nil || !strings.Contains(string(buf[:n]), "plain words") || !stuck.Stop() {
		t.Errorf("%q %v", buf[:n], err)
		return
	}
	next <- true
	stuck = time.AfterFunc(20*time.Second, func() { next <- true })
	for all := ""; len(strings.Join(texts(all), "")) < 300*len("the key = ")-scan.Window-100; {
		n, err := resp.Body.Read(buf)
		if all += string(buf[:n]); err != nil {
			t.Fatalf("%d bytes came: %v", len(all), err)
		}
	}
	if !stuck.Stop() {
		t.Fatal("more than a window was held")
	}
	next <- true
	_, _ = io.Copy(io.Discard, resp.Body)
}

// What the provider itself has said comes back in its signed blocks: that is no
// reason to end the conversation. What the agent puts there is.
func TestSignedBlocksMayHoldWhatTheProviderSaid(t *testing.T) {
	secret := pat(10)
	_, answer := say(func(p string) string {
		return "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":" + quoted(p) + "}}\n\n"
	}, "they gave me "+secret+", so", 5, "text/event-stream", "")
	r := newRig(t, answer)
	ask := func() (int, string) {
		resp, body := r.do(t, "POST", "/v1/messages", `{"model":"claude-x","messages":[{"role":"assistant","content":[{"type":"thinking","thinking":`+quoted("they gave me "+secret+", so")+`,"signature":"x"}]}]}`, "X-Api-Key", token)
		return resp.StatusCode, body
	}
	if code, body := ask(); code != 400 {
		t.Errorf("%d %s", code, body)
	}
	r.do(t, "POST", "/v1/messages", `{"model":"claude-x","messages":[]}`, "X-Api-Key", token)
	r.untilClosed(t, 3)
	if code, body := ask(); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	if rec := r.untilClosed(t, 5)[3]; len(redactions(rec)) != 1 || redactions(rec)[0]["verdict"] != screen.Flag || rec.Detail["kept"] != "redacted" {
		t.Errorf("%v", rec.Detail)
	}
	r.noTrace(t, secret)
}

func TestAnswersInOnePiece(t *testing.T) {
	secret := pat(9)
	body := `{"id":"x","model":"gpt-x","n":1.0,"choices":[{"message":{"role":"assistant","content":"it is ` + secret + `"}}]}`
	answer := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	}
	r := newRig(t, answer)
	if _, got := r.do(t, "POST", "/v1/chat/completions", `{"model":"gpt-x","messages":[]}`, "X-Api-Key", token); got != body {
		t.Errorf("%s", got)
	}
	rec := r.untilClosed(t, 2)[1]
	kept := r.book.blobs[rec.Payloads[0].CT]
	if f := redactions(rec); len(f) != 1 || strings.Replace(kept, f[0]["placeholder"].(string), secret, 1) != body {
		t.Errorf("%v %s", rec.Detail, kept)
	}
	r.noTrace(t, secret)

	r = newRig(t, answer, secretRules(words{answer: map[string]string{"github-pat": screen.Block}}))
	resp, got := r.do(t, "POST", "/v1/chat/completions", `{"model":"gpt-x","messages":[]}`, "X-Api-Key", token)
	if resp.StatusCode != 400 || strings.Contains(got, secret) || !strings.Contains(got, "policy blocks a secret in the answer") {
		t.Errorf("%d %s", resp.StatusCode, got)
	}
	r.noTrace(t, secret)

	// A provider's error may say what it did not like.
	failing := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(400)
		_, _ = io.WriteString(w, `{"error":{"message":"bad: `+secret+`"}}`)
	}
	r = newRig(t, failing)
	r.do(t, "POST", "/v1/chat/completions", `{"model":"gpt-x","messages":[]}`, "X-Api-Key", token)
	r.untilClosed(t, 2)
	r.noTrace(t, secret)
}
