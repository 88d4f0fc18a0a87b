// Package powercut is a file layer in memory for tests: it knows what has been
// flushed and what has not, can lose the difference, and can fail or forget any
// single operation. It touches nothing outside memory and is no part of the
// product.
package powercut

import (
	"io"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"github.com/countersign/countersign/ledger/disk"
)

type node struct{ live, durable []byte }

// FS is a disk.FS in memory.
type FS struct {
	mu      sync.Mutex
	live    map[string]*node
	durable map[string]*node
	// Fail, if set, is asked before each operation ("write", "flush", "syncdir",
	// "create", "rename", "truncate", "remove", "open"); n counts those of this name from 1.
	// An error is returned in its place; ErrForget lets a flush do nothing and say
	// that all is well.
	Fail  func(op, name string, n int) error
	count map[string]int
}

// ErrForget makes a flush lie.
var ErrForget = io.ErrNoProgress

// New returns an empty file system.
func New() *FS {
	return &FS{live: map[string]*node{}, durable: map[string]*node{}, count: map[string]int{}}
}

// Cut returns the file system after a power cut. keep says which of the
// unflushed 512-byte sectors and names survive nevertheless; nil: none.
func (f *FS) Cut(keep *rand.Rand) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.CutNow(keep)
}

// CutNow is Cut for use inside Fail: a cut right before the operation.
func (f *FS) CutNow(keep *rand.Rand) *FS {
	out := New()
	names := map[string]*node{}
	for n, x := range f.durable {
		names[n] = x
	}
	for n, x := range f.live {
		if keep != nil && keep.IntN(2) == 0 {
			names[n] = x
		}
	}
	for n, x := range names {
		b := append([]byte(nil), x.durable...)
		if keep != nil {
			b = survive(x, keep)
		}
		y := &node{live: b, durable: append([]byte(nil), b...)}
		out.live[n], out.durable[n] = y, y
	}
	return out
}

func survive(x *node, keep *rand.Rand) []byte {
	size := len(x.durable)
	if keep.IntN(2) == 0 {
		size = len(x.live)
	}
	b := make([]byte, size)
	copy(b, x.durable)
	for at := 0; at < size && at < len(x.live); at += 512 {
		if keep.IntN(2) == 0 {
			copy(b[at:min(at+512, size)], x.live[at:])
		}
	}
	return b
}

// Kill returns the file system after a kill -9: what was written is there.
func (f *FS) Kill() *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := New()
	for n, x := range f.live {
		y := &node{live: append([]byte(nil), x.live...), durable: append([]byte(nil), x.live...)}
		out.live[n], out.durable[n] = y, y
	}
	return out
}

// Dump writes the files below a real directory, for readers that need one.
func (f *FS) Dump(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range []string{"segments", "checkpoints", "torn", "key", "blobs"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return err
		}
	}
	for n, x := range f.live {
		if err := os.WriteFile(filepath.Join(dir, n), x.live, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Change edits a file's bytes as they are.
func (f *FS) Change(name string, edit func([]byte) []byte) {
	x := f.live[name]
	x.live = edit(append([]byte(nil), x.live...))
	x.durable = append([]byte(nil), x.live...)
}

func (f *FS) op(op, name string) error {
	f.count[op]++
	if f.Fail == nil {
		return nil
	}
	return f.Fail(op, name, f.count[op])
}

// Create implements disk.FS.
func (f *FS) Create(name string) (disk.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.op("create", name); err != nil {
		return nil, err
	}
	if f.live[name] != nil {
		return nil, os.ErrExist
	}
	f.live[name] = &node{}
	return &file{f, f.live[name], name}, nil
}

// Open implements disk.FS.
func (f *FS) Open(name string) (disk.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.op("open", name); err != nil {
		return nil, err
	}
	if f.live[name] == nil {
		return nil, os.ErrNotExist
	}
	return &file{f, f.live[name], name}, nil
}

// ReadFile implements disk.FS.
func (f *FS) ReadFile(name string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.live[name] == nil {
		return nil, os.ErrNotExist
	}
	return append([]byte(nil), f.live[name].live...), nil
}

// List implements disk.FS.
func (f *FS) List(dir string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for n := range f.live {
		if path.Dir(n) == strings.TrimSuffix(dir, "/") {
			out = append(out, path.Base(n))
		}
	}
	sort.Strings(out)
	return out, nil
}

// Mkdir implements disk.FS; directories are always there.
func (f *FS) Mkdir(string) error { return nil }

// Rename implements disk.FS.
func (f *FS) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.op("rename", to); err != nil {
		return err
	}
	if f.live[from] == nil {
		return os.ErrNotExist
	}
	f.live[to] = f.live[from]
	delete(f.live, from)
	return nil
}

// Remove implements disk.FS.
func (f *FS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.op("remove", name); err != nil {
		return err
	}
	if f.live[name] == nil {
		return os.ErrNotExist
	}
	delete(f.live, name)
	return nil
}

// SyncDir implements disk.FS.
func (f *FS) SyncDir(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.op("syncdir", dir); err != nil {
		if err == ErrForget {
			return nil
		}
		return err
	}
	for n := range f.durable {
		if path.Dir(n) == dir && f.live[n] == nil {
			delete(f.durable, n)
		}
	}
	for n, x := range f.live {
		if path.Dir(n) == dir {
			f.durable[n] = x
		}
	}
	return nil
}

type file struct {
	fs   *FS
	x    *node
	name string
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if off >= int64(len(f.x.live)) {
		return 0, io.EOF
	}
	n := copy(p, f.x.live[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.op("write", f.name); err != nil {
		return 0, err
	}
	if end := int(off) + len(p); end > len(f.x.live) {
		f.x.live = append(f.x.live, make([]byte, end-len(f.x.live))...)
	}
	return copy(f.x.live[off:], p), nil
}

func (f *file) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.x.live)), nil
}

func (f *file) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.op("truncate", f.name); err != nil {
		return err
	}
	if int(size) < len(f.x.live) {
		f.x.live = f.x.live[:size:size]
	} else {
		f.x.live = append(f.x.live, make([]byte, int(size)-len(f.x.live))...)
	}
	return nil
}

// Drop implements disk.File: there is no cache beside the content.
func (f *file) Drop(int64, int64) {}

func (f *file) Flush() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.op("flush", f.name); err != nil {
		if err == ErrForget {
			return nil
		}
		return err
	}
	f.x.durable = append([]byte(nil), f.x.live...)
	return nil
}

func (f *file) Close() error { return nil }
