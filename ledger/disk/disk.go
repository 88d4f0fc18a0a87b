// Package disk is the ledger's way to the file system: the few operations it
// needs, each with what it promises after a power cut, so that a test can put a
// model in its place that forgets what was not flushed.
//
// Paths are relative to the ledger's directory and slash-separated. It touches
// that directory only, and must never hide an error of a flush.
package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"sort"
	"syscall"
)

// FS is a directory tree of the ledger.
type FS interface {
	// Create makes a new file for reading and writing; the name is durable only
	// after SyncDir of its directory.
	Create(name string) (File, error)
	// Open opens an existing file for reading and writing, with nothing of it
	// kept in a cache that a failed flush may have left wrong.
	Open(name string) (File, error)
	ReadFile(name string) ([]byte, error)
	// List returns the names in a directory, sorted; none if it is not there.
	List(dir string) ([]string, error)
	Mkdir(dir string) error // with its parents; durable on return
	Rename(from, to string) error
	Remove(name string) error
	SyncDir(dir string) error
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	// Drop has the system keep a part of the content that is flushed in memory no
	// longer, as nobody reads it soon. It promises nothing.
	Drop(from, to int64)
	// Flush returns after content and size have reached the disk.
	Flush() error
}

// WriteFile makes or replaces a small file: after a crash there is the old
// content or the new one, and on return the new one is durable.
func WriteFile(fs FS, name string, data []byte) error {
	tmp := path.Join(path.Dir(name), "."+path.Base(name)+".new")
	if err := writeNew(fs, tmp, data); err != nil {
		return err
	}
	if err := fs.Rename(tmp, name); err != nil {
		return err
	}
	return fs.SyncDir(path.Dir(name))
}

func writeNew(fs FS, name string, data []byte) error {
	if err := fs.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := fs.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Flush()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// Zero fills a part of a file with zeros.
func Zero(f File, from, to int64) error {
	var zeros [64 << 10]byte
	for from < to {
		n := min(to-from, int64(len(zeros)))
		if _, err := f.WriteAt(zeros[:n], from); err != nil {
			return err
		}
		from += n
	}
	return nil
}

// FirstStep and MaxStep are how far a file is zero-filled ahead of what is
// written, in bytes, so that a flush has no change of size to write down.
const (
	FirstStep = 256 << 10
	MaxStep   = 1 << 20
)

// Extend zero-fills a file from room on until need bytes are there, and some
// more, but not beyond size for those. It returns the new room.
func Extend(f File, room, need, size int64) (int64, error) {
	if need <= room {
		return room, nil
	}
	to := max(need, min(room+min(max(room, FirstStep), MaxStep), size))
	err := Zero(f, room, to)
	if errors.Is(err, syscall.ENOSPC) && to > need {
		to = need // the last of the disk, in small pieces
		err = Zero(f, room, to)
	}
	if err != nil {
		return room, err
	}
	return to, nil
}

// Dir is the real file system below a directory. Files are 0600, directories
// 0700.
type Dir string

func (d Dir) path(name string) string { return filepath.Join(string(d), filepath.FromSlash(name)) }

// Create implements FS.
func (d Dir) Create(name string) (File, error) {
	f, err := os.OpenFile(d.path(name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Open implements FS.
func (d Dir) Open(name string) (File, error) {
	f, err := os.OpenFile(d.path(name), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	dropCache(f, 0, 0) // to its end
	return osFile{f}, nil
}

// ReadFile implements FS.
func (d Dir) ReadFile(name string) ([]byte, error) { return os.ReadFile(d.path(name)) }

// List implements FS.
func (d Dir) List(dir string) ([]string, error) {
	es, err := os.ReadDir(d.path(dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range es {
		names = append(names, e.Name())
	}
	sort.Strings(names)
	return names, err
}

// Mkdir implements FS.
func (d Dir) Mkdir(dir string) error {
	p := d.path(dir)
	if fi, err := os.Stat(p); err == nil {
		if !fi.IsDir() {
			return fmt.Errorf("%s is no directory", p)
		}
		return nil
	}
	if err := os.MkdirAll(p, 0o700); err != nil {
		return err
	}
	return syncDir(filepath.Dir(p))
}

// Rename implements FS.
func (d Dir) Rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }

// Remove implements FS.
func (d Dir) Remove(name string) error { return os.Remove(d.path(name)) }

// SyncDir implements FS.
func (d Dir) SyncDir(dir string) error { return syncDir(d.path(dir)) }

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

func (f osFile) Drop(from, to int64) { dropCache(f.File, from, to) }

func (f osFile) Flush() error { return flush(f.File) }
