package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// behind becomes a program under a filter that says that a user namespace was
// made, and makes none: a machine on which a control does not answer.
func behind(argv []string) {
	const allow, errno0 = 0x7fff0000, 0x00050000 // SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO (seccomp(2))
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // seccomp_data.nr
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_UNSHARE, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 16}, // its first argument
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.CLONE_NEWUSER, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: errno0},
		{Code: unix.BPF_RET | unix.BPF_K, K: allow},
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	if err == nil {
		const everyThread = 1 // SECCOMP_FILTER_FLAG_TSYNC
		if _, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, everyThread, uintptr(unsafe.Pointer(&prog))); e != 0 {
			err = e
		}
	}
	if err == nil {
		err = syscall.Exec(argv[0], argv, os.Environ())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(99)
}

// TestStartsNothingWhereAControlDoesNotAnswer: what each start tries must be refused,
// or the agent does not start, and why is on record.
func TestStartsNothingWhereAControlDoesNotAnswer(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, os.Getuid())
	w.write("agent.sh", "touch ran; echo started\n")
	w.repo()
	r := w.exec(self, "__behind", binary, "run", "--policy", w.policy(allowBash), "--approver", "none", "--", "bash", "agent.sh")
	if r.code != 1 || strings.Contains(r.out, "started") || !strings.Contains(r.err, "make a user namespace: answered success, not EPERM") {
		t.Fatalf("%+v", r)
	}
	var failed, started, ended int
	for _, rec := range w.log() {
		switch {
		case rec.Type == "canary.result" && rec.Outcome.Status == "failed" && rec.Detail["row"] == "start" && rec.Detail["blocked"] == false:
			failed++
		case rec.Type == "session.started" || strings.HasPrefix(rec.Type, "exec."):
			started++
		case rec.Type == "session.ended" && rec.Outcome.Status == "failed":
			ended++
		}
	}
	if failed != 1 || started != 0 || ended != 1 {
		t.Errorf("%d failed trials, %d records of a start, %d of an end", failed, started, ended)
	}
	if x := w.exec(self, "__behind", binary, "selftest"); x.code == 0 {
		t.Errorf("the self-test passes there: %+v", x)
	}
	w.must("verify")
	if r := w.cs("run", "--policy", w.policy(allowBash), "--approver", "none", "--", "bash", "agent.sh"); r.code != 0 || !strings.Contains(r.out, "started") {
		t.Errorf("without that filter: %+v", r)
	}
}
