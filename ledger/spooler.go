package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/filelock"
	"github.com/countersign/countersign/ledger/disk"
	"github.com/countersign/countersign/ledger/spool"
)

const (
	// turnAt is the length in bytes at which a spool is exchanged for a new one,
	// once the ledger has taken it in: so it is also how far a client can be ahead.
	turnAt = 4 << 20
	// lag is how long a record may lie in a spool before the ledger is told. With
	// the time that the ledger itself keeps a record unflushed it stays below the
	// 100 ms that a power cut may cost; to tell it sooner wakes two processes for
	// each exec of a build.
	lag = 20 * time.Millisecond
)

// spooler is the client's end of its spool. It makes one when there is
// something to write.
type spooler struct {
	wake chan struct{}

	mu     sync.Mutex
	client [16]byte
	n      int
	w      *spool.Writer
	name   string
	lock   *os.File // says that somebody may still write
	over   bool
}

// spooled writes a record into the spool. If it cannot, it reports false: the ledger
// process is to be asked, which has room left on a full disk and words for it.
func (c *Client) spooled(id string, body []byte) bool {
	s := &c.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || c.Err() != nil || !s.ready(c) || s.w.Append(id, body) != nil {
		return false
	}
	select {
	case s.wake <- struct{}{}:
	default: // it is awake
	}
	return true
}

// ready has a spool with room.
func (s *spooler) ready(c *Client) bool {
	if s.w != nil && s.w.End() < turnAt {
		return true
	}
	if s.w != nil {
		m := s.letGo()
		if c.ask(context.Background(), askTurn, func([]byte) error { return nil }, m.encode()) != nil {
			return false
		}
	}
	if s.make(c.dirs.State) != nil {
		return false
	}
	// Before the first record: whose end is the end of this client is known then.
	return c.tell(extent{name: s.name, end: s.w.End()}) == nil
}

func (s *spooler) make(state string) error {
	if s.n == 0 {
		if _, err := rand.Read(s.client[:]); err != nil {
			return err
		}
	}
	s.n++
	name := spool.Name(s.client, s.n)
	w, err := spool.Create(disk.Dir(state), name)
	if err != nil {
		return err
	}
	lock, err := filelock.Soon(filepath.Join(state, spool.Dir, name), filelock.Exclusive)
	if err != nil {
		return errors.Join(err, w.Close(), os.Remove(filepath.Join(state, spool.Dir, name)))
	}
	s.w, s.name, s.lock = w, name, lock
	return nil
}

// letGo closes the spool and returns its end.
func (s *spooler) letGo() extent {
	if s.w == nil {
		return extent{}
	}
	m := extent{name: s.name, end: s.w.End()}
	_ = s.w.Close() // nothing is kept back in this process
	_ = s.lock.Close()
	s.w, s.name, s.lock = nil, "", nil
	return m
}

// close lets nothing more in.
func (s *spooler) close() extent {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	return s.letGo()
}

// extent is how far the spool has come.
func (s *spooler) extent() extent {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.w == nil {
		return extent{}
	}
	return extent{name: s.name, end: s.w.End()}
}

// nudge tells the ledger process that there is something to take in, once for
// all that comes within lag.
func (c *Client) nudge() {
	for {
		select {
		case <-c.closed:
			return
		case <-c.spool.wake:
		}
		time.Sleep(lag)
		m := c.spool.extent()
		if m.name == "" {
			continue
		}
		if err := c.tell(m); err != nil {
			_ = c.lost(err) // Err keeps it
			return
		}
	}
}

func (c *Client) tell(m extent) error {
	c.order.Lock()
	defer c.order.Unlock()
	if err := c.Err(); err != nil {
		return err
	}
	return c.nudges.send(askNudge, m.encode())
}
