package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger/segment"
)

// Reader reads records from the segments; it needs no ledger process and
// writes nothing.
type Reader struct{ dir string }

// OpenReader opens a ledger's directory for reading. The error wraps
// os.ErrNotExist where there is none.
func OpenReader(dir string) (*Reader, error) {
	if _, err := os.Stat(filepath.Join(dir, "segments")); err != nil {
		return nil, &countersign.Error{Code: countersign.ENotFound, Op: "read ledger", Thing: dir, Err: err}
	}
	return &Reader{dir: dir}, nil
}

// All yields every record as its exact JSON bytes, oldest first. It stops at
// the first that is damaged; Verify says more. A record that is just being
// written is not yielded.
func (r *Reader) All() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		w := walker{dir: r.dir}
		w.run(yield)
	}
}

// followEvery is how often Follow looks for more.
const followEvery = 50 * time.Millisecond

// Follow yields every record, then those that come, until ctx is done.
func (r *Reader) Follow(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		w := walker{dir: r.dir}
		for w.run(yield) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(followEvery):
			}
		}
	}
}

// Record returns the record with this id.
func (r *Reader) Record(id string) ([]byte, error) {
	for line, err := range r.All() {
		if err != nil {
			return nil, err
		}
		if l, _, err := segment.ParseLeaf(line); err == nil && l.ID == id {
			return line, nil
		}
	}
	return nil, &countersign.Error{Code: countersign.ENotFound, Op: "read record", Thing: id, Err: errors.New("no such record")}
}

// walker goes over the segments and remembers where it stopped.
type walker struct {
	dir   string
	name  string // of the segment it is in
	scan  *segment.Scan
	tries int
}

// run yields what there is; it returns false if the caller has had enough or
// something is damaged.
func (w *walker) run(yield func([]byte, error) bool) bool {
	for {
		names, err := segmentNames(w.dir)
		if err != nil {
			return yield(nil, err) && false
		}
		next, last := w.next(names)
		if w.name == "" {
			if next == "" {
				return true
			}
			w.name, w.scan = next, nil
			continue
		}
		if err := w.load(); err != nil {
			return yield(nil, w.error(err)) && false
		}
		more, err := w.frames(yield)
		switch {
		case !more:
			return false
		case last && err == nil:
			return true
		case last && w.tries < 5: // a frame that is just being written looks damaged
			w.tries++
			time.Sleep(5 * time.Millisecond)
			continue
		case err != nil:
			return yield(nil, w.error(err)) && false
		}
		w.name, w.scan, w.tries = next, nil, 0
	}
}

// next returns the segment after the present one, and whether the present one
// is the last.
func (w *walker) next(names []string) (string, bool) {
	for _, n := range names {
		if n > w.name {
			return n, false
		}
	}
	return "", true
}

// load reads the segment, or what has come behind the place where the scan
// stands.
func (w *walker) load() error {
	f, err := os.Open(filepath.Join(w.dir, "segments", w.name))
	if err != nil {
		return err
	}
	defer f.Close()
	if w.scan == nil {
		data, err := io.ReadAll(f)
		if err != nil {
			return err
		}
		w.scan, err = segment.NewScan(data)
		return err
	}
	var head [4]byte
	if n, err := f.ReadAt(head[:], int64(w.scan.Offset)); err != nil && !errors.Is(err, io.EOF) {
		return err
	} else if n < 4 || head == [4]byte{} {
		w.scan.Feed(nil)
		return nil
	}
	data, err := io.ReadAll(io.NewSectionReader(f, int64(w.scan.Offset), segment.MaxSize))
	w.scan.Feed(data)
	return err
}

// frames yields the records from where the scan stands. The error says that
// something other than zeros ended it.
func (w *walker) frames(yield func([]byte, error) bool) (more bool, err error) {
	for {
		f, err := w.scan.Next()
		if errors.Is(err, segment.ErrEnd) {
			if len(w.scan.Rest()) > 0 {
				return true, errors.New("something stands after the last record")
			}
			return true, nil
		}
		if err != nil {
			return true, err
		}
		if !f.Note && !yield(f.Data, nil) {
			return false, nil
		}
	}
}

func (w *walker) error(err error) error {
	at := 0
	if w.scan != nil {
		at = w.scan.Offset
	}
	return &countersign.Error{Code: countersign.EVerify, Op: "read ledger", Thing: fmt.Sprintf("segments/%s at byte %d", w.name, at), Err: err, Remedy: "run countersign verify"}
}

// segmentNames lists the segments, oldest first; foreign names are left to
// Verify.
func segmentNames(dir string) ([]string, error) {
	es, err := os.ReadDir(filepath.Join(dir, "segments"))
	if err != nil {
		return nil, &countersign.Error{Code: countersign.ENotFound, Op: "read ledger", Thing: dir, Err: err}
	}
	var names []string
	for _, e := range es {
		if strings.HasSuffix(e.Name(), ".led") {
			names = append(names, e.Name())
		}
	}
	return names, nil // os.ReadDir sorts
}
