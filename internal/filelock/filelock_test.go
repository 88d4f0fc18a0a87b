package filelock

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"
)

func TestSecondWaitsAndGivesUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Lock(ctx, path); !errors.Is(err, ErrBusy) {
		t.Fatalf("got %v", err)
	}
	unlock()
	unlock, err = Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestSharedGoTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if Held(path) {
		t.Error("held before it is there")
	}
	one, err := Try(path, Shared)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Take(t.Context(), path, Shared)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Try(path, Exclusive); !errors.Is(err, ErrBusy) || Held(path) {
		t.Errorf("exclusive beside shared: %v, held %t", err, Held(path))
	}
	one.Close()
	two.Close()
	three, err := Try(path, Exclusive)
	if err != nil || !Held(path) {
		t.Errorf("%v, held %t", err, Held(path))
	}
	three.Close()
}
