package heap

import (
	"runtime"
	"testing"
)

func TestPercentFor(t *testing.T) {
	const mb = 1 << 20
	for _, tt := range []struct {
		floor, alive, beside uint64
		want                 int
	}{
		{48 * mb, 8 * mb, 0, 500},
		{48 * mb, 8 * mb, 8 * mb, 250},
		{48 * mb, 16 * mb, 0, 200},
		{48 * mb, 24 * mb, 0, 100},
		{48 * mb, 300 * mb, 0, 100},
		{48 * mb, 0, 0, 100},
		{48 * mb, 1, 0, 1200},
		{48 * mb, 2 * mb, 47 * mb, 100},
	} {
		if got := percentFor(tt.floor, tt.alive, tt.beside); got != tt.want {
			t.Errorf("floor %d, alive %d, beside %d: %d, want %d", tt.floor, tt.alive, tt.beside, got, tt.want)
		}
	}
}

// A process that drops what it makes collects less often, and one whose heap is
// larger than the floor as often as before.
func TestFloor(t *testing.T) {
	if read("/gc/gogc:percent") != usual {
		t.Skip("GOGC is set")
	}
	Floor(64 << 20)
	var keep [][]byte
	collections := func() uint32 {
		runtime.GC()
		runtime.GC() // after the first the percentage is of what is alive now
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 512 {
			sink = make([]byte, 1<<20)
		}
		runtime.ReadMemStats(&after)
		return after.NumGC - before.NumGC
	}
	runtime.GC()
	if goal := read("/gc/heap/goal:bytes"); goal > 72<<20 {
		t.Errorf("a goal of %d bytes with a floor of 64 MiB", goal)
	}
	if n := collections(); n == 0 || n > 20 {
		t.Errorf("%d collections of half a gigabyte, with a floor of 64 MiB", n)
	}
	for range 128 {
		keep = append(keep, make([]byte, 1<<20))
	}
	if n := collections(); n < 2 {
		t.Errorf("%d collections where 128 MiB live", n)
	}
	runtime.KeepAlive(keep)
}

var sink []byte
