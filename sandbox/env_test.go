package sandbox

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEnvAllow(t *testing.T) {
	env := []string{
		"PATH=/bin", "HOME=/h", "LANG=C", "LC_ALL=C", "TERM=xterm", "GOFLAGS=-v", "broken", "=x",
		"SSH_AUTH_SOCK=/s", "AWS_SECRET_ACCESS_KEY=x", "ANTHROPIC_API_KEY=x", "GITHUB_TOKEN=x", "npm_config_token=x", "DBUS_SESSION_BUS_ADDRESS=x",
		"LD_PRELOAD=/evil.so", "XDG_RUNTIME_DIR=/run/user/1", "PGPASSWORD=x", "MY_VAR=1", "MY_TOKEN=2", "UNKNOWN=3", "EMPTY=", "UNKNOWN=4",
	}
	kept, removed := EnvAllow(env, []string{"MY_*", "EMPTY", "PGPASSWORD"})
	wantKept := []string{"PATH=/bin", "HOME=/h", "LANG=C", "LC_ALL=C", "TERM=xterm", "GOFLAGS=-v", "PGPASSWORD=x", "MY_VAR=1", "EMPTY="}
	wantRemoved := []string{
		"ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY", "DBUS_SESSION_BUS_ADDRESS", "GITHUB_TOKEN", "LD_PRELOAD", "MY_TOKEN",
		"SSH_AUTH_SOCK", "UNKNOWN", "XDG_RUNTIME_DIR", "npm_config_token",
	}
	if d := cmp.Diff(wantKept, kept); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(wantRemoved, removed); d != "" {
		t.Error(d)
	}
}

// FuzzEnvAllow: whatever the environment, every entry is on exactly one side,
// and no secret's name passes by a pattern.
func FuzzEnvAllow(f *testing.F) {
	f.Add("PATH", "x")
	f.Add("A_TOKEN", "[")
	f.Add("LC_\xff", "*")
	f.Fuzz(func(t *testing.T, name, pattern string) {
		kept, removed := EnvAllow([]string{name + "=v"}, []string{pattern})
		if len(kept)+len(removed) > 1 {
			t.Fatal(kept, removed)
		}
		if len(kept) == 1 && matches(name, []string{"*_TOKEN", "SSH_AUTH_SOCK"}) && pattern != name {
			t.Fatalf("%q passes by %q", name, pattern)
		}
	})
}

func TestToolchains(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	home := base + "/home/u"
	for _, d := range []string{
		"/home/u/.nvm/v20/bin", "/home/u/.nvm/v20/lib", "/home/u/go/bin", "/home/u/go/pkg/mod", "/home/u/.local/bin", "/home/u/.local/share/keyrings",
		"/home/u/.local/share/claude/versions", "/home/u/.local/share/pipx/venvs/black/bin", "/home/u/.local/share/pipx/venvs/black/lib",
		"/home/u/Private", "/home/u/bin", "/home/u/.cargo/bin", "/home/u/.rustup/toolchains", "/tools/jdk/bin", "/tools/jdk/lib", "/tools/one/bin",
		"/home/u/.local/lib/python3", "/home/u/work/bin", "/home/u/work/lib", "/home/u/work/.git", "/home/u/.pyenv/shims", "/home/u/.pyenv/versions", "/home/u/.pyenv/.git",
	} {
		if err := os.MkdirAll(base+d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"/home/u/.local/bin/claude": home + "/.local/share/claude/versions/1.0",
		"/home/u/.local/bin/black":  "../share/pipx/venvs/black/bin/black",
		"/home/u/bin/secretive":     home + "/Private/tool",
		"/home/u/bin/system":        "/usr/bin/env",
		"/home/u/bin/dangling":      "/nowhere/x",
	} {
		if err := os.Symlink(to, base+link); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"/home/u/.local/share/claude/versions/1.0", "/home/u/.local/share/pipx/venvs/black/bin/black", "/home/u/Private/tool", "/home/u/Private/diary"} {
		write(t, base+f, "x")
	}
	path := ""
	for _, d := range []string{"/home/u/.nvm/v20/bin", "/home/u/go/bin", "/home/u/.local/bin", "/home/u/bin", "/home/u/.cargo/bin", "/tools/jdk/bin", "/tools/one/bin", "/absent/bin", "/home/u/work/bin", "/home/u/.pyenv/shims"} {
		path += base + d + ":"
	}
	path += "relative:.::/usr/bin:/opt/x/bin:" + home + ":/"
	want := []string{
		home + "/.cargo/bin", home + "/.local/bin", home + "/.local/lib", home + "/.local/share/claude/versions/1.0", home + "/.local/share/pipx/venvs/black",
		home + "/.nvm/v20", home + "/.pyenv", home + "/.rustup", home + "/Private/tool", home + "/bin", home + "/go/bin", home + "/work/bin", base + "/tools/jdk", base + "/tools/one/bin",
	}
	if d := cmp.Diff(want, Toolchains(path, home)); d != "" {
		t.Error(d)
	}
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
