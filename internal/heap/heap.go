// Package heap keeps Go's collector from running again and again where little is
// alive and much is made and dropped: by default it begins when what is alive has
// doubled, which for a heap of a few megabytes is many times a second.
//
// It promises: a collection begins when the heap has reached about the floor, or
// where it would have begun without, if that is more; where somebody has set GOGC,
// that holds. It touches the collector's percentage (runtime/debug.SetGCPercent),
// which is of the whole process, and nothing else.
package heap

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// usual is the percentage that Go begins with, least the heap for which it counts
// (runtime's heapMinimum, of 100 percent), in bytes.
const (
	usual = 100
	least = 4 << 20
)

// Floor sets the floor, in bytes, for the rest of the process's life.
func Floor(bytes uint64) {
	if read("/gc/gogc:percent") == usual {
		adjust(bytes, usual)
	}
}

// adjust sets the percentage for what is alive now, and again after each collection,
// of which the end of an object tells.
func adjust(floor uint64, was int) {
	percent := percentFor(floor, read("/gc/heap/live:bytes"), read("/gc/scan/stack:bytes")+read("/gc/scan/globals:bytes"))
	if percent != was {
		debug.SetGCPercent(percent)
	}
	runtime.SetFinalizer(&struct{ _ [16]byte }{}, func(any) { adjust(floor, percent) })
}

// percentFor is of what is alive and of what is scanned beside the heap, as the
// collector counts (go.dev/doc/gc-guide), and in steps, as each change stops the
// world.
func percentFor(floor, alive, beside uint64) int {
	const step = 50
	if alive == 0 || 2*alive+beside >= floor {
		return usual
	}
	percent := min(100*(floor-alive)/(alive+beside), 100*floor/least)
	return max(usual, int(percent)/step*step)
}

func read(name string) uint64 {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return s[0].Value.Uint64()
}
