package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	countersign "github.com/countersign/countersign"
)

// slowVault does not answer for one provider until it is told to.
type slowVault struct {
	KeySource
	slow     string
	asked    chan struct{}
	released chan struct{}
}

func (s slowVault) Key(ctx context.Context, p *Provider) (string, error) {
	if p.Name == s.slow {
		s.asked <- struct{}{}
		<-s.released
	}
	return s.KeySource.Key(ctx, p)
}

// A vault that does not answer holds up the calls of its own provider, and nobody
// else's, however many of them wait.
func TestASlowVaultHoldsUpItsOwnCallsOnly(t *testing.T) {
	vault := slowVault{slow: "openai", asked: make(chan struct{}, 64), released: make(chan struct{})}
	r := newRig(t, okAnswer, func(o *Options) {
		vault.KeySource = o.Keys
		o.Keys = vault
	})
	n := runtime.GOMAXPROCS(0) + 2
	done := make(chan int, n)
	for range n {
		go func() {
			resp, _ := r.do(t, "POST", "/v1/chat/completions", `{"model":"gpt-x"}`, "Authorization", "Bearer "+token)
			done <- resp.StatusCode
		}()
	}
	<-vault.asked // the others wait for the same answer
	other := make(chan int, 1)
	go func() {
		resp, _ := r.do(t, "POST", "/v1/messages", `{"model":"claude-x"}`, "X-Api-Key", token)
		other <- resp.StatusCode
	}()
	select {
	case status := <-other:
		if status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	case <-time.After(20 * time.Second):
		t.Error("the other provider's call waits")
	}
	close(vault.released)
	for range n {
		if status := <-done; status != http.StatusOK {
			t.Errorf("status %d of a call that waited", status)
		}
	}
}

// What goes wrong in the writing of an answer's record closes the door, and ends
// nothing else: a record is missing. Beside the agent, or before it has its answer.
func TestAPanicAtARecordClosesTheDoor(t *testing.T) {
	for name, provider := range map[string]http.HandlerFunc{
		"later": okAnswer, "first": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
	} {
		r := newRig(t, provider)
		r.book.whole = func(rec countersign.Record) error {
			if rec.Type == "model.response" {
				panic("an index")
			}
			return nil
		}
		closed := false
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && !closed; time.Sleep(time.Millisecond) {
			_, body := r.do(t, "POST", "/v1/messages", `{"model":"claude-x"}`, "X-Api-Key", token)
			closed = strings.Contains(body, "cannot record")
		}
		if !closed {
			t.Errorf("%s: the door is open without a record", name)
		}
		r.door.Close()
	}
}

// For who has hung up nothing is read or searched, whoever is at it.
func TestWhoHungUpCostsNothing(t *testing.T) {
	r := newRig(t, okAnswer)
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	req := httptest.NewRequest("POST", "/v1/messages", strings.NewReader(`{"model":"claude-x"}`)).WithContext(gone)
	c := call{g: r.door.gateway, w: httptest.NewRecorder(), r: req}
	for range 100 { // whether a place is free or not
		if err := c.work(func() error { t.Error("it was done"); return nil }); err == nil || err.Error() != hungUp {
			t.Fatalf("got %v", err)
		}
	}
	for range cap(c.g.examining) {
		c.g.examining <- struct{}{}
	}
	if err := c.work(func() error { t.Error("it was done"); return nil }); err == nil {
		t.Error("no error where no place is free")
	}
	for range cap(c.g.examining) {
		<-c.g.examining
	}
	c.wire, c.route, _ = c.g.routeOf(req)
	if _, ok := c.examine([]byte(`{"model":"claude-x"}`)); ok {
		t.Error("the request of who hung up may leave")
	}
	if r.reached() != 0 {
		t.Error("it has left")
	}
}

