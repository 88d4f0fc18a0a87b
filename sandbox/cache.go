package sandbox

import (
	"path/filepath"
	"strings"
)

// GoBuild names the cache of what Go has built.
const GoBuild = "go-build"

// Caches returns the caches of Go, npm, pip, cargo and their like, each with its
// private layer below state, at the places the environment names. Only what is
// content, never a tool's configuration: that is where tokens are.
func Caches(home, state string, env []string) []Cache {
	get := func(name, otherwise string) string {
		for _, kv := range env {
			if v, ok := strings.CutPrefix(kv, name+"="); ok && filepath.IsAbs(v) {
				return filepath.Clean(v)
			}
		}
		return otherwise
	}
	gopath := get("GOPATH", filepath.Join(home, "go"))
	cargo := get("CARGO_HOME", filepath.Join(home, ".cargo"))
	dot := filepath.Join(home, ".cache")
	var out []Cache
	for _, c := range []struct{ name, dir string }{
		{GoBuild, get("GOCACHE", dot+"/go-build")},
		{"go-mod", get("GOMODCACHE", gopath+"/pkg/mod")},
		{"npm", get("npm_config_cache", home+"/.npm") + "/_cacache"},
		{"pip", get("PIP_CACHE_DIR", dot+"/pip")},
		{"uv", get("UV_CACHE_DIR", dot+"/uv")},
		{"cargo-registry", cargo + "/registry"},
		{"cargo-git", cargo + "/git/db"},
	} {
		out = append(out, Cache{
			Lower: c.dir, Target: c.dir,
			Upper: filepath.Join(state, "caches", c.name, "upper"), Work: filepath.Join(state, "caches", c.name, "work"),
		})
	}
	return out
}
