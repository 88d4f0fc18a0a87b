package serving

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// Whoever comes while it ends is either inside, and waited for, or gets in no more.
func TestCallsEndWhileOthersCome(t *testing.T) {
	for range 20 {
		var c calls
		var inside, come atomic.Int64
		var over atomic.Bool
		var gone sync.WaitGroup
		for range 4 {
			gone.Go(func() {
				for c.enter() {
					inside.Add(1)
					come.Add(1)
					if over.Load() {
						t.Error("got in when all was over")
					}
					inside.Add(-1)
					c.leave()
				}
			})
		}
		for come.Load() < 100 { // they come and go, on every processor
			runtime.Gosched()
		}
		<-c.end()
		over.Store(true)
		if n := inside.Load(); n != 0 {
			t.Errorf("%d inside when all was over", n)
		}
		gone.Wait()
		<-c.end() // a second time, after patience with the first
		if c.enter() {
			t.Error("got in after the end")
		}
	}
}

// The end waits for every call under way; one that comes then is told so, and its
// connection ends.
func TestCallsUnderWay(t *testing.T) {
	var c calls
	var over <-chan struct{}
	begun := 0
	var h http.Handler
	h = c.of(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if begun++; begun > 1 {
			return
		}
		over = c.end()
		late := httptest.NewRecorder()
		h.ServeHTTP(late, httptest.NewRequest(http.MethodPost, "/v1/messages", nil))
		if late.Code != http.StatusServiceUnavailable || late.Header().Get("Connection") != "close" {
			t.Errorf("who is late gets %d %v", late.Code, late.Header())
		}
		select {
		case <-over:
			t.Error("over with a call under way")
		default:
		}
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/v1/messages", nil))
	<-over
	if begun != 1 {
		t.Errorf("%d calls began", begun)
	}
}
