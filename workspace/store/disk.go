package store

import (
	"errors"
	"os"
	"syscall"
)

// Remedy says what a person can do about a failing disk.
func Remedy(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "free some disk space and try again; nothing was changed"
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "make the directory writable and try again"
	case errors.Is(err, syscall.EIO):
		return "the disk reports an error: check it before trying again"
	}
	return ""
}

func syncPath(p string) error {
	f, err := os.OpenFile(p, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
