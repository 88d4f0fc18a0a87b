package e2e

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// counted is a provider that counts each call by the id that its client gave it,
// and streams a small answer.
type counted struct {
	*httptest.Server
	mu   sync.Mutex
	seen map[string]int
}

func newCounted(t *testing.T) *counted {
	c := &counted{seen: map[string]int{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.seen[r.Header.Get("X-Client-Request-Id")]++
		c.mu.Unlock()
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 4 {
			fmt.Fprintf(w, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"%d\"}}\n\n", i)
			w.(http.Flusher).Flush()
			select {
			case <-time.After(3 * time.Millisecond):
			case <-r.Context().Done():
				return
			}
		}
		fmt.Fprint(w, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")
	}))
	t.Cleanup(c.Close)
	return c
}

// load is agents that call without a pause, a tenth of them hanging up early,
// until stop is closed or the calls are used up.
type load struct {
	whole, aborted, refused, failed atomic.Int64
}

const workers = 256

func (s *standing) load(l *load, calls int, stop <-chan struct{}) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers, MaxConnsPerHost: 2 * workers}}
	defer client.CloseIdleConnections()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				n := int(next.Add(1))
				select {
				case <-stop:
					return
				default:
				}
				if n > calls {
					return
				}
				s.one(client, l, n)
			}
		})
	}
	wg.Wait()
}

// one calls once. Of the aborted, half hang up at a moment of their own, half at
// the answer's first byte.
func (s *standing) one(client *http.Client, l *load, n int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	switch n % 20 {
	case 0:
		time.AfterFunc(time.Duration(rand.Int64N(int64(15*time.Millisecond))), cancel)
	case 10:
		ctx = context.WithValue(ctx, firstByte{}, cancel)
	}
	code, body, err := s.say(ctx, client, hello, "X-Api-Key", s.token, "X-Client-Request-Id", fmt.Sprintf("%s-%d", s.url, n))
	switch {
	case err != nil && ctx.Err() != nil:
		l.aborted.Add(1)
	case err != nil:
		l.failed.Add(1)
	case code != http.StatusOK:
		l.refused.Add(1)
	case strings.Contains(body, "message_stop"):
		l.whole.Add(1)
	default:
		l.failed.Add(1)
	}
}

