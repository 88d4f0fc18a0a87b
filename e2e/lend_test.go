package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lentValue is a secret of its own form, so that what looks for it can find it
// anywhere.
func lentValue() string {
	return "postgres://app:lentcanary" + strings.Repeat("/x9", 3) + "@db.example/main"
}

// lendPolicy lends DB to two scripts and to a shell, which all may run.
const lendPolicy = `version: 1
commands:
  - {id: t-bash, verdict: allow, argv: ["bash", "..."], reason: the test's driver}
  - {id: t-sh, verdict: allow, argv: ["sh", "..."], env: [PASSED], reason: what is lent to}
lend:
  - {id: t-db, name: DB, from: "env:HOST_DB", argv: ["sh", "lent.sh", "..."], env: [PASSED], reason: a test}
  - {id: t-stdin, name: DB, from: "env:HOST_DB", argv: ["sh"], reason: a test}
`

// lent runs a script under one approved command, with the value where the person
// has it.
func (w *world) lent(script string) result {
	w.t.Helper()
	w.env = append(w.env, "HOST_DB="+lentValue())
	return w.script(lendPolicy, script)
}

// holdsValue says in which form a text holds the lent value, if it does.
func holdsValue(text string) string {
	v := lentValue()
	for via, form := range map[string]string{
		"plain": v, "password": "lentcanary/x9", "hex": hex.EncodeToString([]byte(v)), "url": url.QueryEscape(v), "base64": base64.StdEncoding.EncodeToString([]byte(v))[:24],
	} {
		if strings.Contains(text, form) {
			return via
		}
	}
	return ""
}

// The value reaches the command, and the command alone: what it prints in whatever
// common form is covered, and no record has it.
func TestLentSecretReachesOneCommand(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		w.write("lent.sh", `
printf %s "$DB" | sha256sum
echo "plain $DB"
echo "errors $DB" >&2
printf %s "$DB" | base64 -w0; echo
printf %s "$DB" | od -An -tx1 -v | tr -d ' \n'; echo
printf %s "$DB" | sed 's,/,%2F,g; s,:,%3A,g; s,@,%40,g'; echo
printf %.9s "$DB"; sleep 0.2; echo "${DB#?????????} split"
/bin/echo "in an argument of its own: $DB" >/dev/null
read line; echo "read $line"
echo "home $HOME passed $PASSED kept $KEPT"
exit 5
`)
		r := w.lent(`
echo "agent has ${DB:-nothing}"
printf 'from the agent\n' | PASSED=yes KEPT=yes sh lent.sh one
echo "status $?"
printenv DB || echo "still nothing"
`)
		sum := sha256.Sum256([]byte(lentValue()))
		for _, want := range []string{"agent has nothing", hex.EncodeToString(sum[:]), "plain ‹lent DB›", " split", "read from the agent", "home /nonexistent passed yes kept \n", "status 5", "still nothing"} {
			if !strings.Contains(r.out, want) {
				t.Errorf("no %q in\n%s", want, r.out)
			}
		}
		if !strings.Contains(r.err, "errors ‹lent DB›") {
			t.Errorf("on stderr: %s", r.err)
		}
		if via := holdsValue(r.out + r.err); via != "" {
			t.Errorf("the value came through, %s:\n%s%s", via, r.out, r.err)
		}
		w.lentOnRecord(1)
	})
}

// lentOnRecord checks what is on record of so many uses.
func (w *world) lentOnRecord(uses int) {
	w.t.Helper()
	decided := map[string]rec{}
	for _, r := range w.log("--type", "exec.decided") {
		decided[r.ID] = r
	}
	lent := w.log("--type", "secret.lent")
	if len(lent) != uses {
		w.t.Errorf("%d uses on record, want %d", len(lent), uses)
	}
	for _, r := range lent {
		if d := decided[r.Parent]; d.Decision.Verdict != "allow" || d.Action.Digest != r.Action.Digest || r.Detail["name"] != "DB" || r.Detail["from"] != "env" {
			w.t.Errorf("on record: %+v, decided %+v", r, d)
		}
	}
	if via := holdsValue(w.must("log", "--json").out); via != "" {
		w.t.Errorf("a record holds the value, %s", via)
	}
	w.must("verify")
	for _, dir := range []string{"state", "run", "config"} {
		_ = filepath.Walk(filepath.Join(w.root, dir), func(path string, fi os.FileInfo, err error) error {
			if err == nil && fi.Mode().IsRegular() {
				if b, _ := os.ReadFile(path); holdsValue(string(b)) != "" {
					w.t.Errorf("%s holds the value", path)
				}
			}
			return nil
		})
	}
}

