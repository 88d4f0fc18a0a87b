package payload

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger/disk"
)

// What is durable in a pack takes up no memory: a gateway that runs for weeks must
// not push everything else out of it.
func TestPacksAreNotKeptInMemory(t *testing.T) {
	dir := t.TempDir()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil || fs.Type == unix.TMPFS_MAGIC {
		t.Skipf("the temporary directory is memory itself (%v)", err)
	}
	o := options(disk.Dir(dir), 1)
	o.PackSize = packSize
	if err := errors.Join(o.FS.Mkdir("blobs"), o.FS.Mkdir("key")); err != nil {
		t.Fatal(err)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 128 {
		if _, err := s.Put(countersign.Payload{Role: "prompt", Plain: make([]byte, 64<<10)}); err != nil {
			t.Fatal(err)
		}
	}
	names, err := filepath.Glob(filepath.Join(dir, "blobs", "*.pack"))
	if err != nil || len(names) != 1 {
		t.Fatalf("packs %v, %v", names, err)
	}
	if size, kept := resident(t, names[0]); size < 8<<20 || kept > size/3 {
		t.Errorf("%d of %d bytes are in memory", kept, size)
	}
}

// resident returns the size of a file and how much of it is in memory (mincore(2)).
func resident(t *testing.T, name string) (size, kept int) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	size = int(fi.Size())
	b, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(b)
	page := os.Getpagesize()
	in := make([]byte, (size+page-1)/page)
	if _, _, errno := syscall.Syscall(syscall.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), uintptr(size), uintptr(unsafe.Pointer(&in[0]))); errno != 0 {
		t.Fatal(errno)
	}
	for _, p := range in {
		if p&1 != 0 {
			kept += page
		}
	}
	return size, kept
}
