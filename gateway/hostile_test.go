package gateway

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/screen"
)

// A provider that compresses unasked passes by neither the scan, nor the look at
// who answered, nor the count of tokens.
func TestCompressedAnswersAreRead(t *testing.T) {
	secret := pat(7)
	coding := "gzip"
	answer := func(w http.ResponseWriter, _ *http.Request) {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, `{"type":"message","model":"claude-x","content":[{"type":"text","text":"`+secret+`"}],"usage":{"input_tokens":3,"output_tokens":5}}`)
		_ = z.Close()
		w.Header().Set("Content-Encoding", coding)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(b.Bytes())
	}
	ask := func(change ...func(*Options)) (string, countersign.Record, *rig) {
		r := newRig(t, answer, change...)
		resp, body := r.do(t, "POST", "/v1/messages", `{"model":"claude-x"}`, "X-Api-Key", token)
		if resp.Header.Get("Content-Encoding") != "" {
			t.Errorf("%v", resp.Header)
		}
		return body, r.untilClosed(t, 2)[1], r
	}
	body, rec, r := ask()
	if !strings.Contains(body, secret) || rec.Usage == nil || rec.Usage.Output != 5 || len(redactions(rec)) != 1 {
		t.Errorf("%s %+v %v", body, rec.Usage, rec.Detail)
	}
	r.noTrace(t, secret)
	block := secretRules(words{answer: map[string]string{"github-pat": screen.Block}})
	if body, rec, _ = ask(block); strings.Contains(body, secret) || rec.Outcome.Status != "refused" {
		t.Errorf("%s %+v", body, rec.Outcome)
	}
	coding = "br"
	if body, rec, _ = ask(); !strings.Contains(body, "a coding that was not asked for") || rec.Outcome.Status != "failed" {
		t.Errorf("%s %+v", body, rec.Outcome)
	}
}

// Side paths are forwarded by their beginning: none may lead out of it.
func TestPathsThatLeadElsewhere(t *testing.T) {
	for _, path := range []string{
		"/v1/responses/../chat/completions", "/v1/responses/%2e%2e/chat/completions", "/v1/responses/x%2f%2e%2e%2f..%2fchat/completions",
		"/v1/messages/batches/../../organizations/api_keys", "/v1beta/cachedContents/../models/forbidden:generateContent", "/v1/batches/..%5cfiles",
	} {
		r := newRig(t, okAnswer)
		r.allowed = "stored-responses batch"
		resp, body := r.do(t, "POST", path, `{"model":"forbidden"}`, "X-Api-Key", token)
		if resp.StatusCode != http.StatusNotFound || r.reached() != 0 || r.untilClosed(t, 1)[0].Policy.Rule != "gateway-route" {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
}

// rawProvider answers every connection with bytes as they are.
func rawProvider(t *testing.T, answer func(io.Writer)) func(*Options) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if req, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.Copy(io.Discard, req.Body)
				}
				answer(c)
			}()
		}
	}()
	return func(o *Options) {
		for i := range o.Config.Providers {
			o.Config.Providers[i].base.Host = l.Addr().String()
		}
	}
}

func repeat(s string) func(io.Writer) {
	return func(w io.Writer) {
		for {
			if _, err := io.WriteString(w, s); err != nil {
				return
			}
		}
	}
}

func once(s string) func(io.Writer) {
	return func(w io.Writer) { _, _ = io.WriteString(w, s) }
}

