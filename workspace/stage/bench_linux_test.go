package stage

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkGitStatus compares git status inside with the same bare, on 3,000
// files: the two are run in turns in one process tree, so that a loaded machine
// slows both.
func BenchmarkGitStatus(b *testing.B) {
	root := filepath.Join(b.TempDir(), "p")
	must(b, os.Mkdir(root, 0o755))
	sh(b, root, `git init -q; for i in $(seq 100); do mkdir d$i; for j in $(seq 30); do echo $i$j > d$i/f$j; done; done; echo S > .env; git add -A; git commit -qm x; git status > /dev/null`)
	e := newEnv(b, root)
	for _, backend := range []string{Snapshot, Overlay} {
		b.Run(backend, func(b *testing.B) {
			s := e.start(b, func(o *Options) { o.Backend, o.Fresh = backend, true })
			mounts := s.Mounts()
			for i := range mounts { // beside the real tree, so that both can be looked at
				rel, err := filepath.Rel(root, mounts[i].Target)
				must(b, err)
				mounts[i].Target = filepath.Join(root+"-view", rel)
			}
			must(b, os.MkdirAll(root+"-view", 0o755))
			for b.Loop() {
				out, err := insideAt(b, mounts, root, fmt.Sprintf(`t() { cd $1; for i in 1 2 3 4 5 6 7 8 9 10; do git status --porcelain; done; }
					TIMEFORMAT=%%U+%%S; for r in 1 2 3; do time t %s; time t %s-view; done`, root, root))
				must(b, err)
				b.Log(out)
			}
		})
	}
}