// balance compares what reached the provider with the record, call by call.
// lost says that a process was killed: then a record may be of a call that did
// not leave any more.
func (c *counted) balance(t *testing.T, w *world, lost bool) (calls int) {
	t.Helper()
	asked, answers, unsent := map[string]int{}, map[string]int{}, 0
	unheard := map[string]bool{} // calls that ended before the provider said a word
	id := map[string]string{}    // of the request's record
	for _, r := range w.log("--type", "model.*") {
		switch r.Type {
		case "model.request":
			if r.Decision.Verdict == "allow" {
				asked[fmt.Sprint(r.Detail["client_request"])]++
				id[r.ID] = fmt.Sprint(r.Detail["client_request"])
			}
		case "model.response":
			answers[id[r.Parent]]++
			if r.Detail["status"] == nil && r.Outcome.Status != "ok" {
				unheard[id[r.Parent]] = true
			}
			if r.Detail["unsent"] == true || r.Outcome.Status == "orphaned" {
				unsent++
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for call, n := range c.seen {
		if asked[call] != n {
			t.Errorf("call %s reached the provider %d times, is on record %d times", call, n, asked[call])
		}
	}
	for call, n := range asked {
		if answers[call] != n {
			t.Errorf("call %s has %d requests and %d answers on record", call, n, answers[call])
		}
	}
	for call := range asked {
		// Who hangs up while the bytes are on their way has a call that left and did
		// not arrive.
		if c.seen[call] == 0 && !unheard[call] {
			t.Errorf("call %s has an answer on record and did not reach the provider", call)
		}
	}
	if len(asked) > len(c.seen) && unsent == 0 && !lost {
		t.Errorf("%d requests on record, %d reached the provider, none did not leave", len(asked), len(c.seen))
	}
	t.Logf("%d reached the provider, %d on record, %d of them did not leave or were orphaned", len(c.seen), len(asked), unsent)
	w.must("verify")
	return len(c.seen)
}

func callsOfLoad() int {
	if os.Getenv("COUNTERSIGN_LONG") == "1" {
		return 50_000
	}
	return 2_000
}

// Calls that reached the provider equal records, with many agents at once and a
// tenth of them hanging up.
func TestEveryModelCallIsOnRecord(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	c := newCounted(t)
	s := serveStanding(w, c.URL)
	l := &load{}
	s.load(l, callsOfLoad(), nil)
	if r := s.end(syscall.SIGTERM); r.code != 0 {
		t.Errorf("%+v", r)
	}
	t.Logf("whole %d, aborted %d, refused %d, failed %d", l.whole.Load(), l.aborted.Load(), l.refused.Load(), l.failed.Load())
	if l.refused.Load() > 0 || l.failed.Load() > 0 || l.aborted.Load() == 0 {
		t.Error("not as it should be")
	}
	c.balance(t, w, false)
}

// The gateway, or its ledger, is killed in the middle of it: nothing that reached
// the provider is missing, and the next start says what it found.
func TestKillGatewayUnderLoad(t *testing.T) {
	for _, victim := range []string{"gateway", "ledger"} {
		t.Run(victim, func(t *testing.T) {
			w := newWorld(t, users()[len(users())-1])
			c := newCounted(t)
			s := serveStanding(w, c.URL)
			for round := range 3 {
				stop, l := make(chan struct{}), &load{}
				go func() {
					for l.whole.Load() < 20 {
						time.Sleep(time.Millisecond)
					}
					time.Sleep(time.Duration(rand.Int64N(int64(200 * time.Millisecond))))
					if victim == "gateway" {
						syscall.Kill(s.cmd.Process.Pid, syscall.SIGKILL)
					} else {
						for _, l := range w.ledgers() {
							syscall.Kill(l.pid, syscall.SIGKILL)
						}
					}
					<-s.done
					close(stop)
				}()
				s.load(l, 1_000_000, stop)
				eventually(t, "the ledger process ended", func() bool { return len(w.ledgers()) == 0 })
				s = serveStandingAgain(s)
				if !strings.Contains(s.err.String(), "without a word") {
					t.Errorf("round %d: the next start says %q", round, s.err.String())
				}
				t.Logf("round %d: whole %d, refused %d, failed %d", round, l.whole.Load(), l.refused.Load(), l.failed.Load())
				c.balance(t, w, true)
			}
			if r := s.end(syscall.SIGTERM); r.code != 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// The disk fills up in the middle of it: from then on nothing leaves.
func TestFullDiskUnderModelLoad(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	fill, free := w.smallDisk(64)
	c := newCounted(t)
	s := serveStanding(w, c.URL)
	stop, l := make(chan struct{}), &load{}
	go func() {
		for l.whole.Load() < 20 {
			time.Sleep(time.Millisecond)
		}
		fill()
		<-s.done
		close(stop)
	}()
	s.load(l, 1_000_000, stop)
	r := s.wait()
	if r.code != 1 || !strings.Contains(r.err, "space") && !strings.Contains(r.err, "ledger") {
		t.Errorf("%+v", r)
	}
	t.Logf("whole %d, refused %d, failed %d", l.whole.Load(), l.refused.Load(), l.failed.Load())
	free()
	eventually(t, "the ledger process ended", func() bool { return len(w.ledgers()) == 0 })
	again := serveStandingAgain(s)
	c.balance(t, w, true)
	if code, body, err := again.say(t.Context(), http.DefaultClient, hello); err != nil || code != 200 {
		t.Errorf("with space again: %d %s %v", code, body, err)
	}
	again.end(syscall.SIGTERM)
	w.must("verify")
}
