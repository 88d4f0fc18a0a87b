package profile

import (
	"slices"
	"strings"
	"testing"
)

// A wrapper's new file name makes no other command; everything else does.
func TestTheSameCommandInItsWrapper(t *testing.T) {
	const eval = "\\builtin shopt -u extglob 2>/dev/null || true && { \\builtin unalias -- 'which'; \\builtin unset -f -- 'which'; } >/dev/null 2>&1 || true && { \\builtin unalias -- 'unsetenv'; \\builtin unset -f -- 'unsetenv'; } >/dev/null 2>&1 || true && eval 'npm test' < /dev/null && pwd -P >| /tmp/claude-HEX-cwd"
	claude := of(t, "claude")
	in := func(hex, command string) []string {
		return []string{"/bin/bash", "-c", "-l", strings.NewReplacer("HEX", hex, "'npm test'", quote(command)).Replace(eval)}
	}
	a := in("1a2b", "npm test")
	if _, _, ok := claude.Unwrap(a); !ok {
		t.Skip("the profile's wrapper has changed: write it anew here")
	}
	first := claude.Same(a)
	if slices.Equal(first, a) || !slices.Equal(first, claude.Same(in("ffff0", "npm test"))) || !strings.HasSuffix(first[3], "/tmp/claude-\x00-cwd") {
		t.Errorf("%q", first)
	}
	other := in("1a2b", "npm test")
	other[0] = "/usr/bin/bash"
	for _, argv := range [][]string{in("1a2b", "npm run x"), in("1a2b", "cat /tmp/claude-1a2b-cwd"), other, in("1a2b", "npm test; x")} {
		if slices.Equal(claude.Same(argv), first) {
			t.Errorf("%q passes for another", argv)
		}
	}
	if got := claude.Same(in("1a2b", "cat /tmp/claude-1a2b-cwd")); !strings.Contains(got[3], "cat /tmp/claude-1a2b-cwd") {
		t.Errorf("the command itself is changed: %q", got)
	}
	for _, argv := range [][]string{nil, {"ls", "/tmp/claude-1a2b-cwd"}, {"bash", "-c", "x >| /tmp/claude-1a2b-cwd"}, append(in("1", "x"), "y")} {
		if !slices.Equal(claude.Same(argv), argv) {
			t.Errorf("%q is no wrapper and is changed", argv)
		}
	}
}

// Two commands of one name are one only where they are the same after their
// wrapper, and the place that a name takes is of letters that end nothing.
func TestSameKeepsWhatIsWrapped(t *testing.T) {
	for name, wrapped := range wrap {
		p := of(t, name)
		for _, c := range []string{"ls", "echo 'a'", "x /tmp/claude-12-cwd", "\n)\n", "a\nb"} {
			for _, d := range []string{"ls ", "echo 'b'", "x /tmp/claude-13-cwd", ")", "a\nc"} {
				if slices.Equal(p.Same(wrapped(c)), p.Same(wrapped(d))) {
					t.Errorf("%s: %q and %q are one", name, c, d)
				}
			}
		}
	}
}
