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

// dropCache makes the next read come from the disk: after a failed flush the
// kernel marks pages clean that never arrived. to 0 is the file's end.
func dropCache(f *os.File, from, to int64) {
	_ = unix.Fadvise(int(f.Fd()), from, to-from, unix.FADV_DONTNEED) // advice; a refusal changes nothing
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
