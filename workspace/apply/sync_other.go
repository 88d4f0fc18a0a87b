//go:build !linux

package apply

import "errors"

const canSyncFS = false

func syncFS(string) error { return errors.ErrUnsupported }
