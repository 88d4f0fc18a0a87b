//go:build !linux

package disk

import (
	"os"

	"github.com/countersign/countersign/internal/atomicfile"
)

// flush is os.File.Sync: F_FULLFSYNC on darwin, FlushFileBuffers on Windows.
func flush(f *os.File) error { return f.Sync() }

func dropCache(*os.File, int64, int64) {}

func syncDir(dir string) error { return atomicfile.SyncDir(dir) }
