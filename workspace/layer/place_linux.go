package layer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Placeholder puts an empty file or directory of the item's permission and time
// at rel, where nothing stands.
func (r *Root) Placeholder(it *Item, rel string) (st unix.Stat_t, err error) {
	perm := it.St.Mode & 0o777
	if it.Format() == unix.S_IFLNK {
		perm = 0o644
	}
	if it.Format() == unix.S_IFDIR {
		err = r.Mkdir(rel, perm|0o700)
	} else {
		var f *os.File
		if f, err = r.Open(rel, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600); err == nil {
			err = unix.Fchmod(int(f.Fd()), perm)
			f.Close()
		}
	}
	if err == nil {
		err = r.Utimes(rel, it.St.Mtim)
	}
	if err != nil {
		return st, err
	}
	return r.Lstat(rel)
}

// ReadFile reads a regular file whole.
func (r *Root) ReadFile(rel string) ([]byte, error) {
	f, _, err := r.OpenRegular(rel)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// WriteNew writes a file of that permission where nothing stands.
func (r *Root) WriteNew(rel string, data []byte, perm uint32) error {
	f, err := r.Open(rel, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, unix.Fchmod(int(f.Fd()), perm), f.Close())
}

// Special says what a file that is no file is.
func (it *Item) Special() string {
	switch it.Format() {
	case unix.S_IFIFO:
		return "a named pipe"
	case unix.S_IFSOCK:
		return "a socket"
	case unix.S_IFBLK, unix.S_IFCHR:
		return "a device"
	}
	return fmt.Sprintf("of type %o", it.Format())
}

// DiskUse returns the bytes on disk below a directory, each inode once.
func DiskUse(dir string) (int64, error) {
	r, err := Open(dir)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	var mu sync.Mutex
	var sum int64
	seen := map[FileID]bool{}
	err = r.Walk(context.Background(), "", func(it Item) bool {
		mu.Lock()
		defer mu.Unlock()
		if it.St.Nlink < 2 || it.Format() == unix.S_IFDIR || !seen[IDOf(&it.St)] {
			sum += it.St.Blocks * 512
			seen[IDOf(&it.St)] = true
		}
		return true
	}, nil)
	return sum, err
}
