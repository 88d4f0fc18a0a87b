package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tested is what `selftest --json` prints.
type tested struct {
	Session, Tier string
	MS            int64
	Failed        int
	Counts        map[string]int
	Rows          []struct {
		Row, Control, State, Got, Expected, Record string
		Blocked                                    bool
		Records                                    []string
	}
}

func (w *world) selftest(code int, args ...string) tested {
	w.t.Helper()
	r := w.cs(append([]string{"selftest", "--json"}, args...)...)
	var x tested
	if err := json.Unmarshal([]byte(r.out), &x); err != nil || r.code != code {
		w.t.Fatalf("exit %d, want %d; %v\n%s\n%s", r.code, code, err, r.err, r.out)
	}
	return x
}

// TestSelftest: the attack table, against a whole session. That its rows work with
// no control in the way is selftest's TestBare.
func TestSelftest(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		x := w.selftest(0, "--policy", w.policy("version: 1\nnetwork:\n  - {id: t-host, verdict: allow, host: allowed.example, port: 443, reason: so that there is a proxy}\n"))
		if len(x.Rows) < 100 || x.Tier != "A" || x.MS > 40_000 {
			t.Errorf("%d rows, tier %s, %d ms", len(x.Rows), x.Tier, x.MS)
		}
		for _, r := range x.Rows {
			if r.State != "blocked" || !r.Blocked {
				t.Errorf("%s: %s (%s), want %s; on record %q", r.Row, r.State, r.Got, r.Expected, r.Records)
			}
		}
		results := map[string]bool{}
		for _, m := range w.raw() {
			typ, _ := m["type"].(string)
			if strings.HasPrefix(typ, "ledger.") {
				continue
			}
			if m["canary"] != true || m["session"] != x.Session {
				t.Errorf("%s is not marked as the self-test's: %v", typ, m)
			}
			if typ == "canary.result" {
				id, _ := m["id"].(string)
				results[id] = field(m, "detail.blocked") == true
			}
			if basis := field(m, "decision.basis"); basis == "person" {
				t.Errorf("%s claims a person's decision", typ)
			}
		}
		for _, r := range x.Rows {
			if !results[r.Record] {
				t.Errorf("%s is not on record as blocked", r.Row)
			}
		}
		w.must("verify")
		w.leaves(t)
	})
}

// TestSelftestInterrupted leaves nothing behind.
func TestSelftestInterrupted(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	cmd := w.command(t.Context(), binary, "selftest")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its session is there", func() bool {
		all, _ := filepath.Glob(filepath.Join(w.root, "state/countersign/sessions/*/session.json"))
		return len(all) > 0
	})
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit %d", code)
	}
	w.leaves(t)
	w.must("verify")
}

// leaves says what a self-test left behind.
func (w *world) leaves(t *testing.T) {
	t.Helper()
	for _, dir := range []string{"state/countersign/sessions", "state/countersign/projects", "cache/countersign"} {
		if left, _ := os.ReadDir(filepath.Join(w.root, dir)); len(left) > 0 {
			t.Errorf("left in %s: %v", dir, left)
		}
	}
}

// TestSelftestOfAnOverlay: large trees are staged so.
func TestSelftestOfAnOverlay(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	for _, r := range w.selftest(0, "--backend", "overlay").Rows {
		if r.State != "blocked" && r.Row != "proxy-metadata" {
			t.Errorf("%s: %s (%s), want %s; on record %q", r.Row, r.State, r.Got, r.Expected, r.Records)
		}
	}
}

// TestSelftestSaysWhatIsOpen: what the policy leaves open is not protected, and what
// cannot be tried is no success.
func TestSelftestSaysWhatIsOpen(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	x := w.selftest(0, "--policy", w.policy("version: 1\nfiles:\n  except:\n    - {id: t-open, rule: private-keys, paths: [\"*.pem\"], reason: a test}\n"))
	for _, r := range x.Rows {
		want := "blocked"
		switch r.Row {
		case "private-key":
			want = "not protected"
		case "proxy-metadata":
			want = "not applicable here"
		}
		if r.State != want || r.Blocked != (want == "blocked") {
			t.Errorf("%s: %s (%s), want %s", r.Row, r.State, r.Got, want)
		}
	}
	denied := w.policy("version: 1\ncommands:\n  - {id: t-none, verdict: deny, argv: [countersign, '...'], reason: not here}\n")
	r := w.cs("selftest", "--policy", denied)
	if r.code != 1 || !strings.Contains(r.err, "t-none") {
		t.Errorf("a session that cannot start: %+v", r)
	}
	last := w.log("--type", "canary.result")
	if n := len(last); n == 0 || last[n-1].Detail["row"] != "session" || last[n-1].Detail["blocked"] != false || last[n-1].Outcome.Status != "failed" {
		t.Errorf("it is not on record: %+v", last[len(last)-1])
	}
}

// TestSelftestWithoutFuse: where there is no /dev/fuse everything stays closed, and
// what is not seen says so.
func TestSelftestWithoutFuse(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("not protected here: it takes root to take /dev/fuse away")
	}
	w := newWorld(t, 0)
	w.write(filepath.Join(w.root, "empty"), "")
	r := w.exec("unshare", "-m", "sh", "-c", `mount --bind "$1" /dev/fuse && exec "$2" selftest --json`, "sh", filepath.Join(w.root, "empty"), binary)
	var x tested
	if err := json.Unmarshal([]byte(r.out), &x); err != nil || r.code != 0 || x.Tier != "A-masked" {
		t.Fatalf("exit %d, tier %s, %v\n%s", r.code, x.Tier, err, r.err)
	}
	unseen := 0
	for _, row := range x.Rows {
		switch {
		case row.State == "blocked, not seen" && row.Blocked:
			unseen++
		case row.State != "blocked" && row.Row != "proxy-metadata":
			t.Errorf("%s: %s (%s), want %s", row.Row, row.State, row.Got, row.Expected)
		}
	}
	if unseen < 30 || unseen > len(x.Rows)/2 {
		t.Errorf("%d rows are not seen", unseen)
	}
}
