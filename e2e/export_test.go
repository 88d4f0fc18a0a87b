package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// collector is an OpenTelemetry collector that takes some of what it is sent.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	logs  map[string]int // bodies, which are the leaves
	spans map[string]int // span ids
	busy  int            // how many posts it turns away first
}

func newCollector(t *testing.T) *collector {
	c := &collector{logs: map[string]int{}, spans: map[string]int{}, busy: 1}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.busy > 0 {
			c.busy--
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if r.Header.Get("X-Tenant") != "acme" || r.Header.Get("Content-Type") != "application/json" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		c.take(t, b)
		fmt.Fprint(w, `{"partialSuccess":{}}`)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) take(t *testing.T, b []byte) {
	var v struct {
		ResourceLogs []struct {
			ScopeLogs []struct {
				LogRecords []struct{ Body struct{ StringValue string } }
			}
		}
		ResourceSpans []struct {
			ScopeSpans []struct{ Spans []struct{ SpanID string } }
		}
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Errorf("%v in %.200s", err, b)
	}
	for _, r := range v.ResourceLogs {
		for _, l := range r.ScopeLogs[0].LogRecords {
			c.logs[l.Body.StringValue]++
		}
	}
	for _, r := range v.ResourceSpans {
		for _, s := range r.ScopeSpans[0].Spans {
			c.spans[s.SpanID]++
		}
	}
}

// While agents call, the record goes out to a collector; the exporter is killed
// and started again: everything arrives, and each answer is one span.
func TestExportWhileAgentsCall(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	provider, c := newCounted(t), newCollector(t)
	s := serveStanding(w, provider.URL)
	w.write("headers", "X-Tenant: acme\n")
	w.exec("chmod", "600", "headers")
	args := []string{"export", "--format", "otlp", "--to", c.URL, "--cursor", filepath.Join(w.root, "state", "cursor"), "--header-file", "headers", "--follow"}
	for range 3 {
		j := w.start(args...)
		s.load(&load{}, 60, nil)
		eventually(t, "some of it has arrived", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.logs) > 20 })
		syscall.Kill(j.cmd.Process.Pid, syscall.SIGKILL)
		<-j.done
	}
	if r := s.end(syscall.SIGTERM); r.code != 0 {
		t.Errorf("%+v", r)
	}
	eventually(t, "the ledger process ended", func() bool { return len(w.ledgers()) == 0 })
	j := w.start(args...)
	want := strings.Split(strings.TrimSpace(w.must("log", "--json").out), "\n")
	eventually(t, "all of it has arrived", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.logs) >= len(want) })
	_ = j.cmd.Process.Signal(syscall.SIGTERM)
	if r := j.wait(); r.code != 0 {
		t.Errorf("%+v", r)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	answers, twice := 0, 0
	for _, l := range want {
		if c.logs[l] == 0 {
			t.Errorf("did not arrive: %s", l)
		}
		if c.logs[l] > 1 {
			twice++
		}
		if strings.Contains(l, `"type":"model.response"`) {
			answers++
		}
	}
	if len(c.logs) != len(want) || len(c.spans) != answers || answers == 0 {
		t.Errorf("%d records of %d arrived, %d spans of %d", len(c.logs), len(want), len(c.spans), answers)
	}
	t.Logf("%d records, %d spans; %d came twice", len(want), answers, twice)
}
