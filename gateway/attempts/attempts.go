// Package attempts knows the requests that have not had a good answer, so that the
// same one again is on record as another attempt at it, whoever tries: agents do,
// by themselves, up to thirty times.
//
// It promises: what it keeps tells nothing of a request to who does not have its
// key; what is in its file is known again after the end of the process, a kill
// included; it is bounded. It is a help in reading the record, no control: what
// cannot be written to the file is forgotten at the end.
//
// The file is of JSON lines, version 1: {"v":1} first; {"k","n","r","at"} for an
// attempt that leaves (a keyed hash, which one it is, the record of the first,
// Unix milliseconds), {"k"} for a good answer. Both are there a moment later, so that
// what is answered by then is not written at all, and no call waits. Of two processes
// with one file each knows what it found at its start, and what it did itself.
//
// It may touch that file only.
package attempts

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/atomicfile"
	"github.com/countersign/countersign/internal/fingerprint"
)

const version = 1

// A request counts as tried again within forgotten; of more than maxOpen all are
// forgotten. A file of more than maxFile bytes is written anew.
const (
	forgotten = 10 * time.Minute
	maxOpen   = 4096
	maxFile   = 4 << 20
)

// moment is how long the file may be behind.
const moment = 100 * time.Millisecond

// Print names a request without telling it.
type Print [32]byte

// Book is what is known. It is safe for concurrent use.
type Book struct {
	key    []byte
	bodies fingerprint.Key
	now    func() time.Time

	mu    sync.Mutex
	open  map[Print]entry
	path  string
	f     *os.File // nil: in memory only
	size  int64
	filed map[Print]bool // what the file says is open
	late  map[Print]bool // of which it does not say what is known
	soon  bool           // somebody will write that
}

type entry struct {
	n     int
	first string // record of the first one
	at    time.Time
}

func (e entry) line(p Print) line {
	return line{K: hex.EncodeToString(p[:]), N: e.n, R: e.first, At: e.at.UnixMilli()}
}

type line struct {
	V  int    `json:"v,omitempty"`
	K  string `json:"k,omitempty"`
	N  int    `json:"n,omitempty"`
	R  string `json:"r,omitempty"`
	At int64  `json:"at,omitempty"`
}

// New returns a book in memory. key is secret, of 32 bytes.
func New(key []byte, now func() time.Time) *Book {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("bodies"))
	return &Book{key: key, bodies: fingerprint.New([32]byte(h.Sum(nil))), now: now, open: map[Print]entry{}, filed: map[Print]bool{}, late: map[Print]bool{}}
}

// Open returns the book in a file, which need not be there.
func Open(path string, key []byte, now func() time.Time) (*Book, error) {
	b := New(key, now)
	b.path = path
	src, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, b.fault(err)
	}
	for raw := range bytes.Lines(src) {
		var l line
		if json.Unmarshal(raw, &l) != nil {
			continue // a write that a kill cut off
		}
		if l.V > version {
			return nil, b.fault(fmt.Errorf("it is of version %d, which is newer than this program", l.V))
		}
		b.take(l)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, b.fault(err)
	}
	if err := b.rewrite(); err != nil {
		return nil, b.fault(err)
	}
	return b, nil
}

func (b *Book) fault(err error) error {
	return &countersign.Error{Code: countersign.EInvalid, Op: "keep attempts in", Thing: b.path, Err: err, Remedy: "remove the file: requests then count as tried for the first time"}
}

// Close gives the file back.
func (b *Book) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.f != nil {
		b.write()
		b.f.Close()
		b.f = nil
	}
}

// Print is the name of a request by one caller.
func (b *Book) Print(caller, method, path string, body []byte) (out Print) {
	h := hmac.New(sha256.New, b.key)
	for _, s := range []string{caller, method, path} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	sum := b.bodies.Of(0, body)
	h.Write(sum[:])
	h.Sum(out[:0])
	return out
}

// Which returns which attempt at a request this is, and the record of the first.
func (b *Book) Which(p Print) (n int, first string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old, ok := b.open[p]
	if !ok || b.now().Sub(old.at) > forgotten {
		return 1, ""
	}
	return old.n + 1, old.first
}

// Sent notes that the nth attempt leaves, under a record.
func (b *Book) Sent(p Print, n int, record, first string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.open) >= maxOpen {
		b.open = map[Print]entry{}
		for p := range b.filed {
			b.late[p] = true
		}
	}
	if first == "" {
		first = record
	}
	b.open[p] = entry{n, first, b.now()}
	b.note(p)
}

// Answered forgets a request that had a good answer.
func (b *Book) Answered(p Print) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, p)
	if delete(b.late, p); b.filed[p] {
		b.note(p)
	}
}

// catchUp writes what is late.
func (b *Book) catchUp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.soon = false
	b.write()
}

// take takes a line of the file.
func (b *Book) take(l line) {
	var p Print
	if k, err := hex.DecodeString(l.K); err != nil || copy(p[:], k) != len(p) {
		return
	}
	at := time.UnixMilli(l.At)
	switch age := b.now().Sub(at); {
	case l.N < 1:
		delete(b.open, p)
	case age >= 0 && age <= forgotten && len(b.open) < maxOpen:
		b.open[p] = entry{l.N, l.R, at}
	}
}

// note has what is known of a request written soon.
func (b *Book) note(p Print) {
	if b.f == nil {
		return
	}
	b.late[p] = true
	if !b.soon {
		b.soon = true
		time.AfterFunc(moment, b.catchUp)
	}
}

// write brings what is late into the file.
func (b *Book) write() {
	if b.f == nil || len(b.late) == 0 {
		return
	}
	var ends, opens bytes.Buffer // the ends first: who reads it holds so many only
	for p := range b.late {
		if e, ok := b.open[p]; ok {
			b.filed[p] = true
			_ = json.NewEncoder(&opens).Encode(e.line(p)) // numbers and strings always do
			continue
		}
		delete(b.filed, p)
		_ = json.NewEncoder(&ends).Encode(line{K: hex.EncodeToString(p[:])})
	}
	clear(b.late)
	n, err := b.f.Write(append(ends.Bytes(), opens.Bytes()...))
	if b.size += int64(n); err != nil {
		b.size = maxFile + 1 // so that it is written anew, now or with what comes next
	}
	if b.size > maxFile {
		_ = b.rewrite() // what is lost is a help, see above
	}
}

// rewrite writes the file anew with what is open.
func (b *Book) rewrite() error {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	err := enc.Encode(line{V: version})
	clear(b.filed)
	for p, e := range b.open {
		if err == nil && b.now().Sub(e.at) <= forgotten {
			b.filed[p], err = true, enc.Encode(e.line(p))
		}
	}
	if err == nil {
		err = atomicfile.Replace(b.path, out.Bytes())
	}
	if err != nil {
		return err
	}
	if b.f != nil {
		b.f.Close()
	}
	b.f, err = os.OpenFile(b.path, os.O_WRONLY|os.O_APPEND, 0o600)
	b.size = int64(out.Len())
	return err
}
