package base

import (
	"context"
	"errors"
	"sync"

	"github.com/countersign/countersign/workspace/layer"
	"golang.org/x/sys/unix"
)

// Free tells whether the agent has left a path as the base has it.
func (b *Base) Free(rel string, e *Entry) (bool, error) {
	st, err := b.Staged(rel)
	if err != nil {
		if errors.Is(err, unix.ENOENT) {
			return e == nil, nil // else the agent has deleted it
		}
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			return false, nil
		}
		return false, err
	}
	if e == nil {
		return false, nil
	}
	if e.Snap == layer.StampOf(&st) {
		return true, nil
	}
	switch e.Kind {
	case Dir:
		return b.emptyOfWork(rel)
	case File, Link:
		if layer.GitMode(st.Mode) != layer.GitMode(e.Mode) {
			return false, nil
		}
		sum, err := b.Tree.Sum(rel, st.Mode)
		return err == nil && sum == e.Sum, nil
	}
	return false, nil
}

// emptyOfWork tells whether nothing below a staged directory is unknown or changed.
func (b *Base) emptyOfWork(dir string) (bool, error) {
	var mu sync.Mutex
	clean := true
	err := b.Tree.Walk(context.Background(), dir, func(it layer.Item) bool {
		e := b.Get(it.Rel)
		if it.Format() == unix.S_IFDIR && e != nil && e.Kind == Dir {
			return true
		}
		if e == nil || e.Snap != layer.StampOf(&it.St) {
			mu.Lock()
			clean = false
			mu.Unlock()
		}
		return false
	}, nil)
	return clean, err
}
