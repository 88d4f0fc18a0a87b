//go:build amd64 || arm64

package execgate

import (
	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/procstat"
)

// debugCalls are the calls of a debugger: each with the argument that names whom it
// reaches, or -1 for a request on who is held already.
var debugCalls = map[string]func(args [6]uint64) int{
	"ptrace": func(args [6]uint64) int {
		if args[0] == unix.PTRACE_ATTACH || args[0] == unix.PTRACE_SEIZE {
			return 1
		}
		return -1
	},
	"process_vm_readv":  func([6]uint64) int { return 0 },
	"process_vm_writev": func([6]uint64) int { return 0 },
}

// debugs reports whether the call is a debugger's that may, and reaches no further
// than what runs under the same approval. Who is held, by PTRACE_TRACEME or an
// earlier call, is under it: nothing else could have been reached.
func (w *worker) debugs(call string) bool {
	reaches, ok := debugCalls[call]
	if !ok {
		return false
	}
	r := w.s.tree.cover(&w.t)
	if r == nil || !r.debugs {
		return false
	}
	arg := reaches(w.n.Data.Args)
	if arg < 0 {
		return true
	}
	var t target
	pid, ok := procstat.Within(w.t.tid, int(int32(w.n.Data.Args[arg])))
	return ok && t.open(pid, &w.s.tree.census) == nil && w.s.tree.cover(&t) == r
}

// traced reports whether somebody holds the thread that is about to exec: only a
// debugger under the same approval can.
func traced(tid int, r *root) bool {
	if r == nil || !r.debugs {
		return false
	}
	by, err := procstat.StatusField(tid, "TracerPid:")
	return err == nil && by != 0
}

// letGo lets a covered exec go that cannot be held, as a debugger holds it. What it
// becomes is taken to be what was decided; where it was the agent once more it stays
// that, since what it has forked cannot be told from what comes.
func (w *worker) letGo(p *plan, end *ending, r *root) {
	img := &image{id: w.t.who.ID, root: r, covers: end.permit.Covers, argv: p.loaded, permit: end.permit}
	img.alone = p.exec.Again || w.s.tree.alone(w.t.tgid, w.t.who.ID)
	a := end.action
	img.action = countersign.Action{Kind: a.Kind, Session: a.Session, Peer: a.Peer, Exec: &countersign.Exec{Argv: p.exec.Argv, Cwd: p.exec.Cwd, Exe: p.exec.Exe}}
	w.s.tree.set(w.t.tgid, img)
	w.s.cfg.Judge.Started(end.permit, a)
	w.goOn()
	w.pass()
}
