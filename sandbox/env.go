package sandbox

import (
	"os"
	"path"
	"slices"
	"strings"
)

// envKept are the variables that pass by themselves: what a program needs to
// find its way, and nothing that is a key, a token or a socket.
var envKept = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "LANG", "LANGUAGE", "LC_*", "TZ",
	"TERM", "COLORTERM", "TERM_PROGRAM", "TERM_PROGRAM_VERSION", "TERMINFO", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE",
	"GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_AUTHOR_DATE", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "GIT_COMMITTER_DATE",
	"EDITOR", "VISUAL", "PAGER", "LESS", "LESSCHARSET", "MANPATH", "INFOPATH", "CI",
	"GOROOT", "GOPATH", "GOCACHE", "GOMODCACHE", "GOFLAGS", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GOTOOLCHAIN", "GOOS", "GOARCH", "GO111MODULE", "CGO_ENABLED", "GOTMPDIR",
	"CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "JAVA_HOME", "M2_HOME", "MAVEN_HOME", "GRADLE_HOME", "ANDROID_HOME",
	"NVM_DIR", "NVM_BIN", "NODE_ENV", "NODE_PATH", "NODE_VERSION", "NPM_CONFIG_PREFIX", "npm_config_prefix", "npm_config_cache", "VOLTA_HOME", "PNPM_HOME", "BUN_INSTALL",
	"PYENV_ROOT", "PYENV_VERSION", "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONUNBUFFERED", "PIPX_HOME", "UV_CACHE_DIR",
	"RBENV_ROOT", "GEM_HOME", "GEM_PATH", "ASDF_DIR", "ASDF_DATA_DIR", "MISE_DATA_DIR", "SDKMAN_DIR",
	"CC", "CXX", "CFLAGS", "CXXFLAGS", "LDFLAGS", "PKG_CONFIG_PATH", "MAKEFLAGS", "SOURCE_DATE_EPOCH",
}

// envNever beat every list: agents' sockets, and what carries a secret by its
// name, whoever asks for it.
var envNever = []string{
	"SSH_AUTH_SOCK", "SSH_AGENT_PID", "GPG_AGENT_INFO", "GNOME_KEYRING_*", "DBUS_*", "XDG_RUNTIME_DIR", "DISPLAY", "WAYLAND_*", "XAUTHORITY",
	"DOCKER_*", "CONTAINER_HOST", "KUBECONFIG", "VSCODE_*", "LD_*", "GIT_ASKPASS", "SSH_ASKPASS", "SUDO_*", "NOTIFY_SOCKET", "LISTEN_*",
	"*_TOKEN", "*_TOKEN_*", "*_KEY", "*_KEY_ID", "*_SECRET", "*_SECRET_*", "*PASSWORD*", "*PASSWD*", "*_PAT", "*CREDENTIAL*", "*_DSN", "DATABASE_URL",
}

// EnvAllow splits an environment (NAME=VALUE) by the built-in allow-list and
// more patterns (names, with * for any rest), and returns what is kept, and the
// names of what is not. A name that can only be a secret's or an agent socket's
// is kept only if more names it exactly.
func EnvAllow(env, more []string) (kept, removed []string) {
	for _, kv := range env {
		name, _, ok := strings.Cut(kv, "=")
		if !ok || name == "" {
			continue
		}
		if allowed(name, more) {
			kept = append(kept, kv)
		} else {
			removed = append(removed, name)
		}
	}
	slices.Sort(removed)
	return kept, slices.Compact(removed)
}

// EnvExtra is what a session's environment needs besides: root's agent has no
// capability to give files away, which GNU tar tries for root by default.
func EnvExtra() []string {
	if os.Getuid() == 0 {
		return []string{"TAR_OPTIONS=--no-same-owner"}
	}
	return nil
}

func allowed(name string, more []string) bool {
	if slices.Contains(more, name) {
		return true
	}
	if matches(strings.ToUpper(name), envNever) {
		return false
	}
	return matches(name, envKept) || matches(name, more)
}

func matches(name string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return err == nil && ok
	})
}
