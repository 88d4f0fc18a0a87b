package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// inView are the host's directories that every view holds anyway.
var inView = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix", "/dev", "/proc", "/sys"}

// Toolchains returns the host directories that the programs of a PATH need: the
// entries themselves, the tree that a …/bin belongs to, and what links in them
// lead to. Below home it never returns more than a single tool's own directory:
// not home, not what holds other things too (~/.local, ~/go, ~/.cargo).
func Toolchains(pathVar, home string) []string {
	f := finder{home: filepath.Clean(home), seen: map[string]bool{}}
	for _, dir := range filepath.SplitList(pathVar) {
		if filepath.IsAbs(dir) {
			f.entry(filepath.Clean(dir))
		}
	}
	slices.Sort(f.out)
	return outermost(f.out)
}

type finder struct {
	home string
	seen map[string]bool
	out  []string
}

func (f *finder) entry(dir string) {
	st, err := os.Stat(dir)
	if err != nil || !st.IsDir() || f.covered(dir) {
		return
	}
	f.add(dir)
	if real, err := filepath.EvalSymlinks(dir); err == nil && real != dir {
		f.add(f.tree(real))
	}
	f.add(f.tree(dir))
	if dir == filepath.Join(f.home, ".cargo/bin") { // rustup's proxies
		f.add(filepath.Join(f.home, ".rustup"))
	}
	if dir == filepath.Join(f.home, ".local/bin") { // pip install --user
		f.add(filepath.Join(f.home, ".local/lib"))
	}
	f.links(dir)
}

// links follows the links of a directory of programs to what they belong to.
func (f *finder) links(dir string) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range names {
		if e.Type()&os.ModeSymlink == 0 {
			continue
		}
		to, err := filepath.EvalSymlinks(filepath.Join(dir, e.Name()))
		if err != nil || f.covered(to) {
			continue
		}
		f.add(f.owner(to))
	}
}

// tree is the directory that a …/bin belongs to, if it looks like one tool's:
// with a lib, share or libexec beside.
func (f *finder) tree(dir string) string {
	parent := filepath.Dir(dir)
	if name := filepath.Base(dir); name != "bin" && name != "sbin" && name != "shims" || f.shared(parent) {
		return dir
	}
	hidden := filepath.Dir(parent) == f.home && strings.HasPrefix(filepath.Base(parent), ".") // ~/.pyenv is a clone
	if _, err := os.Lstat(filepath.Join(parent, ".git")); err == nil && !hidden {
		return dir // somebody's repository: what lies beside may be anything
	}
	for _, sub := range []string{"lib", "lib64", "libexec", "share", "pkg/tool", "versions", "installs", "tools", "packages"} {
		if st, err := os.Stat(filepath.Join(parent, sub)); err == nil && st.IsDir() {
			return parent
		}
	}
	return dir
}

// owner is the tree that a program lies in.
func (f *finder) owner(program string) string {
	for dir := filepath.Dir(program); len(dir) > 1 && dir != f.home; dir = filepath.Dir(dir) {
		if filepath.Base(dir) == "bin" {
			if t := f.tree(dir); t != dir {
				return t
			}
		}
		if filepath.Base(dir) == "node_modules" {
			return dir
		}
	}
	if strings.HasPrefix(program, f.home+"/") {
		return program // whatever else lies beside it is not the tool's
	}
	return filepath.Dir(program)
}

// shared tells directories that hold more than one tool.
func (f *finder) shared(dir string) bool {
	if dir == "/" || dir == "/usr" || dir == "/home" || dir == "/var" || dir == "/tmp" || dir == "/mnt" || dir == "/srv" || dir == "/root" {
		return true
	}
	rel, err := filepath.Rel(f.home, dir)
	if err != nil || strings.HasPrefix(rel, "..") {
		return strings.HasPrefix(f.home+"/", dir+"/")
	}
	switch rel {
	case ".", ".local", ".local/share", ".config", ".cache", ".cargo", "go", "Library", "Documents", "Desktop", "Downloads", "snap":
		return true
	}
	return false
}

func (f *finder) add(dir string) {
	if dir == "" || f.seen[dir] || f.covered(dir) || f.shared(dir) {
		return
	}
	f.seen[dir] = true
	f.out = append(f.out, dir)
}

func (f *finder) covered(path string) bool {
	return slices.ContainsFunc(inView, func(d string) bool { return path == d || strings.HasPrefix(path, d+"/") })
}

// outermost drops what lies below another of the sorted paths.
func outermost(sorted []string) []string {
	var out []string
	for _, p := range sorted {
		if n := len(out); n > 0 && (p == out[n-1] || strings.HasPrefix(p, out[n-1]+"/")) {
			continue
		}
		out = append(out, p)
	}
	return out
}
