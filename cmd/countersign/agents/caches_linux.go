//go:build amd64 || arm64

package agents

import (
	"context"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/sandbox"
	"github.com/countersign/countersign/workspace/layer"
)

// FreshCaches takes out of each cache's private layer what hides a newer file of
// the person's: npm keeps its index in files that both sides write, and the
// session's copy would keep what was fetched since from being found. No session
// has the layers mounted: the home's lock is held.
func FreshCaches(ctx context.Context, caches []sandbox.Cache) []sandbox.Cache {
	for _, c := range caches {
		if filepath.Base(filepath.Dir(c.Upper)) == sandbox.GoBuild {
			continue // the largest by far, and named by what went into it: whichever is found is right
		}
		if upper, err := layer.Open(c.Upper); err == nil {
			if lower, err := layer.Open(c.Lower); err == nil {
				dropOlder(ctx, upper, lower)
				lower.Close()
			}
			upper.Close()
		}
	}
	return caches
}

func dropOlder(ctx context.Context, upper, lower *layer.Root) {
	upper.Walk(ctx, "", func(it layer.Item) bool {
		if it.Format() == unix.S_IFDIR {
			return true
		}
		st, err := lower.Lstat(it.Rel)
		if err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Mtim.Nano() > it.St.Mtim.Nano() {
			_ = upper.Unlink(it.Rel) // one that stays costs a miss
		}
		return false
	}, nil)
}
