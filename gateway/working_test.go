package gateway

import (
	"context"
	"net/http"
	"runtime"
	"strings"
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
// nothing else: a record is missing.
func TestAPanicBesideTheAgentClosesTheDoor(t *testing.T) {
	r := newRig(t, okAnswer)
	r.book.whole = func(rec countersign.Record) error {
		if rec.Type == "model.response" {
			panic("an index")
		}
		return nil
	}
	status := 0
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && (status == 0 || status == http.StatusOK); time.Sleep(time.Millisecond) {
		resp, body := r.do(t, "POST", "/v1/messages", `{"model":"claude-x"}`, "X-Api-Key", token)
		if status = resp.StatusCode; status != http.StatusOK && !strings.Contains(body, "cannot record") {
			t.Fatalf("%d %s", status, body)
		}
	}
	if status == http.StatusOK {
		t.Error("the door is open without a record")
	}
	r.door.Close()
}