// What a provider answers outside of HTTP's rules, or beside them, ends the call
// in words and on record, and takes nothing along.
func TestHostileAnswers(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	for name, tt := range map[string]struct {
		answer func(io.Writer)
		status int // 0: the connection breaks
		ok     bool
	}{
		"upgrade":            {once("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nhello"), 400, false},
		"flood of 100":       {repeat("HTTP/1.1 100 Continue\r\n\r\n"), 400, false},
		"flood of 103":       {repeat("HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"), 400, false},
		"endless header":     {func(w io.Writer) { once(head + "X: ")(w); repeat(strings.Repeat("a", 1<<15))(w) }, 400, false},
		"two lengths":        {once(head + "Content-Length: 2\r\nContent-Length: 5\r\n\r\n{}xxx"), 400, false},
		"shorter than said":  {once(head + "Content-Length: 20\r\n\r\n{}"), 0, false},
		"longer than said":   {once(head + "Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n"), 200, true},
		"trailer":            {once(head + "Transfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n2\r\n{}\r\n0\r\nX-T: " + key + "\r\n\r\n"), 200, true},
		"no HTTP":            {once("garbage " + key + "\r\n\r\n"), 400, false},
		"coded transfer":     {once(head + "Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"), 400, false},
		"key in headers":     {once(head + "X-" + key + ": 1\r\nX-Echo: " + key + "\r\nContent-Length: 2\r\n\r\n{}"), 200, true},
		"key in media type":  {once("HTTP/1.1 200 OK\r\nContent-Type: " + key + "\r\nContent-Length: 2\r\n\r\n{}"), 200, true},
		"endless media type": {once("HTTP/1.1 200 OK\r\nContent-Type: a/" + strings.Repeat("x", 1<<20) + "\r\nContent-Length: 2\r\n\r\n{}"), 200, true},
		"redirect":           {once("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://169.254.169.254/latest/\r\nContent-Length: 0\r\n\r\n"), 400, false},
		"not modified":       {once("HTTP/1.1 304 Not Modified\r\n\r\n"), 400, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, okAnswer, rawProvider(t, tt.answer))
			req, err := http.NewRequest("POST", r.gateway.URL+"/v1/messages", strings.NewReader(`{"model":"claude-x"}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Api-Key", token)
			status, all := 0, ""
			if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
				var head bytes.Buffer
				_ = resp.Header.Write(&head)
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if all = head.String() + string(b); err == nil {
					status = resp.StatusCode
				}
			}
			rec := r.untilClosed(t, 2)[1]
			if status != tt.status || (rec.Outcome.Status == "ok") != tt.ok {
				t.Errorf("%d %.300s %+v", status, all, rec.Outcome)
			}
			if low := strings.ToLower(all); strings.Contains(low, key) || strings.Contains(low, "169.254") || strings.Contains(low, "location") {
				t.Errorf("goes on: %s", all)
			}
			if b, _ := rec.JSON(); len(b) > 8<<10 {
				t.Errorf("a record of %d bytes", len(b))
			}
			r.noTrace(t, key)
		})
	}
}

// A flood of bad tokens is counted, not written one by one; the counts are exact.
func TestAFloodOfStrangersIsCounted(t *testing.T) {
	r := newRig(t, okAnswer)
	const all = 500
	for range all {
		if resp, _ := r.do(t, "POST", "/v1/messages", `{"model":"claude-x"}`, "X-Api-Key", "cs-guess"); resp.StatusCode != http.StatusUnauthorized {
			t.Fatal(resp.StatusCode)
		}
	}
	r.door.Close()
	r.book.mu.Lock()
	defer r.book.mu.Unlock()
	sum := 0
	for _, rec := range r.book.records {
		if rec.Policy.Rule != "gateway-token" || rec.Decision.Verdict != "deny" || rec.Outcome.Status != "refused" {
			t.Errorf("%+v", rec)
		}
		if n, ok := rec.Detail["count"].(int); ok {
			sum += n
		} else {
			sum++
		}
	}
	if sum != all || len(r.book.records) > 200 || r.reached() != 0 {
		t.Errorf("%d records stand for %d refusals", len(r.book.records), sum)
	}
}

// Who sends the beginning of a request and no token is answered, and does not
// hold the connection.
func TestASlowStrangerIsSentAway(t *testing.T) {
	r := newRig(t, okAnswer)
	c, err := net.Dial("tcp", strings.TrimPrefix(r.gateway.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	once("POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")(c)
	b, err := io.ReadAll(c) // to the end of the connection
	if err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 401 ") {
		t.Errorf("%q %v", b, err)
	}
}

// Nobody can make a record that the ledger does not take, which would close the
// door for all: no stranger, no agent, no provider.
func TestNoRecordIsTooLarge(t *testing.T) {
	long := strings.Repeat(`\u0001`, 250)
	tools := func(item string) string {
		var all []string
		for i := range 100 {
			all = append(all, strings.ReplaceAll(item, "%", fmt.Sprint(i)+long))
		}
		return strings.Join(all, ",")
	}
	var secrets []string
	for i := range 100 {
		secrets = append(secrets, pat(uint64(i)))
	}
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"type":"message","model":"`+long+`","stop_reason":"`+long+`","content":[`+tools(`{"type":"tool_use","name":"%","input":{}}`)+`]}`)
	})
	r.allowed = "server-tools"
	open := func(what string) {
		t.Helper()
		if resp, body := r.do(t, "POST", "/v1/messages", `{"model":"claude-x"}`, "X-Api-Key", token); resp.StatusCode != http.StatusOK {
			t.Fatalf("after %s: %d %s", what, resp.StatusCode, body)
		}
	}
	r.do(t, strings.Repeat("A", 200_000), "/"+strings.Repeat("b", 100_000), "", "X-Api-Key", "guess", "User-Agent", strings.Repeat("c", 100_000))
	open("a stranger's method")
	for _, body := range []string{
		`{"model":"claude-x","tools":[` + tools(`{"type":"%"}`) + `]}`,
		`{"model":"` + long[:6*200] + `"}`,
		`{"model":"claude-x","system":` + quoted(strings.Join(secrets, " ")) + `,"tools":[` + tools(`{"type":"%"}`) + `]}`,
	} {
		r.do(t, "POST", "/v1/messages?"+strings.Repeat("x", 5000), body, "X-Api-Key", token, "Session-Id", strings.Repeat("é", 5000))
		open(body[:60])
	}
	found := 0
	for _, rec := range r.untilClosed(t, 9) {
		if n, ok := rec.Detail["redactions_more"].(int); ok {
			found = n + len(redactions(rec))
		}
	}
	if found != len(secrets) {
		t.Errorf("%d of %d secrets are on record or counted", found, len(secrets))
	}
	r.noTrace(t, secrets[0], secrets[99])
}

