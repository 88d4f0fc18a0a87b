//go:build !linux

package slack

import "time"

// Ensure does nothing here.
func Ensure(time.Duration) {}

// With calls f.
func With(_ time.Duration, f func() error) error { return f() }