// snoop looks for a word in all that a process can be asked about another: at
// once, through descriptors opened before, and over and over while it lives.
const snoop = `
import ctypes, os, sys, time
word = sys.argv[1][::-1].encode() # the other way round, so that it stands in none of its own
libc = ctypes.CDLL(None, use_errno=True)
found = set()
me = os.getpid()
def see(how, data):
    if word in data: found.add(how)
def mem(pid, f):
    try:
        for line in open("/proc/%d/maps" % pid):
            if "[stack]" in line or "[heap]" in line:
                a, b = (int(x, 16) for x in line.split()[0].split("-"))
                f.seek(a); see("mem", f.read(b - a))
    except (OSError, ValueError): pass
class iov(ctypes.Structure): _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]
def look(pid):
    for name in ("environ", "cmdline"):
        try: see(name, open("/proc/%d/%s" % (pid, name), "rb").read())
        except OSError: pass
    try: mem(pid, open("/proc/%d/mem" % pid, "rb", 0))
    except OSError: pass
    for fd in range(3):
        try: os.close(os.open("/proc/%d/fd/%d" % (pid, fd), os.O_RDONLY | os.O_NONBLOCK)); found.add("fd") if pid in others else None
        except OSError: pass
    if libc.ptrace(16, pid, 0, 0) == 0: found.add("ptrace")
    buf = ctypes.create_string_buffer(64)
    if libc.process_vm_readv(pid, ctypes.byref(iov(ctypes.addressof(buf), 64)), 1, ctypes.byref(iov(0x7ffffffde000, 64)), 1, 0) > 0: found.add("vm")
    pfd = libc.syscall(434, pid, 0)
    if pfd >= 0:
        if libc.syscall(438, pfd, 1, 0) >= 0: found.add("getfd")
        os.close(pfd)
    if pid in others and libc.kill(pid, 0) == 0: found.add("signal")
others = set()
early = []
child = os.fork()
if child == 0:
    time.sleep(0.3)
    os.execvp(sys.argv[2], sys.argv[2:])
for name in ("mem", "environ"):
    try: early.append((name, open("/proc/%d/%s" % (child, name), "rb", 0)))
    except OSError: pass
known = {int(p) for p in os.listdir("/proc") if p.isdigit()}
status = None
while status is None:
    pid, st = os.waitpid(child, os.WNOHANG)
    if pid: status = st
    for pid in range(2, 400):
        if pid == me or os.path.exists("/proc/self/task/%d" % pid): continue
        look(pid)
    for name, f in early:
        if name == "mem": mem(child, f)
        else:
            try: f.seek(0); see("early environ", f.read())
            except OSError: pass
print("found", sorted(found))
print("child", os.waitstatus_to_exitcode(status))
`

// No process of the agent's sees into a command with secrets: not its environment,
// memory, arguments, descriptors, by no way, at no moment. Of a command of its own it
// sees all of that, or the test would prove nothing.
func TestLentSecretIsNotSeenFromOutside(t *testing.T) {
	if _, err := lookPath("python3"); err != nil {
		t.Skip("not protected here: python3 is not installed")
	}
	eachUser(t, func(t *testing.T, w *world) {
		w.write("snoop.py", snoop)
		w.write("lent.sh", "for i in 1 2 3 4 5 6 7 8; do sh -c 'sleep 0.4; exit $#' sh \"$DB\"; done; exit 3\n")
		w.write("own.sh", "for i in 1 2 3 4 5 6 7 8; do sh -c 'sleep 0.4; exit $#' sh \"$DB\"; done; exit 3\n")
		r := w.lent("DB=lentcanary-own python3 snoop.py yranactnel sh own.sh | sed 's/^/own /'\npython3 snoop.py 9x/yranactnel sh lent.sh | sed 's/^/lent /'\n")
		for _, want := range []string{"'cmdline'", "'environ'", "'mem'"} {
			if own, _, _ := strings.Cut(r.out, "own child"); !strings.Contains(own, want) {
				t.Errorf("it does not even see %s of its own: %s", want, r.out)
			}
		}
		if !strings.Contains(r.out, "lent found []") || !strings.Contains(r.out, "lent child 3") {
			t.Errorf("of the command with the secret:\n%s%s", r.out, r.err)
		}
		w.lentOnRecord(1)
	})
}

