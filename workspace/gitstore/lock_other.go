//go:build !unix

package gitstore

import (
	"errors"
	"os"
)

var errNoLock = errors.New("no file locks on this system")

func lockFile(string, bool) (*os.File, error) { return nil, errNoLock }

func tryLock(string) (*os.File, error) { return nil, errNoLock }
