package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// flush is fdatasync without a retry on EINTR: a flush that did not succeed is
// never tried again, because the second answer would be about less.
func flush(f *os.File) error {
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return os.NewSyscallError("fdatasync", err)
	}
	return nil
}

// start is sync_file_range(2) without a wait. An error of a page stays with the
// file, and the flush meets it.
func start(f *os.File, from, to int64) {
	_ = unix.SyncFileRange(int(f.Fd()), from, to-from, unix.SYNC_FILE_RANGE_WRITE)
}

// dropCache makes the next read come from the disk: after a failed flush the
// kernel marks pages clean that never arrived.
func dropCache(f *os.File) {
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // advice; a refusal changes nothing
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
