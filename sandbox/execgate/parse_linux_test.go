//go:build amd64 || arm64

package execgate

import (
	"bytes"
	"strings"
	"testing"

	"github.com/countersign/countersign/sandbox/seccomp"
)

func FuzzSplit(f *testing.F) {
	f.Add([]byte("a\x00b\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = append(b, 0)
		if got := strings.Join(seccomp.Split(b), "\x00") + "\x00"; !bytes.Equal([]byte(got), b) {
			t.Errorf("%q: %q", b, got)
		}
	})
}

// TestLaunchChain: the agent's own start is not asked, what follows is.
func TestLaunchChain(t *testing.T) {
	for _, writable := range []bool{false, true} {
		g := newGated(t)
		script := g.file("agent", "#!/usr/bin/env sh\n/usr/bin/true\n/usr/bin/env sh -c :\n:\n", 0o755)
		g.cfg.Writable = func(p string) bool { return writable && strings.HasPrefix(p, g.dir) }
		g.cfg.Seals = NewSeals(unsealed{})
		g.cfg.Launch = Launch{Argv: []string{script, "arg"}}
		g.run(script, "arg")
		got := ""
		for _, a := range g.judge.seen {
			if a.Exec.Launch {
				got += "L"
			} else if a.Exec.Root == nil {
				got += "d"
			} else {
				got += "c"
			}
		}
		if want := "LLddc"; got != want {
			t.Errorf("writable %v: %s, want %s: %q %q", writable, got, want, g.judge.argvs(), g.judge.ends)
		}
	}
}
