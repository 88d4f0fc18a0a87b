// Package spool is the way into the ledger of records that nobody waits for: a
// file that one client appends to and that the ledger process takes in.
//
// It promises: what Append has returned for is in the file, whatever process
// dies; a reader sees whole records only, in the order of their writing, and
// each once, however often either side is killed, as long as it is told which
// ids the ledger has. It knows no record's meaning and never flushes: a power
// cut may cost what the ledger has not taken in yet.
//
// The format is in docs/formats/ledger.md.
package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"regexp"

	"github.com/countersign/countersign/ledger/disk"
)

// Dir is where spools lie, below the ledger's directory.
const Dir = "spool"

const (
	magic   = "countersign spool 1\n"
	head    = int64(len(magic) + 8) // magic, then how far the ledger has taken in
	maxBody = 1 << 20
	chunk   = 256 << 10
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	named      = regexp.MustCompile(`^[0-9a-f]{32}-[0-9]{8}$`)
)

// Good reports whether name can be a spool's.
func Good(name string) bool { return named.MatchString(name) }

// Name is the n-th spool of a client.
func Name(client [16]byte, n int) string { return fmt.Sprintf("%x-%08d", client, n) }

// Writer appends to one spool. It is used by one goroutine at a time.
type Writer struct {
	f   disk.File
	end int64
	buf []byte
}

// Create makes a spool.
func Create(fs disk.FS, name string) (*Writer, error) {
	f, err := fs.Create(Dir + "/" + name)
	if err != nil {
		return nil, err
	}
	h := binary.BigEndian.AppendUint64([]byte(magic), uint64(head))
	if _, err := f.WriteAt(h, 0); err != nil {
		_ = f.Close()
		_ = fs.Remove(Dir + "/" + name)
		return nil, err
	}
	return &Writer{f: f, end: head}, nil
}

// Append writes one record. After an error the spool ends where it ended.
func (w *Writer) Append(id string, body []byte) error {
	b := binary.BigEndian.AppendUint32(w.buf[:0], uint32(1+len(id)+len(body)))
	b = append(b, 0, 0, 0, 0, byte(len(id)))
	b = append(append(b, id...), body...)
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
	w.buf = b
	if _, err := w.f.WriteAt(b, w.end); err != nil {
		return err
	}
	w.end += int64(len(b))
	return nil
}

// End is the length of the spool in bytes.
func (w *Writer) End() int64 { return w.end }

// Close closes the file, which stays.
func (w *Writer) Close() error { return w.f.Close() }

// Record is one record of a spool.
type Record struct {
	ID   string
	Body []byte // good until the next call
}

// Reader takes a spool in.
type Reader struct {
	f     disk.File
	taken int64 // what the ledger has
	buf   []byte
}

// Open opens a spool where it was left.
func Open(fs disk.FS, name string) (*Reader, error) {
	if !Good(name) {
		return nil, fmt.Errorf("%q is no spool's name", name)
	}
	f, err := fs.Open(Dir + "/" + name)
	if err != nil {
		return nil, err
	}
	h := make([]byte, head)
	n, err := f.ReadAt(h, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		_ = f.Close()
		return nil, err
	}
	r := &Reader{f: f, taken: head}
	switch {
	case n < int(head) || string(h[:len(magic)]) == string(make([]byte, len(magic))):
		return r, nil // cut off before its first record
	case string(h[:len(magic)]) != magic:
		_ = f.Close()
		return nil, fmt.Errorf("%s is no spool of this version", name)
	}
	r.taken = max(head, int64(binary.BigEndian.Uint64(h[len(magic):])))
	return r, nil
}

// Take hands the records up to byte end, or to the end of the file if end is
// negative, to put, in pieces; what put has returned nil for is marked as
// taken. It returns how many bytes at the end are no whole record.
func (r *Reader) Take(end int64, put func([]Record) error) (torn int64, err error) {
	size, err := r.f.Size()
	if err != nil {
		return 0, err
	}
	if end < 0 || end > size {
		end = size
	}
	for r.taken < end {
		n, err := r.piece(end, put)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return end - r.taken, nil
		}
	}
	return 0, nil
}

func (r *Reader) piece(end int64, put func([]Record) error) (int64, error) {
	if r.buf == nil {
		r.buf = make([]byte, chunk+maxBody)
	}
	b := r.buf[:min(int64(len(r.buf)), end-r.taken)]
	n, err := r.f.ReadAt(b, r.taken)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	records, used := parse(b[:n])
	if used == 0 {
		return 0, nil
	}
	if err := put(records); err != nil {
		return 0, err
	}
	var mark [8]byte
	binary.BigEndian.PutUint64(mark[:], uint64(r.taken+used))
	if _, err := r.f.WriteAt(mark[:], int64(len(magic))); err != nil {
		return 0, err
	}
	r.taken += used
	return used, nil
}

// parse returns the whole records at the beginning of b and their length.
func parse(b []byte) (out []Record, used int64) {
	for {
		rest := b[used:]
		if len(rest) < 9 || used >= chunk {
			return out, used
		}
		size := int(binary.BigEndian.Uint32(rest))
		if size < 1 || size > maxBody || len(rest) < 8+size {
			return out, used
		}
		data := rest[8 : 8+size]
		n := int(data[0])
		if crc32.Checksum(data, castagnoli) != binary.BigEndian.Uint32(rest[4:]) || size < 1+n {
			return out, used
		}
		out = append(out, Record{ID: string(data[1 : 1+n]), Body: data[1+n:]})
		used += int64(8 + size)
	}
}

// Close closes the file, which stays.
func (r *Reader) Close() error { return r.f.Close() }
