//go:build amd64 || arm64

package lending

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/mask"
	"github.com/countersign/countersign/sandbox"
)

// notRun is the exit status of a command that could not be started, as a shell has
// it.
const notRun = 126

// away is a command with secrets, from its start to its end, and what lies between
// it and the process that stands in for it.
type away struct {
	p     *sandbox.Process
	judge *apart
	mask  *mask.Mask
	stop  context.CancelFunc // of its supervisor

	in       *feed    // nil: nothing is fed
	out, err *os.File // our ends of what it writes to; err is nil where both go one way

	ended chan struct{} // closed when nobody waits for its output any more
	once  sync.Once
}

// open makes the three descriptors that the command gets.
func (w *away) open(caller int, in countersign.Stdin) (theirs [3]*os.File, err error) {
	if theirs[0], w.in, err = input(caller, in); err != nil {
		return theirs, err
	}
	if w.out, theirs[1], err = os.Pipe(); err != nil {
		w.close()
		return theirs, err
	}
	if oneWay(caller) { // 2>&1: what it writes stays in its order
		theirs[2] = theirs[1]
		return theirs, nil
	}
	if w.err, theirs[2], err = os.Pipe(); err != nil {
		w.close()
	}
	return theirs, err
}

// oneWay reports whether a process's output and errors go to one place.
func oneWay(pid int) bool {
	out, a := take(pid, 1)
	err, b := take(pid, 2)
	defer closeAll([]*os.File{out, err})
	return out != nil && err != nil && a.Dev == b.Dev && a.Ino == b.Ino
}

// Run lets the command go and is between it and process pid until it has ended.
func (w *away) Run(pid int) int {
	defer w.close()
	to := []*os.File{output(pid, 1), output(pid, 2)}
	defer closeAll(to)
	var pumps sync.WaitGroup
	for i, from := range []*os.File{w.out, w.err} {
		if from != nil {
			pumps.Go(func() { w.pump(to[i], from) })
		}
	}
	if err := w.p.Go(); err != nil {
		w.judge.end(countersign.Outcome{Status: "failed", Error: err.Error()})
		pumps.Wait()
		if to[1] != nil {
			_ = send(to[1], fmt.Appendf(nil, "countersign: the command with lent secrets did not start: %v\n", err), w.ended)
		}
		return notRun
	}
	if w.in != nil {
		go w.in.run(w.ended)
	}
	<-w.p.Done()
	exit, _ := w.p.Wait()
	pumps.Wait()
	return exit
}

// pump copies what the command writes, its secrets covered, until nobody can write
// or read any more. Then the command is told as by a broken pipe.
func (w *away) pump(to, from *os.File) {
	masked := w.mask.NewWriter(writer(func(b []byte) error {
		if to == nil {
			return nil // closed: what it writes is lost
		}
		return send(to, b, w.ended)
	}))
	_, err := io.Copy(masked, from)
	if err == nil {
		err = masked.Flush()
	}
	if err != nil {
		from.Close()
	}
}

type writer func([]byte) error

func (w writer) Write(b []byte) (int, error) { return len(b), w(b) }

// Signal hands a signal that ends, stops or continues on to the command's process
// group; SIGQUIT as SIGTERM. At others runtimes open a door: Node its inspector at
// SIGUSR1, a Java machine its attach socket at SIGQUIT. Who was killed waits for no
// output.
func (w *away) Signal(sig syscall.Signal) {
	switch sig {
	case unix.SIGQUIT:
		sig = unix.SIGTERM
	case unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGKILL, unix.SIGSTOP, unix.SIGCONT:
	default:
		return
	}
	_ = w.p.Signal(sig)
	if sig == unix.SIGKILL {
		w.once.Do(func() { close(w.ended) })
	}
}

// Drop has a command that waits be refused. Who drops it says why.
func (w *away) Drop() {
	w.judge.over.Do(func() {})
	w.judge.dropped.Store(true)
	go func() {
		defer w.close()
		if w.p.Go() == nil {
			_ = w.p.Signal(unix.SIGKILL)
		}
	}()
}

func (w *away) close() {
	w.once.Do(func() { close(w.ended) })
	if w.stop != nil {
		w.stop()
	}
	closeAll([]*os.File{w.out, w.err})
	if w.in != nil {
		w.in.close()
	}
}
