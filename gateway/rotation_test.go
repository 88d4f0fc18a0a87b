package gateway

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A key that changes is used at once, without a restart: a file's is seen to
// have changed, a vault's is asked for again when the provider refuses the old.
func TestKeysRotateWithoutRestart(t *testing.T) {
	secret := func(s string) string { return strings.Join([]string{"sk", "rotating", s}, "-") }
	good := ""
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("X-Api-Key") != good {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "invalid key "+req.Header.Get("X-Api-Key"))
			return
		}
		_, _ = io.WriteString(w, `{"type":"message"}`)
	})
	vault := filepath.Join(t.TempDir(), "vault")
	for i := range r.config.Providers {
		if p := &r.config.Providers[i]; p.Name == "anthropic" {
			p.Key = KeyRef{Command: []string{"cat", vault}, Dir: filepath.Dir(vault)}
		}
	}
	post := func(want int, calls int) string {
		t.Helper()
		before := r.reached()
		resp, body := r.do(t, "POST", "/v1/messages", `{"model":"m"}`, "X-Api-Key", token)
		if resp.StatusCode != want || r.reached()-before != calls {
			t.Errorf("status %d, %d calls: %s", resp.StatusCode, r.reached()-before, body)
		}
		return body
	}
	good = secret("one")
	write(t, vault, good)
	post(200, 1)
	good = secret("two")
	write(t, vault, good)
	post(200, 2) // the old key is refused, the new one is asked for
	post(200, 1)
	good = secret("three")
	if body := post(400, 1); strings.Contains(body, "rotating") || !strings.Contains(body, "keys set anthropic") {
		t.Errorf("%s", body)
	}
	recs := r.untilClosed(t, 2*r.reached())
	attempts, answers := 0, 0
	for _, rec := range recs {
		if rec.Type == "model.request" {
			attempts++
		} else {
			answers++
		}
	}
	if attempts != r.reached() || answers != r.reached() {
		t.Errorf("%d requests and %d answers on record, %d reached the provider", attempts, answers, r.reached())
	}
	for name, blob := range r.book.blobs {
		if strings.Contains(blob, "rotating") {
			t.Errorf("%s holds a key", name)
		}
	}
}

func TestKeyFileThatChangesIsReadAgain(t *testing.T) {
	got := make(chan string, 8)
	r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		got <- req.Header.Get("X-Api-Key")
		_, _ = io.WriteString(w, `{"type":"message"}`)
	})
	path := filepath.Join(t.TempDir(), "key")
	for i := range r.config.Providers {
		r.config.Providers[i].Key = KeyRef{File: path}
	}
	for i, want := range []string{"first-key-of-many", "second-key-of-many"} {
		write(t, path, want)
		at := time.Now().Add(time.Duration(i) * time.Second)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		if resp, body := r.do(t, "POST", "/v1/messages", `{"model":"m"}`, "X-Api-Key", token); resp.StatusCode != 200 {
			t.Fatal(body)
		}
		if key := <-got; key != want {
			t.Errorf("the provider got %q, want %q", key, want)
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	resp, body := r.do(t, "POST", "/v1/messages", `{"model":"m"}`, "X-Api-Key", token)
	if resp.StatusCode != 400 || !strings.Contains(body, "chmod 600") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// The second attempt lasts as long as itself, whatever the first took.
func TestTheSecondAttemptHasItsOwnTime(t *testing.T) {
	vault, calls := filepath.Join(t.TempDir(), "vault"), 0
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls == 1 {
			write(t, vault, "another-key-of-many")
		}
		time.Sleep(5 * time.Millisecond)
		w.WriteHeader(http.StatusUnauthorized)
	})
	for i := range r.config.Providers {
		if p := &r.config.Providers[i]; p.Name == "anthropic" {
			p.Key = KeyRef{Command: []string{"cat", vault}, Dir: filepath.Dir(vault)}
		}
	}
	write(t, vault, "first-key-of-many")
	r.do(t, "POST", "/v1/messages", `{"model":"m"}`, "X-Api-Key", token)
	for _, rec := range r.untilClosed(t, 4) {
		if ms, ok := rec.Detail["duration_ms"].(int64); rec.Type == "model.response" && (!ok || ms < 5) {
			t.Errorf("duration_ms is %v", rec.Detail["duration_ms"])
		}
	}
	if calls != 2 {
		t.Errorf("%d attempts", calls)
	}
}
