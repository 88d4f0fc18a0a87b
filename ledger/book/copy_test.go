package book_test

import (
	"slices"
	"testing"

	"github.com/countersign/countersign/ledger/book"
	"github.com/countersign/countersign/ledger/powercut"
)

// shelf stands beside a book and keeps every copy, durable at once.
type shelf struct{ kept []copied }

type copied struct {
	epoch, first uint64
	at           int64
	b            []byte
}

func (*shelf) Flush() error { return nil }

func (s *shelf) Copy(epoch, first uint64, at int64, b []byte) (bool, error) {
	s.kept = append(s.kept, copied{epoch, first, at, slices.Clone(b)})
	return true, nil
}

func (s *shelf) copied(epoch, first uint64, end int64) (out []byte, err error) {
	for _, c := range s.kept {
		if c.epoch == epoch && c.first == first && c.at == end+int64(len(out)) {
			out = append(out, c.b...)
		}
	}
	return out, nil
}

// What was flushed only as a copy beside comes back after a power cut, through
// rotations too, and nothing that was kept of another segment does.
func TestCopiesBringBackWhatAPowerCutTook(t *testing.T) {
	fs, beside := powercut.New(), &shelf{}
	b, err := book.Open(options(fs))
	if err != nil {
		t.Fatal(err)
	}
	b.With(beside)
	var ids []string
	for i := range 80 {
		r, err := b.Append("", body(i), i%3 == 2)
		if err != nil {
			t.Fatal(err)
		}
		if ids = append(ids, r.ID); i%3 != 2 {
			continue
		}
		cut := fs.Cut(nil)
		o := options(cut)
		o.Copied = beside.copied
		again, err := book.Open(o)
		if err != nil {
			t.Fatalf("after %d records: %v", i+1, err)
		}
		if err := again.Close("test"); err != nil {
			t.Fatal(err)
		}
		if err := check(t, cut, ids, false); err != nil {
			t.Fatalf("after %d records: %v", i+1, err)
		}
	}
	if segments, _ := fs.List("segments"); len(segments) < 3 {
		t.Errorf("%d segments: no rotation was tested", len(segments))
	}
	if err := b.Close("test"); err != nil {
		t.Fatal(err)
	}
}
