package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	countersign "github.com/countersign/countersign"
)

// leaf is a record as a ledger called node has it.
func leaf(node string, seq int) []byte {
	return fmt.Appendf(nil, `{"v":1,"id":"%s-%d","node":"%s","epoch":1,"seq":%d,"prev":"sha256:00","t":{"wall":"2026-11-28T10:00:%02d.000000000Z","mono_ns":1},"type":"test","later":12345678901234567890}`, node, seq, node, seq, seq%60)
}

func ledgerOf(node string, n int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for seq := 1; seq <= n; seq++ {
			if !yield(leaf(node, seq), nil) {
				return
			}
		}
	}
}

// siem is a receiver that keeps lines, and answers as it is told.
type siem struct {
	*httptest.Server
	mu     sync.Mutex
	lines  []string
	answer func(n int) (status int, keep bool) // of the nth post
	posts  int
}

func newSIEM(t *testing.T, answer func(n int) (int, bool)) *siem {
	s := &siem{answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.posts++
		status, keep := s.answer(s.posts)
		if keep {
			s.lines = append(s.lines, strings.Split(strings.TrimSpace(string(b)), "\n")...)
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	return s
}

func always(status int) func(int) (int, bool) {
	return func(int) (int, bool) { return status, status < 300 }
}

func (s *siem) run(t *testing.T, lines iter.Seq2[[]byte, error], cursor string, change ...func(*Options)) (int, error) {
	t.Helper()
	sink, err := NewHTTP(s.URL, http.Header{}, JSONL{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	c, err := OpenCursor(cursor)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Lines: lines, Sink: sink, Cursor: c, Wait: time.Hour}
	for _, f := range change {
		f(&o)
	}
	return Run(t.Context(), o)
}

// Every record arrives once and as it is, whatever number of runs it takes.
func TestGoesOnBehindTheCursor(t *testing.T) {
	s, cursor := newSIEM(t, always(200)), filepath.Join(t.TempDir(), "c")
	for _, n := range []int{0, 1, 3, 3, maxLines + 7, 3*maxLines + 7} {
		if _, err := s.run(t, ledgerOf("a", n), cursor); err != nil {
			t.Fatal(err)
		}
	}
	for i, l := range s.lines {
		if l != string(leaf("a", i+1)) {
			t.Fatalf("line %d is %s", i, l)
		}
	}
	if len(s.lines) != 3*maxLines+7 {
		t.Errorf("%d lines", len(s.lines))
	}
}

// What a receiver refuses, or takes without saying so, comes again.
func TestCursorMovesOnlyWithTheReceiver(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(int) (int, bool)
		twice  bool
	}{
		{"refused", func(n int) (int, bool) { return map[bool]int{true: 400, false: 200}[n == 2], n != 2 }, false},
		{"taken, the answer is lost", func(n int) (int, bool) { return map[bool]int{true: 500, false: 200}[n == 2], true }, true},
		{"a redirect", func(n int) (int, bool) { return map[bool]int{true: 302, false: 200}[n == 2], n != 2 }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, cursor := newSIEM(t, tt.answer), filepath.Join(t.TempDir(), "c")
			sent, err := s.run(t, ledgerOf("a", 2*maxLines), cursor)
			if err == nil || sent != maxLines {
				t.Fatalf("%d %v", sent, err)
			}
			if c, err := OpenCursor(cursor); err != nil || c.Seq != maxLines || c.ID != fmt.Sprint("a-", maxLines) {
				t.Errorf("%+v %v", c, err)
			}
			if _, err := s.run(t, ledgerOf("a", 2*maxLines), cursor); err != nil {
				t.Fatal(err)
			}
			seen := map[string]int{}
			for _, l := range s.lines {
				seen[l]++
			}
			if len(seen) != 2*maxLines || (len(s.lines) > 2*maxLines) != tt.twice {
				t.Errorf("%d lines, %d of them different", len(s.lines), len(seen))
			}
		})
	}
}

func TestBusyReceiverIsAskedAgain(t *testing.T) {
	s, cursor := newSIEM(t, func(n int) (int, bool) { return map[bool]int{true: 503, false: 200}[n < 3], n >= 3 }), filepath.Join(t.TempDir(), "c")
	asked := 0
	sent, err := s.run(t, ledgerOf("a", 2), cursor, func(o *Options) {
		o.Retry = func(context.Context, int, time.Duration, error) bool { asked++; return true }
	})
	if err != nil || sent != 2 || asked != 2 {
		t.Errorf("%d, asked again %d times, %v", sent, asked, err)
	}
	down := newSIEM(t, always(200))
	down.Close()
	_, err = down.run(t, ledgerOf("a", 2), cursor+"2", func(o *Options) {
		o.Retry = func(_ context.Context, tries int, _ time.Duration, _ error) bool { return tries < 3 }
	})
	if busy := (*Busy)(nil); !errors.As(err, &busy) {
		t.Errorf("%v", err)
	}
}

// A cursor of another ledger, or of one that was cut, is not gone on from.
func TestAnotherLedgerIsNoticed(t *testing.T) {
	s, cursor := newSIEM(t, always(200)), filepath.Join(t.TempDir(), "c")
	if _, err := s.run(t, ledgerOf("a", 5), cursor); err != nil {
		t.Fatal(err)
	}
	late := func(yield func([]byte, error) bool) { yield(leaf("a", 9), nil) }
	for name, lines := range map[string]iter.Seq2[[]byte, error]{"cut": ledgerOf("a", 4), "another": ledgerOf("b", 9), "empty": ledgerOf("a", 0), "its beginning gone": late} {
		if _, err := s.run(t, lines, cursor); countersign.CodeOf(err) != countersign.EVerify {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(s.lines) != 5 {
		t.Errorf("%d lines", len(s.lines))
	}
	for _, bad := range []string{"", "{}", `{"version":2,"seq":1,"id":"x"}`, "x"} {
		if err := os.WriteFile(cursor, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenCursor(cursor); countersign.CodeOf(err) != countersign.EInvalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A record that nobody wants moves the cursor too, and a batch that waits for
// more is sent after a while.
func TestWantsAndWaits(t *testing.T) {
	s, cursor := newSIEM(t, always(204)), filepath.Join(t.TempDir(), "c")
	more := make(chan struct{})
	lines := func(yield func([]byte, error) bool) {
		for seq := 1; seq <= 4; seq++ {
			if !yield(leaf("a", seq), nil) {
				return
			}
		}
		<-more
	}
	done := make(chan error, 1)
	go func() {
		_, err := s.run(t, lines, cursor, func(o *Options) {
			o.Wait = time.Millisecond
			o.Wants = func(r countersign.Record) bool { return r.Seq%2 == 0 }
		})
		done <- err
	}()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if c, err := OpenCursor(cursor); err == nil && c.Seq == 4 {
			break
		}
	}
	close(more)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{string(leaf("a", 2)), string(leaf("a", 4))}, s.lines); diff != "" {
		t.Error(diff)
	}
	if c, err := OpenCursor(cursor); err != nil || c.Seq != 4 {
		t.Errorf("%+v %v", c, err)
	}
}

func TestAddresses(t *testing.T) {
	for address, good := range map[string]bool{
		"https://siem.example.com/in": true, "http://127.0.0.1:4318": true, "http://localhost": true,
		"http://siem.example.com": false, "https://u:p@siem.example.com": false, "ftp://x": false, "https://": false, "http://127.0.0.1.evil.example": false,
	} {
		if _, err := NewHTTP(address, nil, JSONL{}, time.Now); (err == nil) != good {
			t.Errorf("%s: %v", address, err)
		}
	}
}

const answered = `{"v":1,"id":"r1","node":"n","epoch":1,"seq":7,"prev":"sha256:00","t":{"wall":"2026-11-28T10:00:02.000000000Z","mono_ns":1},"type":"model.response","session":"s1","parent":"q1","actor":{"kind":"agent","id":"ci"},"agent":{"name":"ci"},"outcome":{"status":"ok"},"model":{"provider":"azure-eu","requested":"gpt-x","served":"gpt-x-2026","wire":"azure-chat"},"usage":{"input":10,"output":7,"cache_read":5,"cache_write":3,"reasoning":2},"cost":{"nano_usd":12000,"table":"v1"},"payloads":[{"role":"answer","media":"application/json","len":1,"commit":"sha256:1","ct":"sha256:2","kek":"month/2026-11"}],"detail":{"duration_ms":1500,"ttft_ms":250,"status":200,"stop":"stop","user":"u","project":"p"}}`

func lineOf(t *testing.T, s string) Line {
	t.Helper()
	l := Line{JSON: []byte(s)}
	if err := json.Unmarshal(l.JSON, &l.Record); err != nil {
		t.Fatal(err)
	}
	return l
}

// An answer of a model is a span with the attributes of the GenAI conventions.
func TestSpanOfAnAnswer(t *testing.T) {
	posts, err := OTLP{Version: "v"}.Posts([]Line{lineOf(t, answered), lineOf(t, string(leaf("n", 8)))})
	if err != nil || len(posts) != 2 || posts[0].Path != "v1/logs" || posts[1].Path != "v1/traces" {
		t.Fatalf("%v %+v", err, posts)
	}
	var traces struct {
		ResourceSpans []struct {
			Resource   struct{ Attributes []kv }
			ScopeSpans []struct{ Spans []span }
		}
	}
	if err := json.Unmarshal(posts[1].Body, &traces); err != nil {
		t.Fatal(err)
	}
	if len(traces.ResourceSpans[0].ScopeSpans[0].Spans) != 1 {
		t.Fatalf("%s", posts[1].Body)
	}
	s := traces.ResourceSpans[0].ScopeSpans[0].Spans[0]
	end := time.Date(2026, 11, 28, 10, 0, 2, 0, time.UTC)
	if s.Name != "chat gpt-x" || s.Kind != 3 || s.End != fmt.Sprint(end.UnixNano()) || s.Start != fmt.Sprint(end.Add(-1500*time.Millisecond).UnixNano()) || len(s.TraceID) != 32 || len(s.SpanID) != 16 || s.Status != nil {
		t.Errorf("%+v", s)
	}
	want := map[string]string{
		"gen_ai.operation.name": `"chat"`, "gen_ai.provider.name": `"azure.ai.openai"`, "gen_ai.request.model": `"gpt-x"`, "gen_ai.response.model": `"gpt-x-2026"`,
		"gen_ai.usage.input_tokens": "18", "gen_ai.usage.output_tokens": "7", "gen_ai.usage.cache_read.input_tokens": "5", "gen_ai.usage.cache_creation.input_tokens": "3",
		"gen_ai.usage.reasoning.output_tokens": "2", "gen_ai.response.finish_reasons": `["stop"]`, "gen_ai.response.time_to_first_chunk": "0.25", "gen_ai.agent.name": `"ci"`,
		"gen_ai.conversation.id": `"s1"`, "session.id": `"s1"`, "http.response.status_code": "200", "countersign.provider": `"azure-eu"`, "countersign.record.id": `"r1"`, "countersign.record.seq": "7",
		"countersign.request.id": `"q1"`, "countersign.cost.table": `"v1"`, "countersign.cost.nano_usd": "12000", "countersign.user": `"u"`, "countersign.project": `"p"`,
	}
	if diff := cmp.Diff(want, plain(s.Attributes)); diff != "" {
		t.Error(diff)
	}
	var logs struct {
		ResourceLogs []struct {
			ScopeLogs []struct{ LogRecords []logRecord }
		}
	}
	if err := json.Unmarshal(posts[0].Body, &logs); err != nil {
		t.Fatal(err)
	}
	rs := logs.ResourceLogs[0].ScopeLogs[0].LogRecords
	if len(rs) != 2 || *rs[0].Body.String != answered || rs[0].SpanID != s.SpanID || rs[0].Severity != 9 || rs[1].SpanID != "" || rs[1].EventName != "countersign.test" {
		t.Errorf("%+v", rs)
	}
}

func plain(as []kv) map[string]string {
	out := map[string]string{}
	for _, a := range as {
		v := a.Value
		switch {
		case v.String != nil:
			out[a.Key] = fmt.Sprintf("%q", *v.String)
		case v.Int != nil:
			out[a.Key] = *v.Int
		case v.Double != nil:
			out[a.Key] = fmt.Sprint(*v.Double)
		case v.Array != nil:
			out[a.Key] = fmt.Sprintf("[%q]", *v.Array.Values[0].String)
		}
	}
	return out
}

func TestFailedAndRefused(t *testing.T) {
	failed := lineOf(t, strings.NewReplacer(`"status":"ok"`, `"status":"failed","error":"cut"`, `"wire":"azure-chat"`, `"wire":"gemini"`).Replace(answered))
	s, ok := spanOf(failed.Record, time.Now())
	if !ok || s.Status == nil || s.Status.Code != 2 || s.Status.Message != "cut" || plain(s.Attributes)["error.type"] != `"failed"` || s.Name != "generate_content gpt-x" {
		t.Errorf("%+v", s)
	}
	for _, wire := range []string{"openai-models", "anthropic-count", "gemini-models", "ollama-version", "anthropic-batch"} {
		if _, ok := spanOf(lineOf(t, strings.Replace(answered, "azure-chat", wire, 1)).Record, time.Now()); ok {
			t.Errorf("%s is a call of a model", wire)
		}
	}
	for body, good := range map[string]bool{"": true, "{}": true, `{"partialSuccess":{}}`: true, `{"partialSuccess":{"rejectedLogRecords":"0"}}`: true, `{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"too old"}}`: false, `{"partialSuccess":{"rejectedSpans":1}}`: false} {
		if err := (OTLP{}).Taken([]byte(body)); (err == nil) != good {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// Who is told to end ends well: the cursor says where to go on, whatever was
// under way.
func TestToldToEnd(t *testing.T) {
	cursor := filepath.Join(t.TempDir(), "cursor")
	s := newSIEM(t, always(http.StatusOK))
	if n, err := s.run(t, ledgerOf("n", 3), cursor); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	kept, err := os.ReadFile(cursor)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	run := func(lines iter.Seq2[[]byte, error]) (int, error) {
		sink, err := NewHTTP(s.URL, http.Header{}, JSONL{}, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		c, err := OpenCursor(cursor)
		if err != nil {
			t.Fatal(err)
		}
		return Run(ctx, Options{Lines: lines, Sink: sink, Cursor: c, Wait: time.Hour, Retry: func(ctx context.Context, _ int, _ time.Duration, _ error) bool { return ctx.Err() == nil }})
	}
	// Before the cursor's record was reached.
	if n, err := run(ledgerOf("n", 2)); n != 0 || err != nil {
		t.Error(n, err)
	}
	// While the receiver is busy: the rest comes with the next start.
	s.answer = always(http.StatusServiceUnavailable)
	if n, err := run(ledgerOf("n", 5)); n != 0 || err != nil {
		t.Error(n, err)
	}
	if now, _ := os.ReadFile(cursor); string(now) != string(kept) {
		t.Errorf("the cursor moved to %s", now)
	}
	// A receiver that refuses is an error all the same.
	s.answer = always(http.StatusBadRequest)
	if _, err := run(ledgerOf("n", 5)); err == nil {
		t.Error("a refusal is no error")
	}
	s.answer = always(http.StatusOK)
	if n, err := run(ledgerOf("n", 5)); n != 2 || err != nil {
		t.Error(n, err)
	}
}
