package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// agentCache is where agents are installed: outside the repository, and readable
// by every user the tests run as.
func agentCache(t *testing.T, name string) string {
	t.Helper()
	cache := "/var/cache"
	if os.Getuid() != 0 {
		var err error
		if cache, err = os.UserCacheDir(); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(cache, "countersign-e2e", name)
}

// fromPyPI makes a virtual environment of packages in the cache, and returns its
// directory; ready is a file of it that the installation makes last. A registry
// that does not answer skips the test.
func fromPyPI(t *testing.T, name, ready string, packages ...string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("installs from PyPI")
	}
	dir := agentCache(t, name)
	if _, err := os.Stat(filepath.Join(dir, ready)); err == nil {
		return dir
	}
	python := "/usr/bin/python3" // one in somebody's home cannot be seen by the others
	if _, err := os.Stat(python); err != nil {
		if python, err = exec.LookPath("python3"); err != nil {
			t.Skip("python3 is not installed")
		}
	}
	if out, err := exec.Command(python, "-m", "venv", "--clear", dir).CombinedOutput(); err != nil {
		t.Skipf("python3 makes no virtual environment (on Debian: apt-get install python3-venv): %v\n%s", err, out)
	}
	if out, err := exec.Command(filepath.Join(dir, "bin/pip"), append([]string{"install", "--no-input", "--disable-pip-version-check"}, packages...)...).CombinedOutput(); err != nil {
		t.Skipf("PyPI did not answer, or what it has cannot be built here: %v\n%.2000s", err, out)
	}
	return dir
}
