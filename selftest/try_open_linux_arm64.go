package selftest

import "golang.org/x/sys/unix"

func legacyOpen([]string) ([]byte, error) { return nil, unix.ENOSYS }
func foreign() (uintptr, error)           { return 0, unix.ENOSYS }
func callX32() error                      { return unix.ENOSYS }
