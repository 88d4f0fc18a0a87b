package after

import (
	"sync/atomic"
	"testing"
)

func TestWork(t *testing.T) {
	w := New(4, 1<<20)
	begun, hold := make(chan struct{}), make(chan struct{})
	var order []int
	if !w.Take(1, func() { close(begun); <-hold; order = append(order, 0) }) {
		t.Fatal("the first was not taken")
	}
	<-begun
	for i := 1; i <= 4; i++ {
		if !w.Take(1, func() { order = append(order, i) }) {
			t.Errorf("the %dth was not taken", i)
		}
	}
	if w.Take(1, func() {}) {
		t.Error("more were taken than there is room for")
	}
	if few := New(4, 100); few.Take(101, func() {}) || !few.Take(100, func() {}) {
		t.Error("bytes are not counted")
	}
	close(hold)
	w.Close()
	w.Close()
	if w.Take(1, func() {}) {
		t.Error("one was taken after the end")
	}
	for i, n := range order {
		if i != n || len(order) != 5 {
			t.Errorf("done in the order %v", order)
		}
	}
}

func TestNothingIsDropped(t *testing.T) {
	w := New(8, 1<<20)
	var done atomic.Int64
	ended := make(chan struct{})
	for range 16 {
		go func() {
			for range 1000 {
				if do := func() { done.Add(1) }; !w.Take(1, do) {
					do()
				}
			}
			ended <- struct{}{}
		}()
	}
	for range 16 {
		<-ended
	}
	w.Close()
	if n := done.Load(); n != 16_000 {
		t.Errorf("%d were done of 16000", n)
	}
}

// Work may be done before the one who brought it goes on.
func TestWorkIsCountedBeforeItIsDone(t *testing.T) {
	w := New(1, 1<<20)
	var done atomic.Int64
	for range 30_000 {
		for !w.Take(1, func() { done.Add(1) }) {
		}
	}
	w.Close()
	if n, left := done.Load(), w.bytes.Load(); n != 30_000 || left != 0 {
		t.Errorf("%d were done of 30000, %d bytes are left", n, left)
	}
}
