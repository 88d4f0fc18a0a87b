package store

import (
	"os"

	"golang.org/x/sys/unix"
)

const CanSyncFS = true

// SyncFS flushes the file system that holds dir (syncfs(2); since Linux 5.8 it
// reports write errors).
func SyncFS(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
