//go:build amd64 || arm64

package execgate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/execfile"
	"github.com/countersign/countersign/sandbox/execgate/held"
	"github.com/countersign/countersign/sandbox/execgate/names"
	"github.com/countersign/countersign/sandbox/seccomp"
)

// Idle threads beyond maxIdle end; a thread is added whenever fewer than
// minIdle wait, so that a caller never waits because others are being asked.
const (
	minIdle    = 2
	maxIdle    = 8
	maxThreads = 512
)

// Supervisor answers the notifications of one listener.
type Supervisor struct {
	cfg      Config
	listener seccomp.Listener
	rows     map[uint32][]seccomp.Row
	baseline map[string]string
	files    *execfile.Cache
	tree     *tree
	launch   *launch
	flood    refusals
	root     atomic.Int64      // descriptor of the tree's root directory, -1 before the first call
	rootFile *os.File          // holds that descriptor, for as long as this lives
	links    map[string]string // the symlinks that stand in it, set before root
	rootOnce sync.Mutex

	ctx     context.Context
	turn    seccomp.Turn
	threads atomic.Int32
	idle    atomic.Int32
	done    chan error
	once    sync.Once
}

// New returns a supervisor that Run sets to work.
func New(cfg Config) (*Supervisor, error) {
	if cfg.Listener == nil || cfg.Judge == nil {
		return nil, errNoListener
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Writable == nil {
		cfg.Writable = func(string) bool { return true }
	}
	s := &Supervisor{
		cfg: cfg, listener: seccomp.Listener(cfg.Listener.Fd()), rows: map[uint32][]seccomp.Row{},
		baseline: map[string]string{}, files: execfile.NewCache(cfg.Now), tree: newTree(), done: make(chan error, 1),
	}
	s.root.Store(-1)
	s.turn.Pass()
	s.cfg.Restarts = s.cfg.Restarts || !killable()
	s.launch = newLaunch(cfg.Launch)
	s.flood = newRefusals(cfg.Judge, cfg.Now)
	for _, r := range seccomp.Table() {
		s.rows[r.NR] = append(s.rows[r.NR], r)
	}
	for _, kv := range cfg.Env {
		name, value := cutEnv(kv)
		s.baseline[name] = value
	}
	return s, nil
}

// Run answers until no process is left under the filter or ctx ends. When ctx
// ends while processes live, every later call of theirs fails with ENOSYS, as
// if the listener were closed. An error means that the supervisor is broken:
// the session must end.
func (s *Supervisor) Run(ctx context.Context) error {
	s.ctx = ctx
	_ = s.listener.SyncWakeUp()
	held.MuteStops()
	for range minIdle + 1 {
		s.spawn()
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.flood.Flush(true)
			return ctx.Err()
		case err := <-s.done:
			s.flood.Flush(true)
			if errors.Is(err, seccomp.ErrGone) {
				return nil
			}
			return err
		case <-tick.C:
			s.flood.Flush(false)
			s.turn.Look()
			s.tree.sweep()
		}
	}
}

func (s *Supervisor) end(err error) {
	s.once.Do(func() { s.done <- err })
}

func (s *Supervisor) spawn() {
	if s.threads.Add(1) > maxThreads {
		s.threads.Add(-1)
		return
	}
	s.idle.Add(1)
	go s.thread(nil)
}

// thread is one notifier: locked to its thread, with every signal blocked. A
// signal between an answer and its delivery would corrupt the caller, and a
// ptrace stop belongs to the thread that seized.
//
// It has a thread without children, for it waits for whatever it holds: on one
// that started a process for this program before, that process's end would be
// taken away from who waits for it. found is closed when it has such a thread.
func (s *Supervisor) thread(found chan<- struct{}) {
	runtime.LockOSThread()
	own := held.Childless()
	if !own {
		other := make(chan struct{})
		go s.thread(other)
		<-other // meanwhile nothing else runs on this one
	}
	if found != nil {
		close(found)
	}
	if !own {
		runtime.UnlockOSThread()
		return
	}
	s.notify()
}

// notify never unlocks its thread, which ends with the goroutine.
func (s *Supervisor) notify() {
	defer s.threads.Add(-1)
	blockSignals()
	w := &worker{s: s, tid: unix.Gettid()}
	for {
		if err := w.receive(); err != nil {
			s.end(err)
			return
		}
		if s.idle.Add(-1) < minIdle {
			s.spawn()
		}
		w.handle()
		if s.idle.Add(1) > maxIdle {
			s.idle.Add(-1)
			w.pass()
			return
		}
	}
}

