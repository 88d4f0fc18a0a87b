// Package store keeps reviewed bytes under their SHA-256.
//
// It promises that what is read from it is what the name says, or an error, and
// that all that was put before a Flush is on the disk after it; more than a few
// files are flushed with one call for the whole file system. It may touch one
// directory of our own, and knows nothing of hunks or projects.
package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/atomicfile"
)

// Store keeps bytes under their SHA-256. What is read from it is checked while
// it is read: a byte that changed on the disk is an error, never an answer.
type Store struct {
	dir string

	mu    sync.Mutex
	fresh []string        // written since the last Flush
	known map[string]bool // written or checked by this process
}

// Open opens or makes a store in a directory of our own.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &countersign.Error{Code: countersign.EInternal, Op: "open the content store", Thing: dir, Err: err}
	}
	return &Store{dir: dir, known: map[string]bool{}}, nil
}

func (s *Store) file(sum string) string { return filepath.Join(s.dir, sum[:2], sum[2:]) }

func validSum(sum string) bool {
	_, err := hex.DecodeString(sum)
	return err == nil && len(sum) == 2*sha256.Size
}

// Put stores what r gives and returns its lower-case hex SHA-256 and length. It
// is durable after the next Flush. On an error nothing of it is left.
func (s *Store) Put(r io.Reader) (sum string, n int64, err error) {
	f, err := os.CreateTemp(s.dir, "new-")
	if err != nil {
		return "", 0, s.fail(err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	h := sha256.New()
	if n, err = io.Copy(io.MultiWriter(f, h), r); err != nil {
		return "", 0, s.fail(err)
	}
	if err = f.Close(); err != nil {
		return "", 0, s.fail(err)
	}
	sum = hex.EncodeToString(h.Sum(nil))
	return sum, n, s.keep(f.Name(), sum)
}

// PutBytes stores b.
func (s *Store) PutBytes(b []byte) (sum string, err error) {
	d := sha256.Sum256(b)
	sum = hex.EncodeToString(d[:])
	if s.knows(sum) {
		return sum, nil
	}
	sum, _, err = s.Put(bytes.NewReader(b))
	return sum, err
}

func (s *Store) keep(tmp, sum string) error {
	if err := os.MkdirAll(filepath.Dir(s.file(sum)), 0o700); err != nil {
		return s.fail(err)
	}
	if err := os.Rename(tmp, s.file(sum)); err != nil {
		return s.fail(err)
	}
	s.came(sum)
	return nil
}

// came notes bytes that the store has now, and that the next Flush makes durable.
func (s *Store) came(sum string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fresh, s.known[sum] = append(s.fresh, sum), true
}

func (s *Store) knows(sum string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[sum]
}

// Adopt takes stored bytes over from another store, without a copy, and tells
// whether that could be: they are there, whole, and on the same file system.
func (s *Store) Adopt(from *Store, sum string) bool {
	if from == nil || !from.Has(sum) {
		return false
	}
	if s.knows(sum) {
		return true
	}
	if err := os.MkdirAll(filepath.Dir(s.file(sum)), 0o700); err != nil {
		return false
	}
	if err := os.Link(from.file(sum), s.file(sum)); err != nil {
		return false // what is there already may be damaged: it is written anew
	}
	s.came(sum)
	return true
}

func (s *Store) fail(err error) error {
	return &countersign.Error{Code: countersign.EInternal, Op: "write the content store", Thing: s.dir, Err: err, Remedy: Remedy(err)}
}

// manyFresh is the number of files above which one flush of the whole file
// system is cheaper than one of each.
const manyFresh = 32

// Flush makes everything that was put durable.
func (s *Store) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.fresh) == 0 {
		return nil
	}
	if len(s.fresh) < manyFresh || !CanSyncFS {
		dirs := map[string]bool{s.dir: true}
		for _, sum := range s.fresh {
			if err := syncPath(s.file(sum)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return s.fail(err)
			}
			dirs[filepath.Dir(s.file(sum))] = true
		}
		for d := range dirs {
			if err := atomicfile.SyncDir(d); err != nil {
				return s.fail(err)
			}
		}
	} else if err := SyncFS(s.dir); err != nil {
		return s.fail(err)
	}
	s.fresh = nil
	return nil
}

// Has reports whether the store holds these bytes, whole. Bytes that another
// process put may not be durable yet: they are flushed by the next Flush.
func (s *Store) Has(sum string) bool {
	if !validSum(sum) {
		return false
	}
	if s.knows(sum) {
		return true
	}
	r, err := s.Open(sum)
	if err != nil {
		return false
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		return false
	}
	s.came(sum)
	return true
}

// Open reads stored bytes; the last Read fails if they are not what the name
// says.
func (s *Store) Open(sum string) (io.ReadCloser, error) {
	if !validSum(sum) {
		return nil, &countersign.Error{Code: countersign.ENotFound, Op: "read the content store", Thing: sum, Err: errors.New("not a SHA-256")}
	}
	f, err := os.Open(s.file(sum))
	if err != nil {
		return nil, &countersign.Error{Code: countersign.ENotFound, Op: "read the content store", Thing: sum, Err: err, Remedy: "accept the hunk again"}
	}
	return &Checked{r: f, h: sha256.New(), sum: sum}, nil
}

// Bytes reads stored bytes whole.
func (s *Store) Bytes(sum string) ([]byte, error) {
	r, err := s.Open(sum)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// Sweep removes what keep does not want, and what a crash left half written.
func (s *Store) Sweep(keep func(sum string) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return filepath.WalkDir(s.dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		sum := filepath.Base(filepath.Dir(p)) + d.Name()
		if validSum(sum) && keep(sum) {
			return nil
		}
		delete(s.known, sum)
		return os.Remove(p)
	})
}

// Checked reads and, at the end, compares the SHA-256 of all it read.
type Checked struct {
	r   io.ReadCloser
	h   hash.Hash
	sum string
}

// Check wraps r so that reading it to the end fails unless its bytes have this
// SHA-256.
func Check(r io.ReadCloser, sum string) *Checked { return &Checked{r: r, h: sha256.New(), sum: sum} }

// ErrBytes says that bytes are not those that were named.
var ErrBytes = errors.New("the bytes are not those that were reviewed")

func (c *Checked) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.h.Write(p[:n])
	if err == io.EOF && hex.EncodeToString(c.h.Sum(nil)) != c.sum {
		return n, fmt.Errorf("%s: %w", c.sum, ErrBytes)
	}
	return n, err
}

// Close closes what is read.
func (c *Checked) Close() error { return c.r.Close() }