// A payload that the ledger does not take refuses its call, not the next one.
func TestPayloadsThatAreTooLarge(t *testing.T) {
	r := newRig(t, okAnswer)
	var too atomic.Value
	r.book.fail = func(op string) error {
		if op == too.Load() {
			return &countersign.Error{Code: countersign.EInvalid, Err: errors.New("the payload has too many bytes")}
		}
		return nil
	}
	for _, tt := range []struct {
		too    string
		status int
		says   string
		recs   int
	}{{"prompt", 400, "too large to be kept", 1}, {"answer", 200, "", 3}, {"", 200, "", 5}} {
		too.Store(tt.too)
		if resp, body := r.do(t, "POST", "/v1/messages", `{"model":"claude-x"}`, "X-Api-Key", token); resp.StatusCode != tt.status || !strings.Contains(body, tt.says) {
			t.Errorf("%s: %d %s", tt.too, resp.StatusCode, body)
		}
		r.untilClosed(t, tt.recs)
	}
	recs := r.untilClosed(t, 5)
	if recs[0].Decision.Verdict != "deny" || recs[2].Detail["unkept"] != true || len(recs[4].Payloads) != 1 || r.reached() != 2 {
		t.Errorf("%+v", recs)
	}
}

// What else the ledger does not take is on record without its details.
func TestARecordThatIsRefusedIsWrittenBare(t *testing.T) {
	r := newRig(t, okAnswer)
	r.book.whole = func(rec countersign.Record) error {
		if rec.Detail["client"] == "odd" || rec.Detail["status"] != nil {
			return &countersign.Error{Code: countersign.EInvalid, Err: errors.New("odd")}
		}
		return nil
	}
	for i, tt := range []struct {
		token, agent    string
		status, records int
	}{{"guess", "odd", 401, 1}, {token, "usual", 200, 3}, {token, "odd", 400, 4}} {
		if resp, body := r.do(t, "POST", "/v1/messages", `{"model":"claude-x"}`, "X-Api-Key", tt.token, "User-Agent", tt.agent); resp.StatusCode != tt.status {
			t.Errorf("%d: %d %s", i, resp.StatusCode, body)
		}
		r.untilClosed(t, tt.records)
	}
	recs := r.untilClosed(t, 4)
	if recs[0].Detail["cut"] != true || recs[2].Detail["cut"] != true || recs[2].Type != "model.response" || recs[3].Decision.Verdict != "deny" || r.reached() != 1 {
		t.Errorf("%+v", recs)
	}
}
