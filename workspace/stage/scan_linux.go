package stage

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/workspace/gitview"
)

// fileID names an inode.
type fileID struct{ dev, ino uint64 }

func idOf(st *unix.Stat_t) fileID { return fileID{st.Dev, st.Ino} }

// scan is what one walk of the real tree found.
type scan struct {
	mu      sync.Mutex
	items   map[string]*item
	denied  map[string]string // path to rule
	alias   map[string]string // path to the denied path it is another name of
	secrets map[fileID]string // denied inodes that have more names, to a denied path
	ignored gitview.Ignored
	bulk    map[string]bool // ignored directories that are not walked file by file
	nested  []string        // directories other than the root that hold a .git
	failed  map[string]error
	files   int   // not ignored
	bytes   int64 // of those
}

// scan walks the real tree. Inside ignored directories it only walks those that
// are small.
func (s *Staging) scan(ctx context.Context) (*scan, error) {
	sc := &scan{items: map[string]*item{}, denied: map[string]string{}, alias: map[string]string{}, secrets: map[fileID]string{}, bulk: map[string]bool{}, failed: map[string]error{}}
	p := s.opts.Project
	ig, err := p.Ignored(ctx, p.Repo)
	if err != nil {
		return nil, err
	}
	sc.ignored = ig
	visit := func(it item) bool { return s.scanItem(ctx, sc, it) }
	fail := func(rel string, err error) {
		sc.mu.Lock()
		defer sc.mu.Unlock()
		sc.failed[rel] = err
	}
	if err := s.real.walk(ctx, "", visit, fail); err != nil {
		return nil, err
	}
	if err, ok := sc.failed[""]; ok {
		return nil, err
	}
	if err := s.scanIgnored(ctx, sc, fail); err != nil {
		return nil, err
	}
	sort.Strings(sc.nested)
	s.findAliases(sc)
	return sc, nil
}

// scanItem records one entry and tells whether to descend.
func (s *Staging) scanItem(ctx context.Context, sc *scan, it item) bool {
	base, up := path.Base(it.rel), parent(it.rel)
	if base == ".git" {
		sc.mu.Lock()
		_, is := s.opts.Project.RepoAt(up)
		if is && up != "" {
			sc.nested = append(sc.nested, up)
		}
		sc.mu.Unlock()
		if is {
			if r, _ := s.opts.Project.RepoAt(up); up != "" {
				s.nestedIgnored(ctx, sc, r)
			}
			return false
		}
	}
	rule, denied := s.opts.Denied(it.rel)
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.items[it.rel] = &it
	if denied {
		sc.denied[it.rel] = rule
		if it.st.Nlink > 1 && it.format() == unix.S_IFREG {
			sc.secrets[idOf(&it.st)] = it.rel
		}
		return false
	}
	if it.format() == unix.S_IFDIR {
		return !sc.ignored.Dirs[it.rel]
	}
	if !sc.ignored.Files[it.rel] {
		sc.files++
		sc.bytes += it.st.Size
	}
	return true
}

// nestedIgnored adds what a nested repository ignores: the root's git does not
// look into it.
func (s *Staging) nestedIgnored(ctx context.Context, sc *scan, r gitview.Repo) {
	ig, err := s.opts.Project.Ignored(ctx, r)
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if err != nil {
		sc.failed[r.Rel] = err
		return
	}
	for d := range ig.Dirs {
		sc.ignored.Dirs[d] = true
	}
	for f := range ig.Files {
		sc.ignored.Files[f] = true
	}
}

// scanIgnored walks the small ignored directories and finds the bulky ones.
func (s *Staging) scanIgnored(ctx context.Context, sc *scan, fail func(string, error)) error {
	var dirs []string
	for d := range sc.ignored.Dirs {
		if it := sc.items[d]; it != nil && it.format() == unix.S_IFDIR && sc.denied[d] == "" {
			dirs = append(dirs, d)
		}
	}
	sort.Strings(dirs)
	for _, d := range dirs {
		if e := s.idx.m[d]; e != nil && (e.kind == kBulk || e.kind == kAttach) {
			sc.bulk[d] = true
			continue
		}
		cut, stop := context.WithCancel(ctx)
		var mu sync.Mutex
		var found []item
		err := s.real.walk(cut, d, func(it item) bool {
			mu.Lock()
			defer mu.Unlock()
			if found = append(found, it); len(found) > s.opts.SmallFiles {
				stop()
			}
			_, denied := s.opts.Denied(it.rel)
			return !denied
		}, fail)
		stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil || len(found) > s.opts.SmallFiles {
			sc.bulk[d] = true
			continue
		}
		for _, it := range found {
			s.scanSmall(sc, it)
		}
	}
	return nil
}

func (s *Staging) scanSmall(sc *scan, it item) {
	sc.items[it.rel] = &it
	sc.ignored.Files[it.rel] = true
	if rule, denied := s.opts.Denied(it.rel); denied {
		sc.denied[it.rel] = rule
		if it.st.Nlink > 1 && it.format() == unix.S_IFREG {
			sc.secrets[idOf(&it.st)] = it.rel
		}
	}
}

// findAliases finds the other names of denied files: hard links, and what a
// symbolic link of a denied name leads to.
func (s *Staging) findAliases(sc *scan) {
	for rel := range sc.denied {
		it := sc.items[rel]
		if it.format() != unix.S_IFLNK {
			continue
		}
		to, err := filepath.EvalSymlinks(filepath.Join(s.opts.Project.Root, rel))
		if err != nil {
			continue
		}
		below, err := filepath.Rel(s.opts.Project.Root, to)
		if err != nil || !filepath.IsLocal(below) || below == "." {
			continue
		}
		target := sc.items[filepath.ToSlash(below)]
		if target == nil || sc.denied[target.rel] != "" {
			continue
		}
		sc.alias[target.rel] = rel
		if target.st.Nlink > 1 {
			sc.secrets[idOf(&target.st)] = rel
		}
	}
	if len(sc.secrets) > 0 {
		for rel, it := range sc.items {
			if it.format() == unix.S_IFREG && it.st.Nlink > 1 && sc.denied[rel] == "" && sc.secrets[idOf(&it.st)] != "" {
				sc.alias[rel] = sc.secrets[idOf(&it.st)]
			}
		}
	}
	for rel, of := range sc.alias {
		sc.denied[rel] = sc.denied[of]
		s.dropBelow(sc, rel)
	}
}

// dropBelow forgets what a walk found below a directory that turned out denied.
func (s *Staging) dropBelow(sc *scan, dir string) {
	if sc.items[dir].format() != unix.S_IFDIR {
		return
	}
	for rel := range sc.items {
		if strings.HasPrefix(rel, dir+"/") {
			delete(sc.items, rel)
		}
	}
}

// special says what a file that is no file is.
func special(format uint32) string {
	switch format {
	case unix.S_IFIFO:
		return "a named pipe"
	case unix.S_IFSOCK:
		return "a socket"
	case unix.S_IFBLK, unix.S_IFCHR:
		return "a device"
	}
	return fmt.Sprintf("of type %o", format)
}