// The agent may come back with what the provider said before the answer's end has
// come: what it said is waited for, and not blocked as a secret of the project's.
func TestBackBeforeTheAnswersEnd(t *testing.T) {
	secret := "ghp_" + "Zx8Kq2Lm5Np7Rs9Tv1Wb3Yc6Dd4Ee0Ff8Gg2"
	end := make(chan struct{})
	first := true
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		if !first {
			okAnswer(w, req)
			return
		}
		first = false
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, `data: {"type":"message_start","message":{"model":"claude-x","usage":{"input_tokens":1}}}

data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"they gave me `+secret+`, so"}}

data: {"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":4}}

data: {"type":"message_stop"}

`)
		_ = http.NewResponseController(w).Flush()
		<-end // the connection's end comes later
	})
	resp := r.begin(t, "POST", "/v1/messages", `{"model":"claude-x","stream":true}`, "X-Api-Key", token)
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	for line := ""; !strings.Contains(line, "message_stop"); {
		var err error
		if line, err = in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	time.AfterFunc(50*time.Millisecond, func() { close(end) }) // while the next turn waits
	next := `{"model":"claude-x","messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"they gave me ` + secret + `, so","signature":"x"}]}]}`
	if again, body := r.do(t, "POST", "/v1/messages", next, "X-Api-Key", token); again.StatusCode != http.StatusOK {
		t.Errorf("%d %s", again.StatusCode, body)
	}
}

// vaultOnce does not answer the first time it is asked.
type vaultOnce struct {
	asked atomic.Int64
	key   string
}

func (v *vaultOnce) Key(context.Context, *Provider) (string, error) {
	if v.asked.Add(1) == 1 {
		return "", errors.New("the vault is busy")
	}
	return v.key, nil
}

// A request is searched for the key with which it leaves, or it does not leave.
func TestNothingLeavesUnsearchedForItsKey(t *testing.T) {
	vault := &vaultOnce{key: "correct horse battery staple of the company"}
	var now atomic.Int64
	r := newRig(t, okAnswer, func(o *Options) {
		o.Keys = vault
		o.Now = func() time.Time { return time.Unix(3*now.Add(1), 0) } // no failure is remembered for so long
	})
	for range 2 {
		resp, body := r.do(t, "POST", "/v1/messages", `{"model":"claude-x","messages":[{"role":"user","content":"it is `+vault.key+`, see"}]}`, "X-Api-Key", token)
		if resp.StatusCode == http.StatusOK || r.reached() != 0 {
			t.Errorf("%d %s; %d have left", resp.StatusCode, body, r.reached())
		}
	}
}

// Room is made for what has come, not for what is said to come.
func TestWhatIsOnlySaidToComeTakesNoRoom(t *testing.T) {
	r := newRig(t, okAnswer)
	req := httptest.NewRequest("POST", "/v1/messages", strings.NewReader("{"))
	req.ContentLength = maxBody
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c := call{g: r.door.gateway, r: req}
	if _, err := c.read(); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 {
		t.Errorf("one byte took %d bytes", took)
	}
}

// Several lists that are put together are no attempts of one request.
func TestListsOfManyAreNoAttempts(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"object":"list","data":[{"id":"m"}]}`)
	})
	r.do(t, "GET", "/v1/models", "", "Authorization", "Bearer "+token)
	asked := 0
	for _, rec := range r.untilClosed(t, 4) {
		if rec.Type == "model.request" {
			if asked++; rec.Detail["attempt"] != nil {
				t.Errorf("%s is attempt %v", rec.Model.Provider, rec.Detail["attempt"])
			}
		}
	}
	if asked < 2 {
		t.Errorf("%d were asked: nothing was tested", asked)
	}
}

// brokenWriter stands for whatever fails while an answer is handed through.
type brokenWriter struct{ http.ResponseWriter }

func (brokenWriter) Write([]byte) (int, error) { panic("an index") }

// A call that fails while its answer is handed through is on record with what there
// was of it.
func TestAPanicInAnAnswerIsOnRecord(t *testing.T) {
	r := newRig(t, okAnswer)
	req := httptest.NewRequest("POST", "/v1/messages", strings.NewReader(`{"model":"claude-x"}`))
	req.Header.Set("X-Api-Key", token)
	func() {
		defer func() {
			if p := recover(); p != http.ErrAbortHandler {
				t.Errorf("it ends with %v", p)
			}
		}()
		r.door.ServeHTTP(brokenWriter{httptest.NewRecorder()}, req)
	}()
	recs := r.untilClosed(t, 2)
	if last := recs[len(recs)-1]; last.Type != "model.response" || last.Outcome.Status != "failed" || last.Detail["partial"] != true {
		t.Errorf("%+v", last)
	}
}
