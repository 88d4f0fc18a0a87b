//go:build amd64 || arm64

package execgate

import (
	"bytes"
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/execfile"
	"github.com/countersign/countersign/sandbox/execgate/held"
	"github.com/countersign/countersign/sandbox/seccomp"
)

// compare says what of the loaded image differs from the plan; empty: nothing.
func (w *worker) compare(pid int, p *plan) string {
	t := &w.t
	t.tid, t.tgid = pid, pid // the executing thread has become the leader
	var st unix.Stat_t
	if unix.Stat(proc(pid, "exe"), &st) != nil {
		return "its executable cannot be read"
	}
	if execfile.StampOf(&st) != p.image.Stamp {
		return "another executable was loaded"
	}
	if !p.image.Trusted && !w.sameContent(pid, &st, p.image.Hash) {
		return "its executable has other content"
	}
	if cwd, err := t.readLink("cwd"); err != nil || cwd != p.exec.Cwd {
		return "its working directory is another"
	}
	// A launch's descriptors cannot be read beforehand: init, which forks it, is
	// not dumpable. A launch gives no cover, so nothing hangs on its input.
	if p.exec.Stdin != "" && !p.exec.Launch {
		if now := t.stdin(); now != p.exec.Stdin && now != countersign.StdinNone {
			return "its standard input is another"
		}
	}
	return w.compareStrings(pid, p)
}

func (w *worker) sameContent(pid int, st *unix.Stat_t, hash string) bool {
	fd, err := unix.Open(proc(pid, "exe"), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	c, errno := w.s.files.Of(fd, st, false)
	return errno == 0 && c.Hash == hash
}

// compareStrings reads the new stack: argc, argv, envp and the strings that
// they point to, which lie there one after the other.
func (w *worker) compareStrings(pid int, p *plan) string {
	h := held.Thread{}
	info, errno := h.Info(pid)
	if errno != 0 || info.Arch != seccomp.Arch {
		return compareProc(pid, p)
	}
	argc, envc := len(p.loaded), len(p.exec.Env)
	words := 1 + argc + 1 + envc + 1
	total := words*8 + len(p.args) + len(p.env)
	if cap(w.buf) < total {
		w.buf = make([]byte, total+total/2)
	}
	vec, text := w.buf[:words*8], w.buf[words*8:total]
	w.m.TID = pid
	if errno := w.m.Read(vec, info.SP); errno != 0 {
		return "its arguments cannot be read"
	}
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(vec[8*i:]) }
	if word(0) != uint64(argc) || word(argc+1) != 0 || word(words-1) != 0 {
		return "it has another number of arguments or variables"
	}
	if errno := w.m.Read(text, word(1)); errno != 0 {
		return "its arguments cannot be read"
	}
	if !bytes.Equal(text[:len(p.args)], p.args) {
		return "its arguments are others"
	}
	if !bytes.Equal(text[len(p.args):], p.env) {
		return "its environment is another"
	}
	at := word(1)
	for i, s := range p.loaded {
		if word(1+i) != at {
			return "its arguments lie elsewhere"
		}
		at += uint64(len(s)) + 1
	}
	for i, s := range p.exec.Env {
		if word(argc+2+i) != at {
			return "its environment lies elsewhere"
		}
		at += uint64(len(s)) + 1
	}
	return ""
}

// compareProc is the same by way of /proc, for an image of another word size.
func compareProc(pid int, p *plan) string {
	if b, err := os.ReadFile(proc(pid, "cmdline")); err != nil || !bytes.Equal(b, p.args) {
		return "its arguments are others"
	}
	if b, err := os.ReadFile(proc(pid, "environ")); err != nil || !bytes.Equal(b, p.env) {
		return "its environment is another"
	}
	return ""
}
