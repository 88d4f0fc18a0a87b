package apply_test

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/workspace/apply"
)

// badDisk is a file system over a directory whose n-th change fails.
type badDisk struct {
	fs.LoopbackNode
	left  *atomic.Int64 // changes until the fault; negative: none
	errno *atomic.Int32

	forever *atomic.Bool // and all after it
}

func (b *badDisk) fault() syscall.Errno {
	if n := b.left.Add(-1); n == -1 || n < -1 && b.forever.Load() {
		return syscall.Errno(b.errno.Load())
	}
	return 0
}

func (b *badDisk) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	if e := b.fault(); e != 0 {
		return nil, nil, 0, e
	}
	return b.LoopbackNode.Create(ctx, name, flags, mode, out)
}

func (b *badDisk) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if e := b.fault(); e != 0 {
		return nil, e
	}
	return b.LoopbackNode.Mkdir(ctx, name, mode, out)
}

func (b *badDisk) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if e := b.fault(); e != 0 {
		return nil, e
	}
	return b.LoopbackNode.Symlink(ctx, target, name, out)
}

func (b *badDisk) Rename(ctx context.Context, name string, to fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	if e := b.fault(); e != 0 {
		return e
	}
	return b.LoopbackNode.Rename(ctx, name, to, newName, flags)
}

func (b *badDisk) Unlink(ctx context.Context, name string) syscall.Errno {
	if e := b.fault(); e != 0 {
		return e
	}
	return b.LoopbackNode.Unlink(ctx, name)
}

func (b *badDisk) Write(ctx context.Context, f fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	if e := b.fault(); e != 0 {
		return 0, e
	}
	return f.(fs.FileWriter).Write(ctx, data, off)
}

func (b *badDisk) Fsync(ctx context.Context, f fs.FileHandle, flags uint32) syscall.Errno {
	if e := b.fault(); e != 0 {
		return e
	}
	if f == nil {
		return 0
	}
	return f.(fs.FileFsyncer).Fsync(ctx, flags)
}

// mountBadDisk mounts dir at mnt; without a /dev/fuse it skips.
func mountBadDisk(t *testing.T, dir, mnt string) *badDisk {
	t.Helper()
	b := &badDisk{left: new(atomic.Int64), errno: new(atomic.Int32), forever: new(atomic.Bool)}
	b.heal()
	var st syscall.Stat_t
	must(t, syscall.Stat(dir, &st))
	root := &fs.LoopbackRoot{Path: dir, Dev: uint64(st.Dev)}
	root.NewNode = func(r *fs.LoopbackRoot, _ *fs.Inode, _ string, _ *syscall.Stat_t) fs.InodeEmbedder {
		return &badDisk{fs.LoopbackNode{RootData: r}, b.left, b.errno, b.forever}
	}
	root.RootNode = root.NewNode(root, nil, "", &st)
	srv, err := fs.Mount(mnt, root.RootNode, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, EnableSymlinkCaching: false}})
	if err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	t.Cleanup(func() { srv.Unmount() })
	return b
}

func (b *badDisk) heal() {
	b.forever.Store(false)
	b.left.Store(1 << 40)
}

// TestBadDiskAtEveryChange lets each change that an apply makes, to the tree, to
// the journal and to its stores, fail, alone or with all that follow: the tree
// is old, or, after the commit, new, and the next start tidies up.
func TestBadDiskAtEveryChange(t *testing.T) {
	d := memory(t)
	for _, p := range []string{"/disk", "/mnt"} {
		must(t, os.Mkdir(d+p, 0o755))
	}
	disk := mountBadDisk(t, d+"/disk", d+"/mnt")
	for name, forever := range map[string]bool{"once": false, "from then on": true} {
		t.Run(name, func(t *testing.T) { badDiskAtEveryChange(t, d, disk, forever) })
	}
}

func badDiskAtEveryChange(t *testing.T, d string, disk *badDisk, forever bool) {
	old, new := 0, 0
	for n := int64(0); ; n++ {
		w := newWorld(t, project)
		stage(t, w, everything)
		w.acceptAll()
		after := snapshot(t, w.staged)
		o := w.options()
		for _, p := range []string{"/real", "/state"} {
			must(t, os.RemoveAll(d+"/disk"+p))
			must(t, os.Mkdir(d+"/disk"+p, 0o755))
		}
		put(t, d+"/mnt/real", project)
		o.Root, o.StateDir = d+"/mnt/real", d+"/mnt/state"
		before := snapshot(t, o.Root)
		disk.errno.Store(int32([]syscall.Errno{syscall.EIO, syscall.ENOSPC}[n%2]))
		disk.forever.Store(forever)
		disk.left.Store(n)
		_, err := apply.Apply(t.Context(), o)
		hit := disk.left.Load() < 0
		disk.heal()
		what, rerr := apply.Recover(o.StateDir, o.Root)
		must(t, rerr)
		now := snapshot(t, o.Root)
		switch {
		case err != nil && cmp.Equal(now, before):
			old++
			var e *countersign.Error
			if !errors.As(err, &e) || countersign.RemedyOf(err) == "" {
				t.Errorf("change %d: no clear word: %v", n, err)
			}
		case err == nil && cmp.Equal(now, after):
			new++
		default:
			t.Fatalf("change %d: %v; recovery %q:\n%s", n, err, what, cmp.Diff(before, now))
		}
		if !hit {
			break
		}
	}
	t.Logf("%d faults before the commit, %d after", old, new)
	if old < 60 || new < 5 {
		t.Error("too few")
	}
}
