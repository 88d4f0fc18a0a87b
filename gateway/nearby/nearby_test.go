package nearby

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func says(t *testing.T, path, answer string) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestFinds(t *testing.T) {
	ollama, studio := says(t, "/api/version", `{"version":"0.14.0"}`), says(t, "/lmstudio-greeting", `{"lmstudio":true}`)
	stranger := says(t, "/api/version", `<html>`)
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(silent.Close)
	closed := httptest.NewServer(nil)
	closed.Close()
	away := httptest.NewServer(http.RedirectHandler(ollama.URL+"/api/version", http.StatusFound))
	t.Cleanup(away.Close)
	tests := []struct {
		name, ollama, studio string
		want                 []Server
	}{
		{"both", ollama.URL, studio.URL, []Server{{"ollama", ollama.URL}, {"lmstudio", studio.URL}}},
		{"one", closed.URL, studio.URL, []Server{{"lmstudio", studio.URL}}},
		{"something else", stranger.URL, silent.URL, nil},
		{"a redirect", away.URL, closed.URL, nil},
		{"elsewhere", "", closed.URL, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, at(tt.ollama, tt.studio, time.Now).Find(t.Context())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLooksAgainAfterAWhile(t *testing.T) {
	now := time.Now()
	s := says(t, "/api/version", `{"version":"1"}`)
	f := at(s.URL, "http://127.0.0.1:1", func() time.Time { return now })
	if len(f.Find(t.Context())) != 1 {
		t.Fatal("not found")
	}
	s.Close()
	if len(f.Find(t.Context())) != 1 {
		t.Error("looked again at once")
	}
	if now = now.Add(fresh); len(f.Find(t.Context())) != 0 {
		t.Error("not looked again")
	}
}

// A server that was found and is too busy to answer is still there; one that never
// said who it is is not, and is asked again sooner.
func TestBusyServersStay(t *testing.T) {
	now := time.Now()
	var busy atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if busy.Load() {
			<-r.Context().Done()
		}
		_, _ = io.WriteString(w, `{"version":"1"}`)
	}))
	t.Cleanup(s.Close)
	f := at(s.URL, "http://127.0.0.1:1", func() time.Time { return now })
	if len(f.Find(t.Context())) != 1 {
		t.Fatal("not found")
	}
	busy.Store(true)
	now = now.Add(fresh)
	if len(f.Find(t.Context())) != 1 {
		t.Error("a busy server is gone")
	}
	other := at(s.URL, "http://127.0.0.1:1", func() time.Time { return now })
	if len(other.Find(t.Context())) != 0 {
		t.Error("who said nothing was found")
	}
	busy.Store(false)
	if now = now.Add(doubt); len(other.Find(t.Context())) != 1 {
		t.Error("not asked again")
	}
}

func TestOllamaHost(t *testing.T) {
	for in, want := range map[string]string{
		"": "http://127.0.0.1:11434", "127.0.0.1:9": "http://127.0.0.1:9", "localhost": "http://localhost:11434", "http://127.0.0.2:80/": "http://127.0.0.2:80",
		":5000": "http://127.0.0.1:5000", "0.0.0.0": "http://127.0.0.1:11434", "[::1]:7": "http://[::1]:7", "[::]:7": "http://127.0.0.1:7",
		"192.0.2.1:11434": "", "ollama.example.com": "", "https://localhost": "", "http://%": "", "localhost.evil.example": "",
	} {
		if got := ollamaURL(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// A port that another person of the machine took first is left alone.
func TestAnothersPortIsLeftAlone(t *testing.T) {
	s := says(t, "/api/version", `{"version":"1"}`)
	u, _ := url.Parse(s.URL)
	f := at(s.URL, "http://127.0.0.1:1", time.Now)
	f.mine = func(port string) bool { return port != u.Port() }
	if got := f.Find(t.Context()); got != nil {
		t.Errorf("%v", got)
	}
	if runtime.GOOS != "linux" {
		return
	}
	if !trusted(u.Port()) {
		t.Error("our own port is another's")
	}
	n, _ := strconv.Atoi(u.Port())
	table := fmt.Sprintf("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:%04X 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1234        0 1 1\n   1: 0100007F:%04X 0100007F:1 01 00000000:00000000 00:00000000 00000000  77        0 1 1\n", n, n)
	if got := listeners([]byte(table), uint16(n)); len(got) != 1 || got[0] != "1234" {
		t.Errorf("%v", got)
	}
}
