package stage

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/filelock"
)

// Whoever lists layers asks whether each is held, and holds it for that instant: a
// session that begins must not take that for another one.
func TestALayerIsTakenBesideWhoAsks(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lock")
	asks, err := filelock.Try(path, filelock.Shared)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(10*time.Millisecond, func() { asks.Close() })
	lock, err := lockLayer(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockLayer(dir); !errors.Is(err, filelock.ErrBusy) {
		t.Errorf("a layer that a session holds: %v", err)
	}
	lock.Close()
}
