package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// eachUser runs a test as an ordinary user and, where we are it, as root.
func eachUser(t *testing.T, f func(t *testing.T, w *world)) {
	for _, uid := range users() {
		t.Run(fmt.Sprintf("uid=%d", uid), func(t *testing.T) { f(t, newWorld(t, uid)) })
	}
}

// background starts countersign and returns how to wait for it.
func (w *world) background(args ...string) (stop func(), wait func() result) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	cmd := w.command(ctx, binary, args...)
	var out, errb bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errb
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	w.t.Cleanup(func() { cancel(); <-done })
	return func() { cmd.Process.Kill() }, func() result {
		<-done
		return result{out.String(), errb.String(), cmd.ProcessState.ExitCode()}
	}
}

// request is a line of `requests --json`.
type request struct {
	ID, Session, Kind, Summary, Cwd, Rule, Digest, Reason string
	Argv, Lends                                           []string
	Early, Pending                                        bool
	WaitingMS                                             int64 `json:"waiting_ms"`
}

func (w *world) requests() []request {
	w.t.Helper()
	var rs []request
	r := w.must("requests", "--json")
	if err := json.Unmarshal([]byte(r.out), &rs); err != nil {
		w.t.Fatalf("%v in %s", err, r.out)
	}
	return rs
}

// The thread through every room: an exec waits, is approved from another
// terminal, a write is staged, reviewed, applied, and all of it is on record.
func TestTheWholeThread(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		w.write("hello.txt", "one\ntwo\nthree\n")
		w.write(".env", "SECRET=hunter2\n")
		w.write("agent.sh", "sed -i s/two/TWO/ hello.txt\necho new > created.txt\ncat .env\necho agent-done\n")
		w.repo()

		// Denied for want of anybody to ask, and nothing changed.
		r := w.cs("run", "--approver", "none", "--", "bash", "agent.sh")
		if !strings.Contains(r.out, "agent-done") || !strings.Contains(r.err, "Permission denied") {
			t.Fatalf("headless run: %+v", r)
		}
		if strings.Contains(r.out+r.err, "hunter2") {
			t.Fatal("the secret was read")
		}

		policy := w.policy("version: 1\ncommands:\n  - {id: t-sed, verdict: allow, argv: [sed, '...'], reason: a test}\n")
		_, wait := w.backgroundTTY("run", "--policy", policy, "--fresh", "--", "bash", "agent.sh")
		eventually(t, "cat is asked", func() bool { return len(w.requests()) == 1 })
		q := w.requests()[0]
		if q.Kind != "exec" || strings.Join(q.Argv, " ") != "cat .env" || q.Cwd != w.project || q.Digest == "" {
			t.Errorf("request %+v", q)
		}
		if r := w.must("requests", q.ID); !strings.Contains(r.out, "| .env\n") || !strings.Contains(r.out, "program    /usr/bin/cat\n") || !strings.Contains(r.out, "approve "+q.ID+" --digest "+q.Digest) {
			t.Errorf("one request in full: %s", r.out)
		}
		if r := w.cs("requests", "none"); r.code != 1 || !strings.Contains(r.err, "no such open request") {
			t.Errorf("no request of that name: %+v", r)
		}
		if r := w.must("approve", q.ID); !strings.Contains(r.out, q.Digest) {
			t.Errorf("approve does not say what it binds: %s", r.out)
		}
		out := wait()
		if !strings.Contains(out, "agent-done") || strings.Contains(out, "hunter2") {
			t.Errorf("the agent saw %q", out)
		}
		if got := w.read("hello.txt"); got != "one\ntwo\nthree\n" {
			t.Fatalf("the real tree changed before a review: %q", got)
		}

		hs := w.hunks()
		if len(hs) != 2 {
			t.Fatalf("hunks %+v", hs)
		}
		w.must("review", "--accept-file", "hello.txt")
		w.must("review", "--apply")
		if got := w.read("hello.txt"); got != "one\nTWO\nthree\n" {
			t.Errorf("after apply: %q", got)
		}
		if _, err := os.Stat(w.project + "/created.txt"); err == nil {
			t.Error("an undecided hunk was applied")
		}
		w.must("review", "--undo")
		if got := w.read("hello.txt"); got != "one\ntwo\nthree\n" {
			t.Errorf("after undo: %q", got)
		}

		w.checkThreadRecords(q)
		w.must("verify")
	})
}

func (w *world) checkThreadRecords(q request) {
	w.t.Helper()
	seen := map[string]int{}
	var approved rec
	for _, r := range w.log() {
		seen[r.Type]++
		if r.Type == "exec.decided" && r.Decision.Basis == "person" {
			approved = r
		}
		if r.Type == "file.denied" && (!strings.HasSuffix(r.Action.Path, ".env") || r.Policy.Rule == "" || r.Actor.Peer.PID == 0 || !strings.HasSuffix(r.Actor.Peer.Exe, "/cat")) {
			w.t.Errorf("file.denied lacks something: %+v", r)
		}
	}
	if approved.Action.Digest != q.Digest || approved.Decision.By == "" || approved.Decision.Shown == "" {
		w.t.Errorf("the approval's record: %+v", approved)
	}
	if seen["file.denied"] != 1 {
		w.t.Errorf("%d records of one denied read", seen["file.denied"])
	}
	for _, typ := range []string{"session.started", "session.ended", "exec.decided", "exec.started", "exec.finished", "hunk.decided", "changeset.applied", "changeset.undone", "policy.activated"} {
		if seen[typ] == 0 {
			w.t.Errorf("no %s on record: %v", typ, seen)
		}
	}
}
