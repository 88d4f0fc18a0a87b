//go:build !linux

package ledger

import "time"

var began = time.Now()

func bootClock() time.Duration { return time.Since(began) }

func bootID() string { return "" }
