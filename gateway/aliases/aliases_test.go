package aliases

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestElsewhere(t *testing.T) {
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		b, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/api/show" || r.Method != http.MethodPost || r.Header.Get("Authorization") != "Bearer k" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		name := strings.Split(string(b), `"`)[3]
		switch name {
		case "alias":
			fmt.Fprint(w, `{"remote_model":"big","remote_host":"https://ollama.com:443","details":{}}`)
		case "half":
			fmt.Fprint(w, `{"remote_model":"big"}`)
		case "here":
			fmt.Fprint(w, `{"details":{"family":"x"},"remote_host":""}`)
		case "studio":
			fmt.Fprint(w, `{"error":"Unexpected endpoint"}`)
		case "broken":
			fmt.Fprint(w, `{"details":`)
		case "ill":
			w.WriteHeader(http.StatusInternalServerError)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer srv.Close()
	at := time.Unix(1_800_000_000, 0)
	f := New(http.DefaultTransport, func() time.Time { return at })
	ask := func(base, model string) string {
		there, err := f.Elsewhere(t.Context(), base, model, func(h http.Header) { h.Set("Authorization", "Bearer k") })
		if err != nil {
			return "error"
		}
		return fmt.Sprint(there)
	}
	for model, want := range map[string]string{"alias": "true", "half": "true", "here": "false", "studio": "false", "broken": "error", "ill": "error", "none": "false"} {
		if got := ask(srv.URL+"/", model); got != want {
			t.Errorf("%s: %s", model, got)
		}
	}
	before := asked.Load()
	if ask(srv.URL+"/", "alias") != "true" || asked.Load() != before {
		t.Error("an answer is not remembered")
	}
	at = at.Add(fresh)
	if ask(srv.URL+"/", "alias") != "true" || asked.Load() != before+1 {
		t.Error("an answer is remembered for too long")
	}
	srv.Close()
	at = at.Add(fresh)
	if ask(srv.URL+"/", "alias") != "error" {
		t.Error("a server that is gone says nothing")
	}
}