// What the agent can prepare in the environment, on PATH and in its home does not
// run with the secret.
func TestLentSecretIsNotTakenByTheEnvironment(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		w.write("evil.sh", `printf %s "$DB" >"$OLDPWD/stolen" 2>/dev/null; printf %s "$DB" > stolen`+"\n")
		w.write("bin/sha256sum", "#!/bin/sh\n. ./evil.sh\n")
		w.write("lent.sh", `printf %s "$DB" | sha256sum; bash -c 'true'; bash -lic true; sh -ic true; python3 -c 'pass'; exit 0`+"\n")
		r := w.lent(`
chmod +x bin/sha256sum
site=$(python3 -c 'import site; print(site.getusersitepackages())' 2>/dev/null) && mkdir -p "$site" && echo 'import os; os.system(". ./evil.sh")' >"$site/x.pth"
for f in .bashrc .profile .bash_profile .shrc; do cp evil.sh "$HOME/$f" 2>/dev/null; done
export BASH_ENV=$PWD/evil.sh ENV=$PWD/evil.sh LD_PRELOAD=$PWD/evil.so LD_AUDIT=$PWD/evil.so PYTHONPATH=$PWD PYTHONSTARTUP=$PWD/evil.sh PATH=$PWD/bin:$PATH NODE_OPTIONS=--require=$PWD/evil.js
env 'BASH_FUNC_true%%=() { . ./evil.sh; }' sh lent.sh
echo "status $?"
[ -s stolen ] && echo "stolen by the environment"
cp lent.sh own.sh; DB=own sh own.sh >/dev/null
[ -s stolen ] && echo "an own command is taken"
exit 0
`)
		if !strings.Contains(r.out, "status 0") || strings.Contains(r.out, "stolen by") || !strings.Contains(r.out, "an own command is taken") {
			t.Errorf("%s%s", r.out, r.err)
		}
		sum := sha256.Sum256([]byte(lentValue()))
		if !strings.Contains(r.out, hex.EncodeToString(sum[:])) {
			t.Errorf("it had no value:\n%s%s", r.out, r.err)
		}
	})
}

// The agent's own signals reach the command, its end is the end of all that it
// started, and who reads its program from the agent gets nothing. The pipe "alive"
// ends when the last of the command's processes has; no time decides.
func TestLentCommandEndsWhole(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		w.write("lent.sh", `
setsid sh -c 'exec >alive 2>&1; : >ready; sleep 1000' &
until [ -e ready ]; do sleep 0.05; done
case $1 in
term) trap 'echo trapped; exit 9' TERM; : >set; while :; do sleep 0.05; done;;
kill) : >set; sleep 1000;;
esac
`)
		r := w.lent(`
mkfifo alive
begin() { rm -f ready set; cat alive & cat=$!; }
gone() { wait $cat; echo "$1 gone"; }
begin; sh lent.sh term & p=$!; until [ -e set ]; do sleep 0.05; done; kill -TERM $p; wait $p; echo "term $?"; gone term
begin; sh lent.sh kill & p=$!; until [ -e set ]; do sleep 0.05; done; kill -KILL $p; wait $p; echo "kill $?"; gone kill
begin; sh lent.sh leave; echo "leave $?"; gone leave
begin; sh lent.sh leave | cat; gone pipe
begin; sh lent.sh leave >file 2>&1; echo "file $?"; gone file
begin; sh lent.sh leave >&- 2>&-; echo "closed $?"; gone closed
printf 'echo got $DB' | sh; echo "program $?"
exit 0
`)
		for _, want := range []string{"trapped\nterm 9", "term gone", "kill 137", "kill gone", "leave 0", "leave gone", "pipe gone", "file 0", "file gone", "closed 0", "closed gone", "program 126"} {
			if !strings.Contains(r.out, want) {
				t.Errorf("no %q in\n%s%s", want, r.out, r.err)
			}
		}
		w.lentOnRecord(6)
	})
}

