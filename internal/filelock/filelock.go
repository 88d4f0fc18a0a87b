// Package filelock holds an exclusive lock on a file between processes. The lock
// ends with the process that holds it, however that ends. It may touch only the
// file it is given, which it creates and never removes.
package filelock

import (
	"context"
	"errors"
	"os"
	"time"
)

// ErrBusy says that another process (or another Lock of this one) holds it.
var ErrBusy = errors.New("held by another process")

// Lock takes the lock, waiting for it until ctx ends.
func Lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for {
		err := tryLock(f)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, ErrBusy) {
			f.Close()
			return nil, err
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, errors.Join(ErrBusy, ctx.Err())
		case <-t.C:
		}
	}
}
