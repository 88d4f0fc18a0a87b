package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/countersign/countersign/internal/filelock"
	"github.com/countersign/countersign/ledger/book"
	"github.com/countersign/countersign/ledger/disk"
	"github.com/countersign/countersign/ledger/segment"
	"github.com/countersign/countersign/ledger/spool"
)

// intake takes in what clients have left in their spools.
type intake struct {
	dir  disk.Dir // where the spools are, whatever the book's own files are
	book *book.Book

	mu   sync.Mutex
	open map[string]*spooled
}

type spooled struct {
	mu   sync.Mutex
	r    *spool.Reader // nil: not opened yet
	gone bool          // taken in whole, and removed
}

func newIntake(dir disk.Dir, b *book.Book) *intake {
	return &intake{dir: dir, book: b, open: map[string]*spooled{}}
}

// take brings a spool up to an extent into the ledger.
func (in *intake) take(m extent) error {
	if m.name == "" {
		return nil
	}
	return in.with(m.name, func(s *spooled) error {
		torn, err := s.r.Take(m.end, in.put)
		if err == nil && torn > 0 {
			err = fmt.Errorf("spool/%s: what stands before byte %d is no record", m.name, m.end)
		}
		return err
	})
}

func (in *intake) put(rs []spool.Record) error {
	es := make([]book.Entry, len(rs))
	for i, r := range rs {
		es[i] = book.Entry(r)
	}
	return in.book.AppendAll(es)
}

// with opens a spool if need be; one that was removed has nothing to do.
func (in *intake) with(name string, do func(*spooled) error) error {
	in.mu.Lock()
	s := in.open[name]
	if s == nil {
		s = &spooled{}
		in.open[name] = s
	}
	in.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return nil
	}
	if s.r == nil {
		var err error
		if s.r, err = spool.Open(in.dir, name); err != nil {
			return err
		}
	}
	return do(s)
}

// drop takes a spool in to its end, makes that durable and removes it.
func (in *intake) drop(name string) error {
	return in.with(name, func(s *spooled) error {
		if _, err := s.r.Take(-1, in.put); err != nil {
			return err
		}
		if err := in.book.Flush(); err != nil {
			return err
		}
		_ = s.r.Close()
		s.r, s.gone = nil, true // with its buffer: a long session has many spools
		return in.dir.Remove(spool.Dir + "/" + name)
	})
}

// leave is called when a client has hung up. If it lives it may still write,
// before it learns of that: then its spool waits for the end or the next start.
// Errors are for them to meet again.
func (in *intake) leave(name string) {
	if filelock.Held(filepath.Join(string(in.dir), spool.Dir, name)) {
		_ = in.take(extent{name: name, end: -1})
		return
	}
	_ = in.drop(name)
}

// last takes in what can be taken before the book is closed.
func (in *intake) last() {
	in.mu.Lock()
	var names []string
	for name := range in.open {
		names = append(names, name)
	}
	in.mu.Unlock()
	for _, name := range names {
		in.leave(name)
	}
}

// leftovers takes in what a ledger process that was killed had not. What it had
// taken and could not mark any more is in the ledger already.
func (in *intake) leftovers() error {
	names, err := in.dir.List(spool.Dir)
	if err != nil || len(names) == 0 {
		return errors.Join(err, in.dir.Mkdir(spool.Dir))
	}
	known, err := in.recent()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !spool.Good(name) {
			continue
		}
		if err := in.leftover(name, known); err != nil {
			return closedErr(fmt.Errorf("take in spool/%s: %w", name, err))
		}
	}
	return nil
}

func (in *intake) leftover(name string, known map[string]bool) error {
	n := 0
	err := in.with(name, func(s *spooled) error {
		torn, err := s.r.Take(-1, func(rs []spool.Record) error {
			fresh := rs[:0:0]
			for _, r := range rs {
				if !known[r.ID] {
					fresh = append(fresh, r)
				}
			}
			n += len(fresh)
			return in.put(fresh)
		})
		if err != nil || n == 0 && torn == 0 {
			return err
		}
		detail, err := json.Marshal(map[string]any{"spool": name, "records": n, "torn_bytes": torn})
		if err != nil {
			return err
		}
		_, err = in.book.Append("", fmt.Appendf(nil, `"type":"ledger.recovered","actor":{"kind":"system","id":"ledger"},"detail":%s}`, detail), true)
		return err
	})
	if err != nil || filelock.Held(filepath.Join(string(in.dir), spool.Dir, name)) {
		return err
	}
	return in.drop(name)
}

// recent are the ids of the last segments: a piece of a spool that was taken in
// and not marked is smaller than one.
func (in *intake) recent() (map[string]bool, error) {
	dir := string(in.dir)
	names, err := segmentNames(dir)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for i, segments := len(names)-1, 0; i >= 0 && segments < 3; i-- {
		w := walker{dir: dir, name: names[i]}
		if err := w.load(); err != nil {
			return nil, w.error(err)
		}
		records := 0
		_, _ = w.frames(func(line []byte, _ error) bool { // whether its end is whole was looked at before
			var l segment.Leaf
			if l, _, err = segment.ParseLeaf(line); err == nil {
				known[l.ID] = true
				records++
			}
			return err == nil
		})
		if err != nil {
			return nil, w.error(err)
		}
		if records > 1 { // more than its opening record
			segments++
		}
	}
	return known, nil
}
