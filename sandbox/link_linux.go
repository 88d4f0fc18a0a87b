package sandbox

import (
	"errors"
	"os"
	"sync"
	"syscall"

	"github.com/countersign/countersign/sandbox/view"
)

// link is the session's end of a helper's socket: requests with answers, and
// events.
type link struct {
	conn   *view.Conn
	gone   chan struct{} // closed when the helper is gone
	events chan event

	mu   sync.Mutex
	next uint64
	open map[uint64]chan event
}

type event struct {
	m     view.Message
	files []*os.File
}

func newLink(c *view.Conn) *link {
	return &link{conn: c, gone: make(chan struct{}), events: make(chan event, 1), open: map[uint64]chan event{}}
}

// read hands out what comes until the helper is gone. Events, which answer
// nothing, go to on, or, if that is nil, to the channel.
func (l *link) read(on func(view.Message, []*os.File)) {
	defer close(l.gone)
	for {
		m, files, err := l.conn.Receive()
		if err != nil {
			return
		}
		l.mu.Lock()
		answer := l.open[m.ID]
		l.mu.Unlock()
		switch {
		case m.ID != 0 && answer != nil:
			answer <- event{m, files}
		case m.ID == 0 && on != nil:
			on(m, files)
		case m.ID == 0:
			l.events <- event{m, files}
		default:
			view.CloseAll(files)
		}
	}
}

// id reserves an id, and a channel that takes what comes for it.
func (l *link) id(room int) (uint64, chan event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	c := make(chan event, room)
	l.open[l.next] = c
	return l.next, c
}

func (l *link) forget(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, id)
}

// ask sends a request and waits for its answer.
func (l *link) ask(m view.Message, fds ...int) (view.Message, error) {
	var c chan event
	m.ID, c = l.id(1)
	defer l.forget(m.ID)
	if err := l.conn.Send(m, fds...); err != nil {
		return view.Message{}, err
	}
	e, err := l.wait(c)
	view.CloseAll(e.files)
	return e.m, err
}

// wait takes the next message for an id.
func (l *link) wait(c chan event) (event, error) {
	select {
	case e := <-c:
		return e, faultOf(e.m)
	case <-l.gone:
		select { // it may have come first
		case e := <-c:
			return e, faultOf(e.m)
		default:
			return event{}, errGone
		}
	}
}

// faultOf turns a helper's fault back into an error, with its errno.
func faultOf(m view.Message) error {
	if m.Fault == "" {
		return nil
	}
	err := errors.New(m.Fault)
	if m.Errno != 0 {
		return &remoteError{text: m.Fault, errno: syscall.Errno(m.Errno)}
	}
	return err
}

type remoteError struct {
	text  string
	errno syscall.Errno
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.errno }
