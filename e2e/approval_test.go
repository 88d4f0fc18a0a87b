package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// asking starts an agent on a terminal under a policy.
func (w *world) asking(policy, agent string) (wait func() string) {
	w.t.Helper()
	w.write("agent.sh", agent)
	w.repoWith("hello.txt", "hello\n")
	_, wait = w.backgroundTTY("run", "--policy", w.policy(policy), "--", "bash", "agent.sh")
	return wait
}

// asked waits for the one open request.
func (w *world) asked() request {
	w.t.Helper()
	var q request
	eventually(w.t, "one request is open", func() bool {
		rs := w.requests()
		if len(rs) == 1 {
			q = rs[0]
		}
		return len(rs) == 1
	})
	return q
}

// decisions lists verdict and basis of every decision on a command, in order.
func (w *world) decisions(command string) []string {
	w.t.Helper()
	var out []string
	for _, r := range w.log("--type", "exec.decided") {
		if r.Action.Summary == command {
			out = append(out, r.Decision.Verdict+" "+r.Decision.Basis)
		}
	}
	return out
}

func (w *world) decided(command, want string) {
	w.t.Helper()
	if got := strings.Join(w.decisions(command), ", "); got != want {
		w.t.Errorf("%s was decided %q, not %q", command, got, want)
	}
}

const slowPolicy = "version: 1\napprovals: {timeout: 1s}\n"

// A timeout denies that attempt; the request stays, and its late approval is
// good for the same command once.
func TestLateApproval(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		wait := w.asking(slowPolicy, `ls hello.txt; echo "first=$?"
until [ -e go ]; do read -t 0.1 x; done
ls hello.txt; echo "second=$?"
ls hello.txt; echo "third=$?"
`)
		eventually(t, "the attempt timed out", func() bool { return len(w.decisions("ls hello.txt")) == 1 })
		q := w.asked()
		w.must("approve", q.ID)
		w.write("go", "")
		out := wait()
		if !strings.Contains(out, "first=126") || !strings.Contains(out, "second=0") || !strings.Contains(out, "third=126") {
			t.Errorf("%s", out)
		}
		w.decided("ls hello.txt", "deny timeout, allow late, deny timeout")
		if rs := w.log("--type", "request.answered"); len(rs) != 1 || rs[0].Action.Digest != q.Digest || rs[0].Decision.By == "" || rs[0].Decision.Verdict != "allow" {
			t.Errorf("who approved late is not on record: %+v", rs)
		}
		w.must("verify")
	})
}

// What a person answers, and what it is good for.
func TestAnswers(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	wait := w.asking("version: 1\n", `ls hello.txt; ls hello.txt; ls -l hello.txt; echo "other=$?"
id; echo "id=$?"
id; echo "id=$?"
`)
	q := w.asked()
	if r := w.cs("approve", q.ID, "--digest", "sha256:"+strings.Repeat("0", 64)); r.code != 1 || !strings.Contains(r.err, "digest") {
		t.Errorf("a wrong digest: %+v", r)
	}
	if r := w.cs("approve", "zzzz"); r.code != 1 || !strings.Contains(r.err, "requests") {
		t.Errorf("a wrong id: %+v", r)
	}
	if again := w.asked(); again.ID != q.ID {
		t.Errorf("the request is gone: %+v", again)
	}
	w.must("approve", q.ID, "--digest", q.Digest, "--for", "session")
	eventually(t, "another command is asked", func() bool { rs := w.requests(); return len(rs) == 1 && rs[0].Summary == "ls -l hello.txt" })
	if out := w.must("grants", "list", "--json").out; !strings.Contains(out, "ls hello.txt") {
		t.Errorf("no grant: %s", out)
	}
	var grants []struct{ Session, Key, Summary, By, Means, Scope string }
	if err := json.Unmarshal([]byte(w.must("grants", "list", "--json").out), &grants); err != nil || len(grants) != 1 ||
		grants[0].Session != q.Session || grants[0].By == "" || grants[0].Means != "cli" || grants[0].Scope != "session" {
		t.Errorf("the grant: %+v %v", grants, err)
	}
	if r := w.cs("grants", "revoke", "reuse:zz"); r.code != 1 || !strings.Contains(r.err, "grants list") {
		t.Errorf("a key of no grant: %+v", r)
	}
	w.must("grants", "revoke", grants[0].Key[:len("reuse:")+6])
	if rs := w.log("--type", "grant.revoked"); len(rs) != 1 || rs[0].Session != q.Session {
		t.Errorf("the revocation's record: %+v", rs)
	}
	if out := w.must("grants", "list").out; out != "" {
		t.Errorf("the grant stands: %s", out)
	}
	w.must("deny", w.asked().ID, "--reason", "not today, thanks")
	// Two approvers at once: the first wins, the other is told.
	eventually(t, "id is asked", func() bool { rs := w.requests(); return len(rs) == 1 && rs[0].Summary == "id" })
	id := w.asked().ID
	codes := make([]int, 6)
	var all sync.WaitGroup
	for i := range codes {
		all.Add(1)
		go func() {
			defer all.Done()
			verb := []string{"approve", "deny"}[i%2]
			codes[i] = w.cs(verb, id).code
		}()
	}
	all.Wait()
	won := 0
	for _, c := range codes {
		if c == 0 {
			won++
		}
	}
	if won != 1 {
		t.Errorf("%d of 6 answers were taken: %v", won, codes)
	}
	eventually(t, "id is asked anew", func() bool { rs := w.requests(); return len(rs) == 1 && rs[0].ID != id })
	w.must("deny", w.asked().ID)
	if out := wait(); !strings.Contains(out, "other=126") {
		t.Errorf("%s", out)
	}
	w.decided("ls hello.txt", "allow person, allow grant")
	w.decided("ls -l hello.txt", "deny person")
	if n := len(w.decisions("id")); n != 2 {
		t.Errorf("id was decided %d times", n)
	}
	for _, r := range w.log("--type", "exec.decided") {
		if r.Action.Summary == "ls -l hello.txt" && (r.Decision.Reason != "not today, thanks" || r.Decision.By == "" || r.Decision.Shown == "") {
			t.Errorf("the denial: %+v", r.Decision)
		}
	}
	w.must("verify")
}

