package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tracer is strace on the ledger and the session process, never on the tree: a
// process has one tracer. It stops a process at a call's entry and exit until
// it has written it down, so that the order of its lines is the order of things.
type tracer struct {
	t    *testing.T
	cmd  *exec.Cmd
	path string
	done chan struct{}
}

func attach(t *testing.T, args []string, pids ...int) *tracer {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("skipped: there is no strace")
	}
	tr := &tracer{t: t, path: filepath.Join(t.TempDir(), "trace"), done: make(chan struct{})}
	args = append([]string{"-f", "-s", "40000", "-e", "trace=fdatasync,pwrite64,ioctl", "-e", "signal=none", "-o", tr.path}, args...)
	for _, pid := range pids {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	var said output
	tr.cmd = exec.Command(strace, args...)
	tr.cmd.Stderr = &said
	if err := tr.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { tr.cmd.Wait(); close(tr.done) }()
	t.Cleanup(func() { tr.cmd.Process.Signal(syscall.SIGTERM); <-tr.done })
	eventually(t, "strace is attached", func() bool {
		select {
		case <-tr.done:
			t.Skipf("skipped: strace may not attach here: %s", said.String())
		default:
		}
		return strings.Count(said.String(), "attached") >= len(pids)
	})
	return tr
}

// call is one traced call: the lines at which it began and had returned.
type call struct {
	name, text string
	began, end int
	injected   bool
}

var (
	lineForm = regexp.MustCompile(`^(\d+) +(?:(\w+)\((.*)|<\.\.\. (\w+) resumed>(.*))$`)
	idForm   = regexp.MustCompile(`id=(0x[0-9a-f]+)`)
	pidForm  = regexp.MustCompile(`, pid=(\d+)`)
)

// calls reads the trace once its processes have ended.
func (tr *tracer) calls() []call {
	tr.t.Helper()
	select {
	case <-tr.done:
	case <-time.After(20 * time.Second):
		tr.t.Fatal("the traced processes did not end")
	}
	b, err := os.ReadFile(tr.path)
	if err != nil {
		tr.t.Fatal(err)
	}
	var out []call
	open := map[string]call{}
	for n, line := range strings.Split(string(b), "\n") {
		m := lineForm.FindStringSubmatch(line)
		switch {
		case m == nil:
		case m[4] != "":
			c := open[m[1]]
			c.text, c.end, c.injected = c.text+m[5], n, strings.Contains(m[5], "(INJECTED)")
			out = append(out, c)
		case strings.HasSuffix(m[3], "<unfinished ...>"):
			open[m[1]] = call{name: m[2], text: strings.TrimSuffix(m[3], "<unfinished ...>"), began: n}
		default:
			out = append(out, call{m[2], m[3], n, n, strings.Contains(m[3], "(INJECTED)")})
		}
	}
	return out
}

