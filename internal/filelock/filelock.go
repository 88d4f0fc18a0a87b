// Package filelock holds a lock on a file between processes (flock(2), on Windows
// LockFileEx). The lock ends with the process that holds it, however that ends,
// or when the file it came with is closed. It may touch only the file it is
// given, which it creates and never removes.
package filelock

import (
	"context"
	"errors"
	"os"
	"time"
)

// Mode says who else may hold the lock.
type Mode int

// The modes.
const (
	Exclusive Mode = iota // nobody
	Shared                // whoever takes it as Shared too
)

// ErrBusy says that another process (or another lock of this one) holds it.
var ErrBusy = errors.New("held by another process")

// Try takes the lock if it is free, and is ErrBusy if not. Closing the file gives
// it back.
func Try(path string, m Mode) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := tryLock(f, m); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Take takes the lock, waiting for it until ctx ends.
func Take(ctx context.Context, path string, m Mode) (*os.File, error) {
	f, err := Try(path, m)
	if !errors.Is(err, ErrBusy) {
		return f, err
	}
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, errors.Join(ErrBusy, ctx.Err())
		case <-t.C:
		}
		if f, err = Try(path, m); !errors.Is(err, ErrBusy) {
			return f, err
		}
	}
}

// Soon is Try for a moment: whoever asks whether a lock is held (Held) holds it for an
// instant.
func Soon(path string, m Mode) (*os.File, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	f, err := Take(ctx, path, m)
	if errors.Is(err, ErrBusy) {
		err = ErrBusy
	}
	return f, err
}

// Lock is Take of an exclusive lock for whoever only has to give it back.
func Lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := Take(ctx, path, Exclusive)
	if err != nil {
		return nil, err
	}
	return func() { f.Close() }, nil
}

// Held reports whether somebody holds the lock exclusively. It creates nothing.
func Held(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(tryLock(f, Shared), ErrBusy)
}
