package budget

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/filelock"
)

// version of the journal's format.
const version = 1

// line is one line of the journal.
type line struct {
	V  int       `json:"v,omitempty"` // of the first line
	Op string    `json:"o"`
	ID string    `json:"i,omitempty"` // of a reservation
	At int64     `json:"at,omitempty"`
	C  []counter `json:"c,omitempty"`
	N  int64     `json:"n,omitempty"` // nano-dollars
	T  int64     `json:"t,omitempty"` // tokens
	R  int64     `json:"r,omitempty"` // requests, of a sum
}

// counter is what is counted: a limit, whom it is about, the window.
type counter [3]string

// journal is the file and what its lines came to.
type journal struct {
	path string
	now  func() time.Time
	f    *os.File
	read int64 // bytes of the file that are in book
	book state
	sync time.Time
}

// Bounds of the file: it is written anew when it is this large and holds mostly
// what is over.
const (
	large   = 1 << 20
	perLine = 200 // bytes, roughly
)

// waitFor bounds how long another process may hold the lock.
const waitFor = 5 * time.Second

func (j *journal) fault(remedy string, err error) error {
	return &countersign.Error{Code: countersign.EInternal, Op: "keep budgets in", Thing: j.path, Remedy: remedy, Err: err}
}

// with runs f while no other process changes the file, with all of it read.
func (j *journal) with(f func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), waitFor)
	defer cancel()
	unlock, err := filelock.Lock(ctx, j.path+".lock")
	if err != nil {
		return j.fault("see who holds "+j.path+".lock", err)
	}
	defer unlock()
	if err := j.catchUp(); err != nil {
		return err
	}
	return f()
}

// catchUp reads what other processes have added, or all of it after one of them
// wrote the file anew.
func (j *journal) catchUp() error {
	at, err := os.Stat(j.path)
	if err == nil && j.f != nil {
		if own, ferr := j.f.Stat(); ferr != nil || !os.SameFile(at, own) || own.Size() < j.read {
			j.f.Close()
			j.f = nil
		} else if own.Size() == j.read {
			return nil
		}
	}
	if j.f == nil || err != nil {
		if err := j.open(); err != nil {
			return j.fault("make the directory writable", err)
		}
	}
	b, err := io.ReadAll(io.NewSectionReader(j.f, j.read, 1<<40))
	if err != nil {
		return j.fault("", err)
	}
	whole := bytes.LastIndexByte(b, '\n') + 1
	for l := range bytes.Lines(b[:whole]) {
		if err := j.take(l); err != nil {
			return err
		}
	}
	j.read += int64(whole)
	if whole < len(b) {
		// Its writer died in the middle and was not told that it was written.
		if err := j.f.Truncate(j.read); err != nil {
			return j.fault("", err)
		}
	}
	if j.read == 0 {
		return j.add(line{V: version, Op: "book"})
	}
	if j.read > large && j.read > 4*perLine*int64(len(j.book.spent)+len(j.book.holds)) {
		return j.compact()
	}
	return nil
}

func (j *journal) open() error {
	if err := os.MkdirAll(filepath.Dir(j.path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(j.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	j.f, j.read, j.book = f, 0, newState()
	return nil
}

func (j *journal) take(raw []byte) error {
	var l line
	err := json.Unmarshal(raw, &l)
	switch {
	case err == nil && l.V > version:
		err = fmt.Errorf("it is of version %d, which is newer than this program", l.V)
	case err == nil && !j.book.apply(l):
		err = errors.New("it holds a line that means nothing")
	}
	if err != nil {
		j.f.Close()
		j.f = nil
		return j.fault("move it away: what was spent is forgotten there, and stays on record in the ledger", err)
	}
	return nil
}

// add writes lines with one write; all of them or none are in force.
func (j *journal) add(lines ...line) error {
	var b []byte
	for _, l := range lines {
		one, err := json.Marshal(l)
		if err != nil {
			return err
		}
		b = append(append(b, one...), '\n')
	}
	if n, err := j.f.Write(b); err != nil {
		if n > 0 {
			_ = j.f.Truncate(j.read) // else the next reader takes it for torn
		}
		return j.fault("make room on the disk", err)
	}
	j.read += int64(len(b))
	for _, l := range lines {
		j.book.apply(l)
	}
	return nil
}

// compact writes the file anew with what is not over.
func (j *journal) compact() error {
	j.book.prune(j.now())
	tmp := j.path + ".new"
	_ = os.Remove(tmp)
	out := journal{path: tmp, now: j.now}
	if err := out.open(); err != nil {
		return j.fault("make room on the disk", err)
	}
	err := out.add(append([]line{{V: version, Op: "book"}}, j.book.lines()...)...)
	if err == nil {
		err = out.f.Sync()
	}
	if err == nil {
		err = os.Rename(tmp, j.path)
	}
	if err != nil {
		out.f.Close()
		_ = os.Remove(tmp)
		return j.fault("make room on the disk", err)
	}
	j.f.Close()
	j.f, j.read, j.book = out.f, out.read, out.book
	return nil
}

// flush brings the file to the disk, at most once a second.
func (j *journal) flush() {
	if now := j.now(); j.f != nil && now.Sub(j.sync) >= time.Second {
		j.sync = now
		_ = j.f.Sync() // a failure loses at most what a power cut would
	}
}
