package e2e

import (
	"bytes"
	"context"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
)

// screen collects what a terminal was sent.
type screen struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// backgroundTTY starts countersign on a terminal of its own.
func (w *world) backgroundTTY(args ...string) (typed func(string), wait func() string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	cmd := w.command(ctx, binary, args...)
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
	master, tty, err := pty.Open()
	if err != nil {
		w.t.Fatal(err)
	}
	pty.Setsize(master, &pty.Winsize{Rows: 24, Cols: 80})
	if w.uid != 0 {
		tty.Chown(w.uid, w.uid)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	tty.Close()
	var s screen
	copied := make(chan struct{})
	go func() { io.Copy(&s, master); close(copied) }()
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	w.t.Cleanup(func() { syscall.Kill(cmd.Process.Pid, syscall.SIGTERM); cancel(); <-done; master.Close() })
	return func(s string) { io.WriteString(master, s) }, func() string {
		<-done
		select {
		case <-copied:
		case <-time.After(time.Second):
		}
		return s.String()
	}
}