// records finds the leaves in what a write carried, into a segment or, without
// the ledger's own fields, into a spool.
func (c call) records() []rec {
	var out []rec
	for _, begin := range []string{`{\"v\":1,\"id\":`, `\"type\":`} {
		for text := c.text; ; text = text[1:] {
			i := strings.Index(text, begin)
			if i < 0 {
				break
			}
			text = text[i:]
			raw, _, _ := strings.Cut(text, `", `) // the end of strace's string
			plain := "{" + strings.TrimPrefix(strings.ReplaceAll(strings.ReplaceAll(raw, `\"`, `"`), `\\`, `\`), "{")
			var r rec
			if json.NewDecoder(strings.NewReader(plain)).Decode(&r) == nil {
				out = append(out, r)
			}
		}
	}
	return out
}

// release is one exec that the supervisor answered.
type release struct {
	pid        int
	recv, sent int // lines: the question was there, the answer began
	refused    bool
}

func releases(calls []call) []release {
	asked := map[string]release{}
	var out []release
	for _, c := range calls {
		id := idForm.FindStringSubmatch(c.text)
		switch {
		case c.name != "ioctl" || id == nil:
		case strings.Contains(c.text, "NOTIF_RECV") && strings.Contains(c.text, "__NR_execve"):
			pid, _ := strconv.Atoi(pidForm.FindStringSubmatch(c.text)[1])
			asked[id[1]] = release{pid: pid, recv: c.end}
		case strings.Contains(c.text, "NOTIF_SEND"):
			if r, ok := asked[id[1]]; ok {
				r.sent, r.refused = c.began, !strings.Contains(c.text, "FLAG_CONTINUE")
				out = append(out, r)
			}
		}
	}
	return out
}

// decidedBetween finds the record of a release and whether it was flushed, or at
// least written, before the answer.
func decidedBetween(calls []call, x release) (r rec, written, flushed bool) {
	at := -1
	for _, c := range calls {
		if c.name != "pwrite64" || c.began <= x.recv || c.end >= x.sent {
			continue
		}
		for _, w := range c.records() {
			if w.Type == "exec.decided" && w.Actor.Peer.PID == x.pid {
				r, written, at = w, true, c.end
			}
		}
	}
	for _, c := range calls {
		if c.name == "fdatasync" && written && c.began > at && c.end < x.sent && strings.HasSuffix(c.text, "= 0") {
			flushed = true
		}
	}
	return r, written, flushed
}

// runPID finds the session process of this world.
func (w *world) runPID() int {
	w.t.Helper()
	pid := 0
	eventually(w.t, "the session process runs", func() bool {
		for _, p := range hostProcs() {
			if p.argv[0] == binary && len(p.argv) > 1 && p.argv[1] == "run" && strings.Contains(strings.Join(p.argv, " "), w.root) {
				pid = p.pid
				return true
			}
		}
		return false
	})
	return pid
}

const orderAgent = `read go
bash -c 'echo allowed-1'
bash -c 'id -u; uname -s; echo covered'
ls hello.txt
bash -c 'echo allowed-2; /bin/true; /bin/true'
whoami
ls hello.txt
`

// No exec is let go before the flush of its record; a covered one not before
// its record is written. Shown from outside, call by call.
func TestProofOfOrder(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		w.write("agent.sh", orderAgent)
		w.repoWith("hello.txt", "hello\n")
		typed, wait := w.backgroundTTY("run", "--policy", w.policy(allowBash+"  - {id: t-no, verdict: deny, argv: [whoami], reason: a test}\n"), "--", "bash", "agent.sh")
		eventually(t, "the agent waits", func() bool { return len(w.ledgers()) == 1 && len(w.log("--type", "exec.started")) == 1 })
		tr := attach(t, nil, w.ledgers()[0].pid, w.runPID())
		typed("go\r")
		for range 2 {
			eventually(t, "ls is asked", func() bool { return len(w.requests()) == 1 })
			w.must("approve", w.requests()[0].ID)
		}
		wait()
		calls := tr.calls()
		seen := map[string]int{}
		for _, x := range releases(calls) {
			r, written, flushed := decidedBetween(calls, x)
			seen[r.Decision.Basis+" "+r.Decision.Verdict]++
			switch {
			case !written:
				t.Errorf("an answer to pid %d without its record before it (refused: %v)", x.pid, x.refused)
			case x.refused != (r.Decision.Verdict == "deny"):
				t.Errorf("%q: decided %s, refused %v", r.Action.Argv, r.Decision.Verdict, x.refused)
			case r.Decision.Basis != "covered" && !flushed:
				t.Errorf("%q (%s) was answered before its flush", r.Action.Argv, r.Decision.Basis)
			}
		}
		t.Logf("in order: %v", seen)
		for what, n := range map[string]int{"policy allow": 2, "person allow": 2, "covered allow": 4, "policy deny": 1} {
			if seen[what] < n {
				t.Errorf("%d of %s, not %d: the trace proves nothing", seen[what], what, n)
			}
		}
		w.must("verify")
	})
}

// A flush that fails closes the gate: no exec is let go from then on.
func TestFailedFlushClosesTheGate(t *testing.T) {
	for _, c := range []struct{ errno, when string }{{"EIO", "1+"}, {"ENOSPC", "1+"}, {"EIO", "2+"}, {"ENOSPC", "3"}} {
		t.Run(c.errno+" "+c.when, func(t *testing.T) {
			w := newWorld(t, users()[len(users())-1])
			w.write("agent.sh", "for i in 1 2 3; do bash -c 'echo ran-early'; done\nread go\nfor ((i=0; i<5000; i++)); do bash -c 'echo ran-late; /bin/true'; done; echo agent-end\n")
			w.repoWith("hello.txt", "hello\n")
			j := w.start("run", "--policy", w.policy(allowBash), "--approver", "none", "--json", "--", "bash", "agent.sh")
			j.prints("ran-early\nran-early\nran-early\n")
			tr := attach(t, []string{"-e", "inject=fdatasync:error=" + c.errno + ":when=" + c.when}, w.ledgers()[0].pid, j.cmd.Process.Pid)
			fmt.Fprintln(j.stdin, "go")
			r := j.wait()
			failed := -1
			calls := tr.calls()
			for _, x := range calls {
				if x.injected && failed < 0 {
					failed = x.end
				}
			}
			if failed < 0 {
				t.Fatalf("nothing was injected: %+v", r)
			}
			after := 0
			for _, x := range releases(calls) {
				if x.sent > failed && !x.refused {
					// A covered one may have been written before; nothing else goes.
					if d, written, flushed := decidedBetween(calls, x); !written || d.Decision.Basis != "covered" && !flushed {
						after++
						t.Errorf("%q was let go after the flush had failed", d.Action.Argv)
					}
				}
			}
			if c.when == "1+" && strings.Contains(r.out, "ran-late") {
				t.Errorf("a command ran: %s", r.out)
			}
			if strings.Contains(r.out, "agent-end") || r.code != 1 || !strings.Contains(r.err, "countersign: error:") || !strings.Contains(r.err, "ledger") {
				t.Errorf("%+v", r)
			}
			if e := w.ending(r); e.EndedBy != "countersign" {
				t.Errorf("%+v", e)
			}
			eventually(t, "the ledger process ended", func() bool { return len(w.ledgers()) == 0 })
			w.again()
			if len(w.log("--type", "ledger.recovered")) == 0 {
				t.Error("the next start does not record what it found")
			}
			w.must("verify")
			t.Logf("%d late ones ran before, %d after", strings.Count(r.out, "ran-late"), after)
		})
	}
}