// A person is asked, whatever the command line lends, and sees what is lent. What
// the agent changes while the card stands does not run.
func TestLendingIsAsked(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		w.env = append(w.env, "HOST_DB="+lentValue())
		w.write("lent.sh", "echo \"ran $DB\"\n")
		w.write("agent.sh", "sh lent.sh; echo \"status $?\"\nsh lent.sh & sleep 0; echo 'printf %s \"$DB\" >stolen' >lent.sh; cat lent.sh; wait $!; echo \"swapped $?\"; cat stolen\n")
		_, wait := w.backgroundTTY("run", "--policy", w.policy(`version: 1
commands:
  - {id: t-cat, verdict: allow, argv: ["cat", "..."], reason: a test}
`), "--lend", "DB=env:HOST_DB", "--lend-to", "sh lent.sh", "--", "bash", "agent.sh")
		q := w.asked()
		if strings.Join(q.Lends, " ") != "DB" {
			t.Errorf("asked without a word of what is lent: %+v", q)
		}
		if said := w.must("requests").out; !strings.Contains(said, "LENDS DB to this command") {
			t.Errorf("listed without a word of what is lent:\n%s", said)
		}
		w.must("approve", q.ID)
		var second, swap request // the agent goes on to the swap when the second is on its card
		eventually(t, "both are asked", func() bool {
			rs := w.requests()
			for _, x := range rs {
				if x.Argv[0] == "sleep" {
					swap = x
				} else {
					second = x
				}
			}
			return len(rs) == 2
		})
		w.must("approve", swap.ID)
		eventually(t, "the script is another", func() bool { return len(w.decisions("cat lent.sh")) > 0 })
		w.must("approve", second.ID)
		out := wait()
		for _, want := range []string{"ran ‹lent DB›", "status 0", "swapped 126"} {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
		if holdsValue(out) != "" {
			t.Errorf("the value came through:\n%s", out)
		}
		w.lentOnRecord(2)
	})
}

// A value is never given on the command line, and what cannot be covered is not
// lent.
func TestLendingIsRefused(t *testing.T) {
	w := newWorld(t, users()[0])
	for _, args := range [][]string{
		{"--lend", "DB=hunter2hunter2", "--lend-to", "sh x"},
		{"--lend", "DB=env:X"},
		{"--lend-to", "sh x"},
		{"--lend", "LD_PRELOAD=env:X", "--lend-to", "sh x"},
		{"--lend", "DB=env:X", "--lend-to", "sh x; ls"},
	} {
		r := w.cs(append(append([]string{"run"}, args...), "--approver", "none", "--", "true")...)
		if r.code != 2 && r.code != 1 || strings.Contains(r.err, "hunter2") {
			t.Errorf("%q: exit %d, %s", args, r.code, r.err)
		}
	}
	w.env = append(w.env, "HOST_DB=short")
	w.write("lent.sh", "echo ran\n")
	r := w.script(lendPolicy, "sh lent.sh; echo \"status $?\"\n")
	if strings.Contains(r.out, "ran") || !strings.Contains(r.out, "status 126") {
		t.Errorf("%s%s", r.out, r.err)
	}
}

// Agents hold their commands by sockets and pipes that they made non-blocking; what
// a command with a secret reads and writes goes through them as ever, and as much.
func TestLentCommandOfAnAgent(t *testing.T) {
	if _, err := lookPath("node"); err != nil {
		t.Skip("not tested here: node is not installed")
	}
	w := newWorld(t, users()[len(users())-1])
	w.write("lent.sh", "cat | wc -c; i=0; while [ $i -lt 3000 ]; do echo \"$i $DB ....................................\"; i=$((i+1)); done; echo errors >&2; exit 6\n")
	w.write("agent.js", `
const {spawn, spawnSync} = require('child_process')
const r = spawnSync('sh', ['lent.sh'], {input: 'x'.repeat(300000), maxBuffer: 1 << 24})
console.log('sync', r.status, r.stdout.toString().split('\n').length, r.stdout.toString().split('\n')[0].trim(), r.stderr.toString().trim())
const c = spawn('sh', ['lent.sh'])
let n = 0
c.stdout.on('data', d => { n += (d.toString().match(/\n/g) || []).length })
c.stdin.end('four')
c.on('close', (code, signal) => console.log('async', code, signal, n))
`)
	r := w.lent("node agent.js\n")
	for _, want := range []string{"sync 6 3002 300000 errors", "async 6 null 3001"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in\n%s%s", want, r.out, r.err)
		}
	}
	w.lentOnRecord(2)
}

