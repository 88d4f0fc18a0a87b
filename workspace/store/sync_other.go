//go:build !linux

package store

import "errors"

const CanSyncFS = false

func SyncFS(string) error { return errors.ErrUnsupported }
