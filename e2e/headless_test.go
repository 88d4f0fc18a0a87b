package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// output collects what a process writes; it may be read while it runs.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// job is a countersign that runs while the test goes on, without a terminal.
type job struct {
	w        *world
	cmd      *exec.Cmd
	out, err output
	stdin    io.WriteCloser
	done     chan struct{}
}

// start starts countersign in a session of its own, away from every terminal.
func (w *world) start(args ...string) *job {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	j := &job{w: w, cmd: w.command(ctx, binary, args...), done: make(chan struct{})}
	j.cmd.SysProcAttr.Setsid = true
	j.cmd.Stdout, j.cmd.Stderr = &j.out, &j.err
	var err error
	if j.stdin, err = j.cmd.StdinPipe(); err == nil {
		err = j.cmd.Start()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	go func() { j.cmd.Wait(); close(j.done) }()
	w.t.Cleanup(func() { cancel(); j.stdin.Close(); <-j.done })
	return j
}

func (j *job) wait() result {
	<-j.done
	return result{j.out.String(), j.err.String(), j.cmd.ProcessState.ExitCode()}
}

// prints waits until the agent has printed the word.
func (j *job) prints(word string) {
	j.w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if strings.Contains(j.out.String(), word) {
			return
		}
		select {
		case <-j.done:
			if !strings.Contains(j.out.String(), word) {
				j.w.t.Fatalf("ended without %q: %+v", word, j.wait())
			}
		default:
		}
	}
	j.w.t.Fatalf("never printed %q: out %s err %s", word, j.out.String(), j.err.String())
}

// hostProc is a process as the host sees it; start tells two of one pid apart.
type hostProc struct {
	pid, ppid int
	start     string
	argv      []string
}

func readProc(pid int) (hostProc, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return hostProc{}, false
	}
	_, rest, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " ")
	f := strings.Fields(rest)
	if f[0] == "Z" || f[0] == "X" {
		return hostProc{}, false // nothing of it runs
	}
	p := hostProc{pid: pid, start: f[19]}
	p.ppid, _ = strconv.Atoi(f[1])
	argv, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	p.argv = strings.Split(strings.TrimSuffix(string(argv), "\x00"), "\x00")
	return p, true
}

func hostProcs() []hostProc {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var out []hostProc
	for _, d := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(d))
		if p, ok := readProc(pid); ok {
			out = append(out, p)
		}
	}
	return out
}

// below lists every process whose ancestor is pid.
func below(pid int) []hostProc {
	all, in := hostProcs(), map[int]bool{pid: true}
	var out []hostProc
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if in[p.ppid] && !in[p.pid] {
				in[p.pid], grown = true, true
				out = append(out, p)
			}
		}
	}
	return out
}

func alive(p hostProc) bool { now, ok := readProc(p.pid); return ok && now.start == p.start }

func anyAlive(ps []hostProc) string {
	for _, p := range ps {
		if alive(p) {
			return fmt.Sprintf("%d %q", p.pid, p.argv)
		}
	}
	return ""
}

// find returns the process among ps whose command line begins so.
func find(t *testing.T, ps []hostProc, argv string) hostProc {
	t.Helper()
	for _, p := range ps {
		if strings.HasPrefix(strings.Join(p.argv, " "), argv) {
			return p
		}
	}
	t.Fatalf("no process %q among %v", argv, ps)
	return hostProc{}
}

// ledgers are the ledger processes of this world.
func (w *world) ledgers() []hostProc {
	var out []hostProc
	for _, p := range hostProcs() {
		if len(p.argv) > 2 && p.argv[1] == "__ledger" && strings.HasPrefix(p.argv[2], w.root) {
			out = append(out, p)
		}
	}
	return out
}

// lastLine is the last line that was said.
func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

type ending struct {
	EndedBy string `json:"ended_by"`
	Exit    int    `json:"exit"`
	Error   string `json:"error"`
}

func (w *world) ending(r result) ending {
	w.t.Helper()
	var e ending
	if err := json.Unmarshal([]byte(lastLine(r.err)), &e); err != nil {
		w.t.Errorf("the last line of stderr is no JSON (%v): %s", err, r.err)
	}
	return e
}

const headlessAgent = `#!/bin/bash
ls hello.txt; echo "ls=$?"
bash -c 'id -u; exit 3'; echo "bash=$?"
cat .env
bash -c 'cat .env'
declare -x
exit 7
`

