//go:build amd64 || arm64

package agents

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/countersign/countersign/sandbox"
)

func TestFreshCachesHideNothingNewer(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	put := func(name string, age time.Duration) {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p, now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	put("upper/index/stale", 2*time.Hour)
	put("lower/index/stale", time.Hour)
	put("upper/index/own", time.Hour)
	put("lower/index/own", 2*time.Hour)
	put("upper/index/alone", 3*time.Hour)
	c := sandbox.Cache{Upper: filepath.Join(dir, "upper"), Lower: filepath.Join(dir, "lower")}
	none := sandbox.Cache{Upper: filepath.Join(dir, "none"), Lower: filepath.Join(dir, "lower")}
	put("go-build/upper/a", 2*time.Hour)
	put("lower/a", time.Hour)
	built := sandbox.Cache{Upper: filepath.Join(dir, "go-build/upper"), Lower: filepath.Join(dir, "lower")}
	FreshCaches(t.Context(), []sandbox.Cache{none, c, built})
	for name, want := range map[string]bool{"upper/index/stale": false, "upper/index/own": true, "upper/index/alone": true, "lower/index/stale": true, "lower/index/own": true, "go-build/upper/a": true} {
		if _, err := os.Lstat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
