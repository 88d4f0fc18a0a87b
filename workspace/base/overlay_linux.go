package base

import (
	"context"
	"errors"
	"sync"

	"github.com/countersign/countersign/workspace/layer"
	"golang.org/x/sys/unix"
)

// record fixes the base of a path of an overlay when it is first seen
// changed: what the real tree has there now.
func (b *Base) record(rel string) *Entry {
	if e := b.Get(rel); e != nil {
		return e
	}
	e := b.now(rel)
	if e == nil {
		return nil
	}
	b.Set(rel, e)
	return e
}

// hide finds the base files that a whiteout, or the mark of an opaque directory,
// takes away; kept tells what stands in the upper layer itself.
func (d *diffing) hide(ctx context.Context) error {
	b := d.b
	for rel := range b.All() {
		d.seen[rel] = true
	}
	var mu sync.Mutex
	var gone []string
	for _, rel := range d.hidden0 {
		st, err := b.Real.Lstat(rel)
		if err != nil {
			continue
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			gone = append(gone, rel)
			continue
		}
		err = b.Real.Walk(ctx, rel, func(it layer.Item) bool {
			mu.Lock()
			defer mu.Unlock()
			if b.Places[it.Rel] {
				return false
			}
			if b.denied(&it) {
				return false
			}
			if it.Format() == unix.S_IFDIR {
				return true
			}
			if _, err := b.Tree.Lstat(it.Rel); errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
				gone = append(gone, it.Rel)
			}
			return false
		}, nil)
		if err != nil {
			return err
		}
	}
	ignored, err := b.checkIgnored(ctx, gone)
	if err != nil {
		return err
	}
	for _, rel := range gone {
		if ignored[rel] {
			d.hidden++
		} else if b.record(rel) != nil {
			delete(d.seen, rel)
		}
	}
	return nil
}