// What an approved command leaves behind asks again, and says why in plain words:
// in the list of requests, and on record.
func TestWhatOutlivesItsCommandSaysSo(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.write("job.sh", "bash ./later.sh $$ &\nuntil [ -e up ]; do :; done\n")
	w.write("later.sh", ": > up\nwhile [ -d /proc/$1 ]; do :; done\nls hello.txt; echo \"later=$?\"\n: > done\n")
	wait := w.asking(allowBash, "bash ./job.sh\nuntil [ -e done ]; do read -r -t 0.1 x; done\n")
	q := w.asked()
	says := regexp.MustCompile(`no rule allows it; its approved command \(pid \d+\) (ended at 20[0-9TZ:-]+|has ended); what outlives its command asks again`)
	if q.Summary != "ls hello.txt" || !says.MatchString(q.Reason) {
		t.Errorf("asked: %+v", q)
	}
	w.must("approve", q.ID)
	if out := wait(); !strings.Contains(out, "later=0") {
		t.Errorf("on the screen: %s", out)
	}
	for _, r := range w.log("--type", "exec.decided") {
		if (r.Action.Summary == "ls hello.txt") != strings.Contains(r.Decision.Reason, "what outlives its command asks again") {
			t.Errorf("%s: %+v", r.Action.Summary, r.Decision)
		}
	}
}

// A program that comes through a pipe gives no cover; any-depth and deny rules
// hold below what was approved.
func TestWhatCoverDoesNotCover(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		r := func() result {
			w.write("agent.sh", `echo 'ls hello.txt; echo "piped=$?"' | bash
bash <<< 'ls hello.txt; echo "here=$?"'
bash -c 'ls hello.txt; echo "covered=$?"'
bash -c 'id; echo "deep=$?"'
bash -c 'bash -c "whoami; echo denied=\$?"'
`)
			w.repoWith("hello.txt", "hello\n")
			return w.cs("run", "--policy", w.policy(allowBash+`  - {id: t-id, verdict: ask, at: any-depth, argv: [id, "..."], reason: a test}
  - {id: t-who, verdict: deny, argv: [whoami, "..."], reason: a test}
`), "--approver", "none", "--", "bash", "agent.sh")
		}()
		for _, want := range []string{"piped=126", "here=126", "covered=0", "deep=126", "denied=126"} {
			if !strings.Contains(r.out, want) {
				t.Errorf("no %s in %s%s", want, r.out, r.err)
			}
		}
		w.decided("ls hello.txt", "deny headless, deny headless, allow covered")
		w.decided("id", "deny headless")
		w.decided("whoami", "deny policy")
		for _, r := range w.log("--type", "exec.decided") {
			if (r.Action.Summary == "id" && r.Policy.Rule != "t-id") || (r.Action.Summary == "whoami" && r.Policy.Rule != "t-who") {
				t.Errorf("%s by rule %s", r.Action.Summary, r.Policy.Rule)
			}
		}
	})
}

// A script that changes between the approval's asking and its exec does not run
// with what nobody saw.
func TestSwappedScript(t *testing.T) {
	for _, how := range []string{"echo 'echo evil-ran' > s.sh", "echo 'echo evil-ran' > t.sh; mv t.sh s.sh", "rm s.sh; ln -s evil.sh s.sh"} {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t, users()[len(users())-1])
			w.write("s.sh", "echo good-ran\n")
			w.write("evil.sh", "echo evil-ran\n")
			// A background shell swaps once the request is out; mv, rm and ln are allowed.
			wait := w.asking("version: 1\ncommands:\n  - {id: t-files, verdict: allow, argv: [mv, '...'], reason: a test}\n  - {id: t-rm, verdict: allow, argv: [rm, '...'], reason: a test}\n  - {id: t-ln, verdict: allow, argv: [ln, '...'], reason: a test}\n",
				"(until [ -e go ]; do read -t 0.05 x < /dev/zero; done; "+how+"; echo > swapped) &\nsh s.sh; echo \"end=$?\"\nwait\n")
			q := w.asked()
			w.write("go", "")
			swapped := func() bool {
				m, _ := filepath.Glob(filepath.Join(w.root, "state/countersign/sessions/*/layer/*/swapped"))
				return len(m) > 0
			}
			eventually(t, "the script is another", swapped)
			w.must("approve", q.ID)
			out := wait()
			if strings.Contains(out, "evil-ran") {
				t.Errorf("what was never shown ran: %s", out)
			}
			refused := false
			for _, r := range w.log() {
				if r.Type == "exec.finished" && r.Action.Summary == "sh s.sh" && r.Outcome.Error != "" || r.Type == "exec.decided" && r.Action.Summary == "sh s.sh" && r.Decision.Verdict == "deny" {
					refused = true
				}
			}
			if !strings.Contains(out, "good-ran") && !refused {
				t.Errorf("it did not run, and nothing says so: %s", out)
			}
			t.Logf("ran what was approved: %v; refused: %v", strings.Contains(out, "good-ran"), refused)
			if _, err := os.Stat(filepath.Join(w.project, "swapped")); err == nil {
				t.Error("the real tree changed")
			}
			w.must("verify")
		})
	}
}
