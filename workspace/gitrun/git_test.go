package gitrun

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Git finds objects below directories whose names hold its own separators.
func TestObjectsBelowOddNames(t *testing.T) {
	for _, name := range []string{"plain", "a:b", `say "x"`, "two\nlines", `back\slash:x`, `"begins`, "é:ü"} {
		root := filepath.Join(t.TempDir(), name)
		if err := os.MkdirAll(root, 0o755); err != nil {
			t.Fatal(err)
		}
		git := func(dir string, args ...string) string {
			cmd := exec.Command("git", args...)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%q: git %v: %s", name, args, out)
			}
			return strings.TrimSpace(string(out))
		}
		git(root, "init", "-q")
		if err := os.WriteFile(filepath.Join(root, "f"), []byte("text\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		id := git(root, "hash-object", "-w", "f")
		other := t.TempDir()
		git(other, "init", "-q")
		dir := filepath.Join(other, ".git")
		c := Call{Repo: Repo{Dir: dir, Common: dir}, Objects: []string{filepath.Join(t.TempDir(), "none"), filepath.Join(root, ".git", "objects")}}
		if out, err := c.Run(t.Context(), "cat-file", "-p", id); err != nil || string(out) != "text\n" {
			t.Errorf("%q: %s %v", name, out, err)
		}
	}
}
