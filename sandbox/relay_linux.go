package sandbox

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/sandbox/view"
)

// relay stands between a command and a file of the host. Who holds a descriptor
// of a file can open the file anew through /proc/self/fd, for writing too and
// whatever the descriptor was opened for (proc_pid_fd(5)); of a pipe there is
// nothing to be opened but the pipe.
type relay struct {
	host, pipe *os.File // pipe is the session's end
	ended      chan struct{}
	err        error // of the host's file
}

// stdio makes the three descriptors that a command may hold of those it is
// handed. Terminals, pipes, sockets and /dev/null pass; files are relayed; a
// directory, from which a path leads to all of the host, is refused.
// The descriptors are the caller's to close once they are sent.
func stdio(c Command) (theirs []*os.File, out []*relay, err error) {
	var files [3]unix.Stat_t
	defer func() {
		if err != nil {
			view.CloseAll(theirs)
		}
	}()
	for i, f := range []*os.File{c.Stdin, c.Stdout, c.Stderr} {
		if f == nil {
			if f, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
				return theirs, nil, err
			}
			defer f.Close()
		}
		st := &files[i]
		if err = unix.Fstat(int(f.Fd()), st); err != nil {
			return theirs, nil, &os.PathError{Op: "stat", Path: f.Name(), Err: err}
		}
		shared := i == 2 && len(out) == 1 && st.Dev == files[1].Dev && st.Ino == files[1].Ino
		t := f
		switch kind := st.Mode & unix.S_IFMT; {
		case kind == unix.S_IFDIR:
			return theirs, nil, &countersign.Error{Code: countersign.EInvalid, Op: "start", Thing: "the command", Err: errors.New(f.Name() + " is a directory"), Remedy: "redirect to or from a file, a pipe or /dev/null"}
		case c.Inside || kind != unix.S_IFREG && kind != unix.S_IFBLK:
		case shared: // 2>&1
			t = theirs[1]
		default:
			var r *relay
			if r, t, err = newRelay(f, i == 0); err != nil {
				return theirs, nil, err
			}
			defer t.Close()
			if i > 0 {
				out = append(out, r)
			}
		}
		fd, err := unix.FcntlInt(t.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return theirs, nil, os.NewSyscallError("dup", err)
		}
		theirs = append(theirs, os.NewFile(uintptr(fd), f.Name()))
	}
	return theirs, out, nil
}

// newRelay starts the copying. theirs is the command's end.
func newRelay(host *os.File, in bool) (r *relay, theirs *os.File, err error) {
	fd, err := unix.FcntlInt(host.Fd(), unix.F_DUPFD_CLOEXEC, 0) // it outlives the caller's
	if err != nil {
		return nil, nil, os.NewSyscallError("dup", err)
	}
	r = &relay{host: os.NewFile(uintptr(fd), host.Name()), ended: make(chan struct{})}
	read, write, err := os.Pipe()
	if err != nil {
		r.host.Close()
		return nil, nil, err
	}
	if in {
		r.pipe = write
		go r.feed()
		return r, read, nil
	}
	r.pipe = read
	go r.copy()
	return r, write, nil
}

// feed writes the host's file until it ends or nobody reads any more.
func (r *relay) feed() {
	_, _ = io.Copy(r.pipe, r.host)
	r.pipe.Close()
	r.host.Close()
}

// copy writes what the command wrote, until settle interrupts it. Where the
// host's file takes no more, the command is told by a broken pipe.
func (r *relay) copy() {
	defer close(r.ended)
	_, err := io.Copy(r.host, r.pipe)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		r.close(err)
	}
}

func (r *relay) close(err error) {
	if err != nil {
		r.err = &countersign.Error{Code: countersign.EInternal, Op: "write the command's output", Thing: r.host.Name(), Err: err}
	}
	r.pipe.Close()
	r.host.Close()
}

// settle returns when all that the command has written is in the host's file.
// What it left running may write on.
func (r *relay) settle() error {
	raw, err := r.pipe.SyscallConn()
	_ = r.pipe.SetReadDeadline(time.Unix(1, 0))
	<-r.ended
	if err != nil || r.pipe.SetReadDeadline(time.Time{}) != nil { // closed: it has ended by itself
		return r.err
	}
	for buf := make([]byte, 1<<16); ; {
		var n int
		if e := raw.Control(func(fd uintptr) { n, err = unix.Read(int(fd), buf) }); e != nil {
			err = e
		}
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			r.ended = make(chan struct{})
			go r.copy()
			return nil
		case err == nil && n > 0:
			if _, err = r.host.Write(buf[:n]); err == nil {
				continue
			}
		}
		r.close(err)
		return r.err
	}
}