// What cron and CI rely on: no terminal, exit codes, EACCES, one JSON line at
// the end, every contract field on record, nothing of the environment inside.
func TestHeadlessContract(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		w.write("agent.sh", headlessAgent)
		w.write("hello.txt", "hello\n")
		w.write(".env", "SECRET=hunter2\n")
		w.repo()
		w.env = append(w.env, "AWS_SECRET_ACCESS_KEY=canary-env-1", "MY_OWN_THING=canary-env-2", "LD_PRELOAD=/nowhere/canary-env-3.so")
		j := w.start("run", "--policy", w.policy(allowBash), "--approver", "none", "--json", "--", "bash", "agent.sh")
		r := j.wait()
		if r.code != 7 {
			t.Errorf("exit %d, not the agent's 7", r.code)
		}
		for _, want := range []string{"ls=126\n", "bash=3\n", fmt.Sprintf("\n%d\n", w.uid)} {
			if !strings.Contains(r.out, want) {
				t.Errorf("no %q in %s", want, r.out)
			}
		}
		if !strings.Contains(r.err, "ls: Permission denied") {
			t.Errorf("the denied program did not see EACCES: %s", r.err)
		}
		if strings.Contains(r.out+r.err, "canary-env") || strings.Contains(r.out+r.err, "hunter2") {
			t.Errorf("a secret came in: %s", r.out)
		}
		if e := w.ending(r); e.EndedBy != "agent" || e.Exit != 7 || e.Error != "" {
			t.Errorf("ending %+v", e)
		}
		eventually(t, "the ledger process ends with its last client", func() bool { return len(w.ledgers()) == 0 })
		w.checkFields()
		w.checkLineage()
		w.checkRemoved("AWS_SECRET_ACCESS_KEY", "MY_OWN_THING", "LD_PRELOAD")
	})
}

