package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// keep types a key at `countersign keys set`.
func (w *world) keep(provider, key string) {
	w.t.Helper()
	j := w.start("keys", "set", "--file", provider)
	_, _ = io.WriteString(j.stdin, key+"\n")
	j.stdin.Close()
	if r := j.wait(); r.code != 0 || strings.Contains(r.out+r.err, key) {
		w.t.Fatalf("%+v", r)
	}
}

// A key that is kept in a file reaches the provider and nobody else; one that is
// set anew is used with the next call; neither is in clear on the disk, in an
// argument, in a log or on record.
func TestKeptKeysRotateAndStaySecret(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		m := newModel(t)
		w.write(filepath.Join(w.root, "config/countersign/gateway.yaml"), fmt.Sprintf("providers:\n  - {name: scripted, wire: anthropic, base_url: %q}\n", m.URL))
		first, second := companyKey()+"-first", companyKey()+"-second"
		w.keep("scripted", first)
		s := serveBy(w, allowModels)
		call := func(want string) {
			t.Helper()
			if code, body, err := s.say(t.Context(), http.DefaultClient, hello); err != nil || code != 200 || strings.Contains(body, companyKey()) {
				t.Errorf("%d %s %v", code, body, err)
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			if got := m.keys[len(m.keys)-1]; got != want {
				t.Errorf("the provider was called with %q, want %q", got, want)
			}
		}
		call(first)
		w.keep("scripted", second)
		call(second)
		for _, p := range hostProcs() {
			if strings.Contains(strings.Join(p.argv, " "), companyKey()) {
				t.Errorf("a key is an argument of %d", p.pid)
			}
		}
		w.must("keys", "remove", "scripted")
		w.write(filepath.Join(w.root, "config/countersign/keys/scripted"), first) // by hand, and 0644
		if code, body, _ := s.say(t.Context(), http.DefaultClient, hello); code != 400 || !strings.Contains(body, "chmod 600") || strings.Contains(body, companyKey()) {
			t.Errorf("%d %s", code, body)
		}
		os.Remove(filepath.Join(w.root, "config/countersign/keys/scripted"))
		r := s.end(syscall.SIGTERM)
		if r.code != 0 || strings.Contains(r.out+r.err, companyKey()) {
			t.Errorf("%+v", r)
		}
		if raw := w.must("log", "--json").out; strings.Contains(raw, companyKey()) {
			t.Error("a key is on record")
		}
		err := filepath.Walk(w.root, func(path string, fi os.FileInfo, err error) error {
			if err != nil || !fi.Mode().IsRegular() {
				return nil
			}
			if b, _ := os.ReadFile(path); strings.Contains(string(b), companyKey()) {
				t.Errorf("%s holds a key", path)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// Where there is a keychain (here GNOME's, on a bus of its own), a key goes there,
// and no file holds it, encrypted or not.
func TestKeysInAKeychain(t *testing.T) {
	for _, p := range []string{"dbus-run-session", "gnome-keyring-daemon"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
	w := newWorld(t, users()[0]) // the bus puts its socket into /tmp
	m := newModel(t)
	w.write(filepath.Join(w.root, "config/countersign/gateway.yaml"), fmt.Sprintf("find_local: false\nproviders:\n  - {name: scripted, wire: anthropic, base_url: %q}\n", m.URL))
	key := companyKey() + "-kept"
	w.write(filepath.Join(w.root, "home/typed"), key+"\n")
	w.env = append(w.env, "XDG_DATA_HOME="+filepath.Join(w.root, "home/data"))
	r := w.exec("dbus-run-session", "--", "sh", "-c", `set -e
printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null
`+binary+` keys set scripted < ../typed
`+binary+` keys list --long
`+binary+` models
`+binary+` keys remove scripted
`+binary+` models`)
	if r.code != 0 || !strings.Contains(r.out, "keychain") || strings.Contains(r.out+r.err, key) {
		t.Errorf("%+v", r)
	}
	// A provider of this machine needs no key: the second time it gets none.
	if len(m.keys) != 2 || m.keys[0] != key || m.keys[1] != "" {
		t.Errorf("the provider was called with %q", m.keys)
	}
	if left, _ := filepath.Glob(filepath.Join(w.root, "config/countersign/keys/*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