// A value that the command wrote down does not leave in a prompt.
func TestLentValueDoesNotLeaveInPrompts(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	m := newModel(t)
	w.write(filepath.Join(w.root, "config/countersign/gateway.yaml"), fmt.Sprintf("providers:\n  - {name: scripted, wire: anthropic, base_url: %q}\n", m.URL))
	w.write("lent.sh", "echo \"connecting to $DB\" >trace.log\n")
	r := w.lent(`sh lent.sh
python3 - <<'PY'
import json, os, urllib.request
body = {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": open("trace.log").read()}]}
q = urllib.request.Request(os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages", json.dumps(body).encode(), {"X-Api-Key": os.environ["ANTHROPIC_API_KEY"]})
print(urllib.request.urlopen(q, timeout=20).status)
PY
`)
	if !strings.Contains(r.out, "200") {
		t.Fatalf("%s%s", r.out, r.err)
	}
	if seen := m.seen(); holdsValue(seen) != "" || !strings.Contains(seen, "connecting to [secret:denied-file:") {
		t.Errorf("the model got\n%s", seen)
	}
}

// Several at once share their script and do not get in each other's way.
func TestLentCommandsAtOnce(t *testing.T) {
	w := newWorld(t, users()[len(users())-1])
	w.write("lent.sh", "sleep 0.0$1; exit 5\n")
	r := w.lent("for r in 1 2 3; do for i in 1 2 3 4 5 6; do (sh lent.sh $i; echo \"status $?\") & done; wait; done\n")
	if n := strings.Count(r.out, "status 5\n"); n != 18 {
		t.Errorf("%d of 18:\n%s%s", n, r.out, r.err)
	}
	w.lentOnRecord(18)
}

// No signal makes a command with secrets a server of the agent's: Node opens its
// inspector for SIGUSR1, a Java machine its attach socket for SIGQUIT.
func TestLentCommandOpensForNoSignal(t *testing.T) {
	if _, err := lookPath("node"); err != nil {
		t.Skip("not protected here: node is not installed")
	}
	eachUser(t, func(t *testing.T, w *world) {
		w.write("lent.js", `
process.on("SIGTERM", () => console.log("not attached to"))
process.on("SIGHUP", () => { console.log("hung up"); process.exit(4) })
setTimeout(() => process.exit(3), 20000)
console.log("up")
`)
		w.write("lent.sh", "exec node lent.js\n")
		r := w.lent(`
mkfifo out
env --default-signal=QUIT sh lent.sh >out 2>&1 &
exec 3<out
read -r line <&3; echo "$line"
kill -USR1 $!
kill -QUIT $!
for i in 1 2 3 4 5 6 7 8 9 10; do (exec 4<>/dev/tcp/127.0.0.1/9229) 2>/dev/null && { echo inspector open; break; }; sleep 0.1; done
kill -HUP $!
cat <&3
wait $!; echo "status $?"
`)
		if strings.Contains(r.out, "inspector open") || !strings.Contains(r.out, "not attached to\nhung up\nstatus 4") {
			t.Errorf("%s%s", r.out, r.err)
		}
	})
}

// swapInput has a child of its own descriptors run a program, and gives it another
// input between the look at the one that it has and the taking of it.
const swapInput = `
import ctypes, os, sys, time
null, (r, w) = os.open("/dev/null", os.O_RDONLY), os.pipe()
if r == 0 or null == 0: sys.exit("descriptor 0 is not open")
os.write(w, b"echo swapped; printf %s \"$DB\" >swapped\nexit 0\n")
os.close(w)
libc = ctypes.CDLL(None)
done = 0
for i in range(40):
    os.dup2(null, 0)
    pid = libc.syscall(56 if os.uname().machine == "x86_64" else 220, 0x400 | 17, 0, 0, 0, 0) # CLONE_FILES
    if pid == 0:
        os.execv("/bin/sh", ["sh"])
        os._exit(99)
    n = 0
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        n += 1
        time.sleep(0.0005 * (i % 8 + 1))
        os.dup2(r if n % 2 else null, 0)
    if os.path.exists("swapped"): break
    done += 1
print("tries", done)
`

// The command reads what it was approved with, not what the agent puts in its place
// meanwhile.
func TestLentCommandKeepsItsInput(t *testing.T) {
	if _, err := lookPath("python3"); err != nil {
		t.Skip("not tested here: python3 is not installed")
	}
	eachUser(t, func(t *testing.T, w *world) {
		w.write("swap.py", swapInput)
		r := w.lent("python3 swap.py\n[ -s swapped ] && echo stolen by its input\nexit 0\n")
		if !strings.Contains(r.out, "tries 40") || strings.Contains(r.out, "stolen") {
			t.Errorf("%s%s", r.out, r.err)
		}
	})
}