// raw returns the records as JSON objects.
func (w *world) raw() []map[string]any {
	w.t.Helper()
	var out []map[string]any
	for _, line := range strings.Split(strings.TrimSpace(w.must("log", "--json").out), "\n") {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

// field follows a dotted path.
func field(m map[string]any, path string) any {
	var v any = m
	for _, name := range strings.Split(path, ".") {
		in, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = in[name]
	}
	return v
}

func (w *world) checkFields() {
	w.t.Helper()
	common := strings.Fields("v id seq prev t.wall type session actor.kind")
	exec := strings.Fields("actor.peer.pid actor.peer.exe agent.name action.kind action.digest action.summary action.argv action.cwd action.path")
	decision := strings.Fields("policy.bundle policy.rule decision.verdict decision.basis")
	need := map[string][]string{
		"policy.activated": {"policy.bundle"},
		"session.started":  strings.Fields("agent.name policy.bundle action.argv action.cwd detail.posture detail.env_removed"),
		"session.ended":    strings.Fields("agent.name outcome.status outcome.exit detail.ended_by"),
		"exec.decided":     append(append([]string{}, exec...), decision...),
		"exec.started":     append([]string{"parent"}, exec...),
		"exec.finished":    append([]string{"parent", "outcome.status", "outcome.exit"}, exec...),
		"file.denied":      append(strings.Fields("actor.peer.pid actor.peer.exe actor.peer.argv agent.name action.kind action.digest action.path action.op"), decision...),
	}
	seen := map[string]bool{}
	for i, m := range w.raw() {
		typ, _ := m["type"].(string)
		seen[typ] = true
		if m["seq"] != float64(i+1) {
			w.t.Errorf("record %d has seq %v", i+1, m["seq"])
		}
		fields := append(append([]string{}, common...), need[typ]...)
		if strings.HasPrefix(typ, "ledger.") {
			fields = strings.Fields("v id seq prev t.wall type actor.kind")
		}
		for _, f := range fields {
			if v := field(m, f); v == nil || v == "" {
				w.t.Errorf("%s lacks %s: %v", typ, f, m)
			}
		}
	}
	for typ := range need {
		if !seen[typ] {
			w.t.Errorf("no %s on record", typ)
		}
	}
	if !seen["ledger.closed"] {
		w.t.Error("the ledger did not close its book")
	}
}

// checkLineage follows the parents: started and finished to their decision, the
// covered to the approved.
func (w *world) checkLineage() {
	w.t.Helper()
	decided, covered := map[string]rec{}, 0
	for _, r := range w.log() {
		p := decided[r.Parent]
		switch r.Type {
		case "exec.decided":
			decided[r.ID] = r
			if r.Decision.Basis != "covered" {
				continue
			}
			covered++
			if strings.Join(p.Action.Argv, " ") != "bash -c id -u; exit 3" && strings.Join(p.Action.Argv, " ") != "bash -c cat .env" {
				w.t.Errorf("covered %q stands under %q", r.Action.Argv, p.Action.Argv)
			}
		case "exec.started", "exec.finished":
			if p.ID == "" || p.Decision.Verdict != "allow" || p.Action.Digest != r.Action.Digest {
				w.t.Errorf("%s of %q has the parent %+v", r.Type, r.Action.Argv, p)
			}
		case "file.denied":
			if !strings.HasSuffix(r.Actor.Peer.Exe, "/cat") || strings.Join(r.Actor.Peer.Argv, " ") != "cat .env" {
				w.t.Errorf("file.denied by %+v", r.Actor.Peer)
			}
		}
		if r.Type == "exec.finished" && strings.Contains(r.Action.Summary, "exit 3") && (r.Outcome.Exit == nil || *r.Outcome.Exit != 3) {
			w.t.Errorf("outcome %+v", r.Outcome)
		}
		if r.Type == "exec.decided" && r.Action.Argv[0] == "ls" && (r.Decision.Verdict != "deny" || r.Decision.Basis != "headless") {
			w.t.Errorf("ls: %+v", r.Decision)
		}
	}
	if covered != 1 { // id; the cat is exec'd by a covered bash -c as well
		if covered != 2 {
			w.t.Errorf("%d covered commands", covered)
		}
	}
}

func (w *world) checkRemoved(names ...string) {
	w.t.Helper()
	out := w.must("log", "--json").out
	if strings.Contains(out, "canary-env") {
		w.t.Error("a removed variable's value is on record")
	}
	for _, r := range w.log("--type", "session.started") {
		removed := fmt.Sprint(r.Detail["env_removed"])
		for _, n := range names {
			if !strings.Contains(removed, n) {
				w.t.Errorf("%s is not among the removed: %s", n, removed)
			}
		}
	}
}

// ledgerBytes are the files of the ledger and what they hold.
func (w *world) ledgerBytes() map[string]string {
	w.t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(filepath.Join(w.root, "state/countersign/ledger"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		out[path] = string(b)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// Reading writes nothing, and one changed byte anywhere is found.
func TestVerifyFindsEveryByte(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.write("hello.txt", "hello\n")
	w.repo()
	w.script(allowBash, "cat hello.txt\n")
	eventually(t, "the ledger process ends", func() bool { return len(w.ledgers()) == 0 })
	before := w.ledgerBytes()
	w.must("log")
	w.must("log", "--json")
	w.must("verify")
	w.must("verify", "--json")
	after := w.ledgerBytes()
	if fmt.Sprint(before) != fmt.Sprint(after) || len(w.ledgers()) != 0 {
		t.Error("reading changed the ledger")
	}
	segments, _ := filepath.Glob(filepath.Join(w.root, "state/countersign/ledger/segments/*.led"))
	if len(segments) == 0 {
		t.Fatal("no segment")
	}
	for _, path := range segments {
		content := []byte(before[path])
		for _, at := range spread(len(content), 30) {
			flipped := bytes.Clone(content)
			flipped[at] ^= 0x40
			if err := os.WriteFile(path, flipped, 0o600); err != nil {
				t.Fatal(err)
			}
			if r := w.cs("verify"); r.code != 6 || r.err == "" {
				t.Errorf("byte %d of %d: exit %d %s%s", at, len(content), r.code, r.out, r.err)
			}
		}
		os.WriteFile(path, content, 0o600)
	}
	w.must("verify")
}

// spread returns n offsets over a file, its first and last bytes among them.
func spread(size, n int) []int {
	out := []int{0, 1, 9, size - 1, size - 2}
	for i := range n {
		out = append(out, (i*size)/n+(i*37)%97%(size/n))
	}
	return out
}

// A session with nothing on its descriptors 0, 1 and 2 works and is recorded.
func TestClosedDescriptors(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		w.write("agent.sh", "echo word > made.txt\nexit 5\n")
		w.repo()
		p := w.policy(allowBash)
		for _, how := range []string{"<&-", ">&-", "<&- >&-", "<&- >&- 2>&-"} {
			r := w.exec("bash", "-c", fmt.Sprintf(`"$0" run --fresh --policy %q --approver none -- bash agent.sh %s`, p, how), binary)
			if r.code != 5 {
				t.Errorf("%s: %+v\n%s", how, r, w.must("log", "--json", "--type", "exec.finished").out)
			}
		}
		if hs := w.hunks(); len(hs) != 1 || hs[0].Path != "made.txt" {
			t.Errorf("hunks %+v", hs)
		}
		w.must("verify")
	})
}

// Nothing starts under a policy that is not understood whole.
func TestBadPolicyStartsNothing(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.write("agent.sh", "echo started\n")
	w.repo()
	user := filepath.Join(w.root, "config/countersign/policy.yaml")
	for _, c := range []struct{ name, text, want string }{
		{"malformed", "version: 1\ncommands: [\n", "policy.yaml"},
		{"unknown field", "version: 1\ncomands: []\n", ":2:"},
		{"unknown verdict", "version: 1\ncommands:\n  - {id: x, verdict: maybe, argv: [ls], reason: r}\n", ":3:"},
		{"no version", "commands: []\n", "version"},
	} {
		w.write(user, c.text)
		r := w.cs("run", "--approver", "none", "--json", "--", "bash", "agent.sh")
		if r.code == 0 || strings.Contains(r.out, "started") || !strings.Contains(r.err, "policy.yaml") || !strings.Contains(r.err, c.want) || !strings.Contains(r.err, "hint:") {
			t.Errorf("%s: %+v", c.name, r)
		}
		if e := w.ending(r); e.EndedBy != "countersign" || e.Error == "" {
			t.Errorf("%s: ending %+v", c.name, e)
		}
	}
	if w.uid != 0 {
		w.write(user, "version: 1\n")
		os.Chmod(user, 0)
		if r := w.cs("run", "--approver", "none", "--", "bash", "agent.sh"); r.code == 0 || strings.Contains(r.out, "started") || !strings.Contains(r.err, "policy.yaml") {
			t.Errorf("unreadable: %+v", r)
		}
		os.Remove(user)
	}
	if r := w.cs("run", "--policy", "absent.yaml", "--approver", "none", "--", "bash", "agent.sh"); r.code == 0 || !strings.Contains(r.err, "absent.yaml") {
		t.Errorf("absent --policy: %+v", r)
	}
}

// A layer is thrown away by its session's whole name only, and that is on record.
func TestDiscard(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.repoWith("hello.txt", "hello\n")
	if r := w.script(allowBash, "echo more >> hello.txt\n"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	id := w.sessionID()
	if r := w.cs("sessions", "discard", id[:3]); r.code != 2 || !strings.Contains(r.err, "discard "+id) || len(w.hunks()) != 1 {
		t.Errorf("a beginning of the name: %+v", r)
	}
	w.must("sessions", "discard", id)
	if r := w.cs("sessions", "discard", id); r.code != 1 || !strings.Contains(r.err, "no such session") {
		t.Errorf("again: %+v", r)
	}
	if rs := w.log("--type", "session.discarded"); len(rs) != 1 || rs[0].Session != id {
		t.Errorf("on record: %+v", rs)
	}
	if left, _ := filepath.Glob(filepath.Join(w.root, "state/countersign/sessions", id)); len(left) != 0 || w.read("hello.txt") != "hello\n" {
		t.Errorf("left: %v", left)
	}
}

// A file larger than a record's payload may be is accepted, applied and taken
// back as any other, and its decision is on record.
func TestHugeFile(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.write("hello.txt", "hello\n")
	w.repo()
	if r := w.script(allowBash, "head -c 90000000 /dev/zero > huge.bin\necho more >> hello.txt\n"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	w.must("review", "--accept-all", "--apply")
	if st, err := os.Stat(filepath.Join(w.project, "huge.bin")); err != nil || st.Size() != 90_000_000 {
		t.Errorf("%v %v", st, err)
	}
	decided := map[string]int{}
	for _, r := range w.log("--type", "hunk.decided") {
		decided[r.Action.Path]++
	}
	if len(decided) != 2 || decided["huge.bin"] != 1 || decided["hello.txt"] != 1 {
		t.Errorf("decisions on record: %v", decided)
	}
	w.must("review", "--undo")
	if _, err := os.Stat(filepath.Join(w.project, "huge.bin")); err == nil || w.read("hello.txt") != "hello\n" {
		t.Error("the undo left something")
	}
	w.must("verify")
}

// A policy that comes out of a pipe is read once, and its session reviewed by it.
func TestPolicyFromAPipe(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.write("agent.sh", "bash -c 'echo x > my.plan'\n")
	w.repo()
	pipe := filepath.Join(w.root, "policy.pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	w.own()
	go os.WriteFile(pipe, []byte(allowBash+"files:\n  deny:\n    - {id: t-plan, paths: [\"*.plan\"], reason: a test}\n"), 0)
	if r := w.cs("run", "--policy", pipe, "--approver", "none", "--", "bash", "agent.sh"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if hs := w.hunks(); len(hs) != 1 || hs[0].Risk != "high" {
		t.Errorf("%+v", hs)
	}
}

// What a person mistypes is answered in words.
func TestBadInput(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.write("data.txt", "one\n")
	t.Run("command not found", func(t *testing.T) {
		r := w.cs("run", "--approver", "none", "--json", "--", "no-such-agent")
		if r.code != 1 || !strings.Contains(r.err, "command not found") || w.ending(r).EndedBy != "countersign" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("not a git repository", func(t *testing.T) {
		said := "countersign: " + w.project + " is no git repository: "
		if r := w.cs("run", "--approver", "none", "--policy", w.policy("version: 9\n"), "--", "true"); r.code == 0 || strings.Contains(r.err, said) {
			t.Errorf("said of a session that did not start: %+v", r)
		}
		r := w.script(allowBash, "echo two >> data.txt\n")
		if r.code != 0 || strings.Count(r.err, said) != 1 || !strings.Contains(r.err, "`git init`") {
			t.Errorf("it is not said once that there is no git: %+v", r)
		}
		if r := w.cs("shell", "--", "true"); strings.Contains(r.err, said) {
			t.Errorf("said to the person's own shell again: %+v", r)
		}
		if hs := w.hunks(); len(hs) != 1 || hs[0].Path != "data.txt" || hs[0].Op != "modify" {
			t.Fatalf("hunks %+v", hs)
		}
		w.must("review", "--accept-all", "--apply")
		if got := w.read("data.txt"); got != "one\ntwo\n" {
			t.Errorf("applied %q", got)
		}
	})
	t.Run("no command", func(t *testing.T) {
		if r := w.cs("run"); r.code != 2 {
			t.Errorf("%+v", r)
		}
	})
}

// Names that hurt: line ends, bytes that are no UTF-8, options, depth.
func TestNamesThatHurt(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		w.write("agent.sh", "")
		deep := strings.Repeat("d/", 300) + "deep.txt"
		names := []string{"new\nline.txt", "tab\there.txt", "-rf", "caf\xe9.txt", "ünï.txt", "sp ace/ü x.txt", "esc\x1b[31m.txt", "quote'\".txt", deep}
		for _, n := range names {
			w.write(n, "old\n")
		}
		w.repo()
		r := w.script(allowBash, "find . -path ./.git -prune -o -type f -name '*.sh' -prune -o -type f -print0 | while IFS= read -r -d '' f; do echo new >> \"$f\"; done\necho x > $'made\\nhere.txt'\n")
		if r.code != 0 {
			t.Fatalf("%+v", r)
		}
		hs := w.hunks()
		if len(hs) != len(names)+1 {
			t.Errorf("%d hunks: %+v", len(hs), hs)
		}
		if out := w.must("review", "--list").out; strings.Contains(out, "\x1b[31m") || strings.Contains(out, "new\nline") {
			t.Error("a name reaches the terminal raw")
		}
		var ids []string
		for _, h := range hs {
			ids = append(ids, h.Hunk)
		}
		w.must("review", "--accept", strings.Join(ids, ","), "--apply")
		for _, n := range names {
			if got := w.read(n); got != "old\nnew\n" {
				t.Errorf("%q holds %q", n, got)
			}
		}
		if got := w.read("made\nhere.txt"); got != "x\n" {
			t.Errorf("the new one holds %q", got)
		}
		w.must("verify")
	})
}

func jsonInto(text string, out any) error { return json.Unmarshal([]byte(text), out) }
