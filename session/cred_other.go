//go:build !linux

package session

import "errors"

// credUID is not known here: no session runs on this system.
func credUID(int) (int, error) { return -1, errors.New("no peer credentials on this system") }
