package hostwatch

import (
	"context"
	"path/filepath"
	"sort"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign"
)

type inode struct{ dev, ino uint64 }

// Scan reads the tree once (twice if a denied file has several hard links) and
// returns every denied name in it and every alias of one, sorted. also names
// denied files elsewhere, absolute, whose aliases in the tree are wanted.
func Scan(ctx context.Context, root string, match Match, skip Skip, also ...string) ([]Found, error) {
	root, fd, err := openRoot(root)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	s := &scan{root: root, fd: fd, match: match, skip: skip}
	if err := walkTree(ctx, fd, "", nil, s.visit); err != nil {
		return nil, fault("scan", root, err)
	}
	if err := s.aliases(ctx, also); err != nil {
		return nil, fault("scan", root, err)
	}
	sort.Slice(s.found, func(i, j int) bool { return s.found[i].Rel < s.found[j].Rel })
	return s.found, nil
}

type scan struct {
	root  string
	fd    int
	match Match
	skip  Skip

	mu    sync.Mutex
	found []Found
	links []string // symlinks with harmless names
}

// visit notes denied names and symlinks; it goes into directories that are
// neither denied nor skipped.
func (s *scan) visit(rel string, d dirent) bool {
	dir := d.typ == unix.DT_DIR
	if rule, denied := s.match(rel, dir); denied {
		if f, ok := look(s.fd, rel); ok {
			f.Rule = rule
			s.mu.Lock()
			s.found = append(s.found, f)
			s.mu.Unlock()
			return false
		}
	}
	if d.typ == unix.DT_LNK {
		s.mu.Lock()
		s.links = append(s.links, rel)
		s.mu.Unlock()
	}
	return dir && !s.skip(rel)
}

// aliases adds the other names of what was found. Hard links are looked for in
// skipped directories too.
func (s *scan) aliases(ctx context.Context, also []string) error {
	t := newTargets()
	for _, f := range s.found {
		t.add(ctx, s.root, f)
	}
	for _, p := range also {
		if f, ok := look(unix.AT_FDCWD, p); ok {
			t.add(ctx, "", f)
		}
	}
	for _, rel := range s.links {
		if f, ok := look(s.fd, rel); ok && t.leadsTo(s.root+"/"+rel, &f) {
			s.found = append(s.found, f)
		}
	}
	if len(t.linked) == 0 {
		return nil
	}
	known := map[string]bool{}
	for _, f := range s.found {
		known[f.Rel] = true
	}
	trust := inodesAreTrue(s.fd, s.found)
	return walkTree(ctx, s.fd, "", nil, func(rel string, d dirent) bool {
		if d.typ == unix.DT_REG && (!trust || t.inos[d.ino]) && !known[rel] {
			if f, ok := look(s.fd, rel); ok && t.isLink(&f) {
				s.mu.Lock()
				s.found = append(s.found, f)
				s.mu.Unlock()
			}
		}
		return d.typ != unix.DT_DIR || !t.denied[s.root+"/"+rel]
	})
}

// targets is what aliases are compared with.
type targets struct {
	linked map[inode]Found // regular files with several names
	inos   map[uint64]bool // their inode numbers
	all    map[inode]Found // everything denied, where symlinks lead included
	denied map[string]bool // absolute paths of denied directories
	dirs   []Found
}

func newTargets() *targets {
	return &targets{linked: map[inode]Found{}, inos: map[uint64]bool{}, all: map[inode]Found{}, denied: map[string]bool{}}
}

// add takes a denied name. For a symlink the file it leads to is denied with
// it; of a directory, each file in it that has further names.
func (t *targets) add(ctx context.Context, root string, f Found) {
	abs := f.Rel
	if root != "" {
		abs = root + "/" + f.Rel
	}
	var st unix.Stat_t
	if f.Mode&unix.S_IFMT == unix.S_IFLNK && unix.Stat(abs, &st) == nil {
		of := f
		of.set(&st)
		t.put(of)
		return
	}
	t.put(f)
	if !f.Dir {
		return
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	t.denied[abs] = true
	t.dirs = append(t.dirs, Found{Rel: abs, Rule: f.Rule, Of: f.Rel})
	_, fd, err := openRoot(abs)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	var mu sync.Mutex
	_ = walkTree(ctx, fd, "", nil, func(rel string, d dirent) bool {
		if in, ok := look(fd, rel); ok && d.typ == unix.DT_REG && in.Nlink > 1 {
			in.Rel, in.Rule = f.Rel+"/"+rel, f.Rule
			mu.Lock()
			t.put(in)
			mu.Unlock()
		}
		return true
	})
}

func (t *targets) put(f Found) {
	k := inode{f.Dev, f.Ino}
	t.all[k] = f
	if f.Nlink > 1 && f.Mode&unix.S_IFMT == unix.S_IFREG {
		t.linked[k] = f
		t.inos[f.Ino] = true
	}
}

// isLink reports whether f is another name of a denied file, and says of which.
func (t *targets) isLink(f *Found) bool {
	of, ok := t.linked[inode{f.Dev, f.Ino}]
	if ok {
		f.Of, f.Rule = of.Rel, of.Rule
	}
	return ok
}

// leadsTo reports whether the symlink abs ends at something denied.
func (t *targets) leadsTo(abs string, f *Found) bool {
	var st unix.Stat_t
	if unix.Stat(abs, &st) != nil {
		return false
	}
	if of, ok := t.all[inode{st.Dev, st.Ino}]; ok {
		f.Of, f.Rule = of.Rel, of.Rule
		return true
	}
	if len(t.dirs) == 0 {
		return false
	}
	end, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return false
	}
	for _, d := range t.dirs {
		if below(end, d.Rel) {
			f.Of, f.Rule = d.Of, d.Rule
			return true
		}
	}
	return false
}

// inodesAreTrue reports whether the inode numbers of directory entries are those
// of stat. On an overlay of several file systems they are not; then every file
// is looked at.
func inodesAreTrue(root int, found []Found) bool {
	for _, f := range found {
		if f.Dir || f.Nlink < 2 {
			continue
		}
		same := false
		dir := filepath.Dir(f.Rel)
		if dir == "." {
			dir = ""
		}
		_ = walkTree(context.Background(), root, dir, nil, func(rel string, d dirent) bool {
			if rel == f.Rel {
				same = d.ino == f.Ino
			}
			return false
		})
		if !same {
			return false
		}
	}
	return true
}

// look stats a name without following it.
func look(dir int, rel string) (Found, bool) {
	var st unix.Stat_t
	if unix.Fstatat(dir, rel, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return Found{}, false
	}
	f := Found{Rel: rel}
	f.set(&st)
	return f, true
}

func (f *Found) set(st *unix.Stat_t) {
	f.Dev, f.Ino, f.Mode, f.Nlink = st.Dev, st.Ino, st.Mode, uint64(st.Nlink)
	f.Dir = st.Mode&unix.S_IFMT == unix.S_IFDIR
	f.ctime = st.Ctim.Nano()
}

// openRoot opens a directory by its real path, which it returns.
func openRoot(root string) (string, int, error) {
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return "", 0, fault("open", root, err)
	}
	fd, err := unix.Open(real, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", 0, fault("open", root, err)
	}
	return real, fd, nil
}

func fault(op, thing string, err error) error {
	return &countersign.Error{Code: countersign.EInternal, Op: op, Thing: thing, Err: err}
}
