package agents

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/countersign/countersign/profile"
)

// Machine is where agents are looked for.
type Machine struct {
	Getenv func(string) string
	Home   string // the person's
	Avoid  string // the project: what lies in it is its own, not the person's
}

// Program is an agent's program on this machine.
type Program struct {
	Path    string // as it would be started
	Version string // empty where no package beside it tells
}

// Find looks for an agent: along PATH, then where npm, pipx, uv and the vendors'
// installers put programs that PATH may lack.
func (m Machine) Find(p *profile.Profile) (Program, bool) {
	for _, dir := range slices.Concat(filepath.SplitList(m.Getenv("PATH")), m.places(p)) {
		for _, name := range p.Found.Names {
			if path := filepath.Join(dir, name); filepath.IsAbs(dir) && m.runs(path) {
				return Program{Path: path, Version: version(p, path)}, true
			}
		}
	}
	return Program{}, false
}

func (m Machine) runs(path string) bool {
	if m.Avoid != "" && strings.HasPrefix(path, m.Avoid+"/") {
		return false
	}
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o111 != 0
}

func (m Machine) places(p *profile.Profile) []string {
	home := func(parts ...string) string {
		if m.Home == "" {
			return ""
		}
		return filepath.Join(append([]string{m.Home}, parts...)...)
	}
	below := func(variable string, parts ...string) string {
		if dir := m.Getenv(variable); dir != "" {
			return filepath.Join(append([]string{dir}, parts...)...)
		}
		return ""
	}
	out := []string{
		home(".local", "bin"), below("NPM_CONFIG_PREFIX", "bin"), below("npm_config_prefix", "bin"), npmPrefix(home(".npmrc"), m.Home),
		home(".npm-global", "bin"), below("NVM_BIN"), below("VOLTA_HOME", "bin"), home(".volta", "bin"), below("PNPM_HOME"),
		home(".local", "share", "pnpm"), below("BUN_INSTALL", "bin"), home(".bun", "bin"), home("go", "bin"), home("bin"),
		home("."+p.Name, "bin"), home("."+p.Name, "local"), "/usr/local/bin", "/opt/homebrew/bin", "/home/linuxbrew/.linuxbrew/bin",
	}
	if p.Found.PyPI != "" {
		out = append(out, below("PIPX_HOME", "venvs", p.Found.PyPI, "bin"), home(".local", "share", "pipx", "venvs", p.Found.PyPI, "bin"),
			home(".local", "pipx", "venvs", p.Found.PyPI, "bin"), home(".local", "share", "uv", "tools", p.Found.PyPI, "bin"))
	}
	if nvm := home(".nvm", "versions", "node"); nvm != "" {
		list, _ := filepath.Glob(nvm + "/*/bin")
		slices.Reverse(list) // the newest first, nearly
		out = append(out, list...)
	}
	return slices.DeleteFunc(out, func(dir string) bool { return dir == "" })
}

// npmPrefix is what the person told npm to install below.
func npmPrefix(rc, home string) string {
	for line := range strings.Lines(string(small(rc))) {
		if key, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(key) == "prefix" {
			dir := strings.ReplaceAll(strings.Trim(strings.TrimSpace(value), `"'`), "${HOME}", home)
			if rest, ok := strings.CutPrefix(dir, "~/"); ok {
				dir = filepath.Join(home, rest)
			}
			return filepath.Join(dir, "bin")
		}
	}
	return ""
}

// version is what the package says that the program belongs to.
func version(p *profile.Profile, path string) string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return ""
	}
	if p.Found.PyPI != "" {
		name := strings.ReplaceAll(p.Found.PyPI, "-", "_")
		list, _ := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(real)), "lib", "python*", "site-packages", name+"-*.dist-info"))
		if len(list) == 1 {
			return strings.TrimSuffix(strings.TrimPrefix(filepath.Base(list[0]), name+"-"), ".dist-info")
		}
	}
	dir := filepath.Dir(real)
	for range 6 {
		var pkg struct{ Name, Version string }
		if json.Unmarshal(small(filepath.Join(dir, "package.json")), &pkg) == nil && pkg.Version != "" && ours(p, pkg.Name) {
			return pkg.Version
		}
		dir = filepath.Dir(dir)
	}
	return ""
}

// ours reports whether a package is the agent's, or a platform's of it.
func ours(p *profile.Profile, name string) bool {
	if p.Found.NPM == "" {
		return false
	}
	return name == p.Found.NPM || strings.HasPrefix(name, p.Found.NPM+"-") || strings.HasPrefix(name, "@"+p.Name+"/")
}

// small reads a file of at most a megabyte, or nothing.
func small(path string) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return nil
	}
	return b
}

// Native is what an npm shim that does nothing but start a program would start.
func Native(p *profile.Profile, path string) []string {
	shim := p.Found.Shim
	real, err := filepath.EvalSymlinks(path)
	if shim.File == "" || err != nil || filepath.Base(real) != shim.File {
		return []string{path}
	}
	if len(shim.Runs) > 0 {
		return beside(filepath.Dir(real), shim.Runs)
	}
	pkg := filepath.Dir(real)
	if filepath.Base(pkg) == "bin" {
		pkg = filepath.Dir(pkg) // …/node_modules/@openai/codex
	}
	scope, platform := filepath.Split(shim.Package)
	for _, vendor := range []string{filepath.Join(filepath.Dir(pkg), platform), filepath.Join(pkg, "node_modules", scope, platform), pkg} {
		for _, place := range []string{"vendor/*/bin/" + p.Name, "vendor/*/" + p.Name + "/" + p.Name, p.Name} {
			if found, _ := filepath.Glob(filepath.Join(vendor, place)); len(found) == 1 {
				return found[:1]
			}
		}
	}
	return []string{path}
}

// beside is a command line whose words that are files of dir name them there.
func beside(dir string, words []string) (argv []string) {
	for _, w := range words {
		if at := filepath.Join(dir, w); len(argv) > 0 {
			if _, err := os.Lstat(at); err == nil {
				w = at
			}
		}
		argv = append(argv, w)
	}
	return argv
}
