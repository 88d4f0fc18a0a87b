package base

import (
	"context"
	"path"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/workspace/layer"
)

// odd tells whether git, which opens ignore files as they stand, would be held by
// what stands there: a named pipe or a device of that name. It is no part of a
// change.
func odd(it *layer.Item) bool {
	switch it.Format() {
	case unix.S_IFIFO, unix.S_IFSOCK, unix.S_IFCHR, unix.S_IFBLK:
		return path.Base(it.Rel) == ".gitignore"
	}
	return false
}

// Readable sees to it that git may be asked about a staged tree that no Compare
// has been through since its agent ended: what would hold it goes. It tells
// whether git may be; the tree of a live session is not touched.
func (x *Index) Readable(ctx context.Context, staged *layer.Root, live bool) bool {
	var ok atomic.Bool
	ok.Store(true)
	staged.Walk(ctx, "", func(it layer.Item) bool {
		e := x.Get(it.Rel)
		if odd(&it) && (live || staged.Unlink(it.Rel) != nil) {
			ok.Store(false)
		}
		return it.Format() == unix.S_IFDIR && path.Base(it.Rel) != ".git" && (e == nil || e.Kind == Dir)
	}, nil)
	return ok.Load()
}
