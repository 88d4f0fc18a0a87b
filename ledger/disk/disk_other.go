//go:build !linux

package disk

import (
	"os"
	"runtime"
)

// flush is os.File.Sync: F_FULLFSYNC on darwin, FlushFileBuffers on Windows.
func flush(f *os.File) error { return f.Sync() }

func dropCache(*os.File) {}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // directories cannot be flushed there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
