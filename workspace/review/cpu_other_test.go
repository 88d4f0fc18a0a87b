//go:build !linux

package review

import "time"

func spent() time.Duration { return 0 }
