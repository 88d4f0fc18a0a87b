package spool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/ledger/disk"
)

const name = "00112233445566778899aabbccddeeff-00000001"

func fill(t *testing.T, n int) (dir string, end int64) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, Dir), 0o700); err != nil {
		t.Fatal(err)
	}
	w, err := Create(disk.Dir(dir), name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := w.Append(fmt.Sprintf("id%d", i), bytes.Repeat([]byte{'x'}, i*37%5000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, w.End()
}

func take(t *testing.T, dir string, end int64, stop error) (ids []string, torn int64, err error) {
	t.Helper()
	r, err := Open(disk.Dir(dir), name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	torn, err = r.Take(end, func(rs []Record) error {
		for _, r := range rs {
			ids = append(ids, r.ID)
		}
		return stop
	})
	return ids, torn, err
}

func TestEveryRecordOnceAndInOrder(t *testing.T) {
	dir, end := fill(t, 1000)
	var want []string
	for i := range 1000 {
		want = append(want, fmt.Sprintf("id%d", i))
	}
	if _, _, err := take(t, dir, end, os.ErrClosed); !errors.Is(err, os.ErrClosed) {
		t.Fatalf("a refusal is told as %v", err)
	}
	got, torn, err := take(t, dir, end, nil)
	if diff := cmp.Diff(want, got); diff != "" || torn != 0 || err != nil {
		t.Fatalf("torn %d, %v\n%s", torn, err, diff)
	}
	if again, _, _ := take(t, dir, -1, nil); again != nil {
		t.Errorf("taken twice: %q", again)
	}
}

// Cut anywhere, a spool gives the whole records before the cut; changed
// anywhere, those before the change.
func TestTornAtEveryByte(t *testing.T) {
	dir, end := fill(t, 6)
	path := filepath.Join(dir, Dir, name)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		for _, cut := range []bool{true, false} {
			b := bytes.Clone(whole)
			if cut {
				b = b[:at]
			} else {
				b[at] ^= 0x41
			}
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if !cut && int64(at) < head {
				continue // another file, or a mark that says otherwise
			}
			ids, torn, err := take(t, dir, -1, nil)
			if err != nil {
				t.Fatal(err)
			}
			good := head
			for i, id := range ids {
				if id != fmt.Sprintf("id%d", i) {
					t.Fatalf("at %d: %q", at, ids)
				}
				good += int64(8 + 1 + len(id) + i*37%5000)
			}
			if good > max(head, int64(at)) || cut && int64(at) > good && torn != int64(at)-good || !cut && torn != end-good {
				t.Errorf("cut %v at %d: %d records, %d bytes torn", cut, at, len(ids), torn)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{0, 0, 0, 2, 0, 0, 0, 0, 1, 'a'})
	f.Fuzz(func(t *testing.T, b []byte) {
		records, used := parse(b)
		n := int64(0)
		for _, r := range records {
			n += int64(9 + len(r.ID) + len(r.Body))
		}
		if n != used || used > int64(len(b)) {
			t.Fatalf("%d records of %d bytes, %d used", len(records), n, used)
		}
	})
}
