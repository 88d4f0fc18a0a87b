package osthread

import (
	"errors"
	"slices"
	"testing"
)

func TestInOrderAndWithItsError(t *testing.T) {
	th := New()
	var order []int
	release := make(chan struct{})
	first := th.Begin(func() error { <-release; order = append(order, 1); return errors.New("first") })
	second := make(chan error)
	go func() { second <- th.Do(func() error { order = append(order, 2); return nil }) }()
	close(release)
	if err := <-first; err == nil || err.Error() != "first" {
		t.Errorf("the first: %v", err)
	}
	if err := <-second; err != nil || !slices.Equal(order, []int{1, 2}) {
		t.Errorf("%v, %v", order, err)
	}
}
