// Package heap keeps Go's collector from running again and again where little is
// alive and much is made and dropped: by default it begins when what is alive has
// doubled, which for a heap of a few megabytes is many times a second.
//
// It promises: a collection begins when the heap has reached the floor, or has
// doubled where that is more; so memory is bounded by what it was before or by the
// floor. It touches the collector's percentage (runtime/debug.SetGCPercent), which is
// of the whole process, and nothing else.
package heap

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// usual is the percentage that Go begins with.
const usual = 100

// Floor sets the floor, in bytes, for the rest of the process's life.
func Floor(bytes uint64) { adjust(bytes, usual) }

// adjust sets the percentage for what is alive now, and again after each collection,
// of which the end of an object tells.
func adjust(floor uint64, was int) {
	percent := percentFor(floor, alive())
	if percent != was {
		debug.SetGCPercent(percent)
	}
	runtime.SetFinalizer(&struct{ _ [16]byte }{}, func(any) { adjust(floor, percent) })
}

// percentFor is in steps, as each change stops the world.
func percentFor(floor, alive uint64) int {
	const step = 50
	if alive == 0 || 2*alive >= floor {
		return usual
	}
	return max(usual, int(min(100*(floor-alive)/alive, 10_000))/step*step)
}

func alive() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return s[0].Value.Uint64()
}