// receive waits for the thread's turn and then answers what can be answered at
// once, until there is something that cannot.
func (w *worker) receive() error {
	turn := &w.s.turn
	if w.mark == 0 || !turn.End(w.mark) {
		turn.Take()
	}
	for {
		if err := w.s.listener.Recv(&w.n); err != nil {
			turn.Pass()
			return err
		}
		w.mark = turn.Begin()
		if !w.quick() {
			return nil // with the turn, if it is not taken away: see pass
		}
		if !turn.End(w.mark) {
			turn.Take()
		}
	}
}

// pass gives the turn away, if this thread still has it, before whatever may
// take long: a person's answer, the disk, the exec itself. To wake another thread
// costs as much as all else that a covered exec needs before it runs.
func (w *worker) pass() {
	if w.mark != 0 && w.s.turn.End(w.mark) {
		w.s.turn.Pass()
	}
	w.mark = 0
}

func blockSignals() {
	var all [unsafe.Sizeof(uint64(0))]byte
	for i := range all {
		all[i] = 0xff
	}
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&all)), 0, unsafe.Sizeof(all), 0, 0)
}

// killable reports whether the kernel has WAIT_KILLABLE_RECV (Linux 5.19).
func killable() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var major, minor int
	_, _ = fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return major > 5 || major == 5 && minor >= 19
}

// worker holds what one notifier thread needs; its buffers live as long as it.
type worker struct {
	s    *Supervisor
	n    seccomp.Notif
	row  *seccomp.Row // that n meets
	tid  int
	mark uint64 // of the turn that this thread has, 0: it has none
	t    target
	m    seccomp.Memory
	buf  []byte
	to   countersign.Net // where a refused connect leads
	call names.Call      // that names files
	env  environment     // of the last exec
}

// quick answers what needs no more than a look at the caller's memory, and
// reports whether it did. It makes no record and waits for nobody.
func (w *worker) quick() bool {
	w.row = nil
	if w.s.ctx.Err() != nil || seccomp.Foreign(&w.n.Data) {
		return false
	}
	w.row = w.s.row(&w.n.Data)
	w.m.TID = int(w.n.PID)
	switch {
	case w.row == nil:
		return false
	case w.row.Do == seccomp.Name && !w.call.Read(w.s.cfg.Names, &w.m, w.row, w.n.Data.Args), w.row.Do == seccomp.Dial && w.dialIsLocal(w.row.Call):
		w.goOn()
		return true
	}
	return false
}

// handle answers what quick could not. Whatever is not understood is refused.
func (w *worker) handle() {
	s := w.s
	if w.row == nil || w.row.Do != seccomp.Gate {
		w.pass()
	}
	if s.ctx.Err() != nil {
		w.fail(unix.ENOSYS)
		return
	}
	if err := w.t.open(int(w.n.PID), &s.tree.census); err != nil {
		w.fail(unix.EPERM)
		return
	}
	switch row := w.row; {
	case seccomp.Foreign(&w.n.Data):
		w.refuse(foreignName(&w.n.Data), unix.ENOSYS)
	case row == nil:
		w.refuse("unknown call", unix.EPERM)
	case row.Do == seccomp.Gate:
		w.exec(row.Call)
	case row.Do == seccomp.Dial:
		w.refuseDial(row.Call)
	case row.Do == seccomp.Name:
		w.refuseName(row)
	case row.Do == seccomp.Reaper:
		s.tree.reaper(w.t.tgid, w.t.who.ID, w.n.Data.Args[1] != 0)
		w.goOn()
	case w.debugs(row.Call):
		w.goOn()
	default:
		w.refuse(row.Call, row.Errno)
	}
}

// row finds the row that the filter found: the registers that it looked at are
// in the notification.
func (s *Supervisor) row(d *seccomp.Data) *seccomp.Row {
	rows := s.rows[uint32(d.NR)]
	for i := range rows {
		if rows[i].Meets(d) {
			return &rows[i]
		}
	}
	return nil
}

func (w *worker) fail(errno unix.Errno) { _ = w.s.listener.Fail(w.n.ID, errno) }
func (w *worker) goOn()                 { _ = w.s.listener.Continue(w.n.ID) }

// Covered returns the live processes that decided commands are or started.
func (s *Supervisor) Covered() []Process { return s.tree.list() }

func (w *worker) action(kind countersign.Kind) countersign.Action {
	return countersign.Action{Kind: kind, Session: w.s.cfg.Session, Peer: w.t.peer(w.s.tree, false)}
}
