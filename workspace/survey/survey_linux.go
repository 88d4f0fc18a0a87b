package survey

import (
	"context"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/workspace/gitview"
	"github.com/countersign/countersign/workspace/layer"
)

// Options say what is looked at.
type Options struct {
	Project *gitview.Project
	Real    *layer.Root
	Names   *Names
	Small   int                   // an ignored directory of more entries is not walked file by file
	Whole   func(rel string) bool // ignored directories that are not either, whatever their size
}

// Survey is what one walk of the real tree found.
type Survey struct {
	Items   map[string]*layer.Item
	Denied  map[string]string // path to rule
	Alias   map[string]string // path to the denied path it is another name of
	Ignored gitview.Ignored
	Bulk    map[string]bool // ignored directories that are not walked file by file
	Nested  []string        // directories other than the root that hold a .git, sorted
	Failed  map[string]error
	Files   int   // not ignored
	Bytes   int64 // of those

	o  Options
	mu sync.Mutex
}

// Take walks the real tree. Inside ignored directories it only walks those that
// are small.
func Take(ctx context.Context, o Options) (*Survey, error) {
	sv := &Survey{o: o, Items: map[string]*layer.Item{}, Denied: map[string]string{}, Alias: map[string]string{}, Bulk: map[string]bool{}, Failed: map[string]error{}}
	ig, err := o.Project.Ignored(ctx, o.Project.Repo)
	if err != nil {
		return nil, err
	}
	sv.Ignored = ig
	fail := func(rel string, err error) {
		sv.mu.Lock()
		defer sv.mu.Unlock()
		sv.Failed[rel] = err
	}
	if err := o.Real.Walk(ctx, "", func(it layer.Item) bool { return sv.item(ctx, it) }, fail); err != nil {
		return nil, err
	}
	if err, ok := sv.Failed[""]; ok {
		return nil, err
	}
	if err := sv.scanIgnored(ctx, fail); err != nil {
		return nil, err
	}
	for rel, rule := range sv.Denied {
		if sv.Items[rel].Format() == unix.S_IFDIR {
			o.Names.Inside(ctx, rel, rule, nil)
		}
	}
	sort.Strings(sv.Nested)
	sv.findAliases(ctx)
	return sv, nil
}

// item records one entry and tells whether to descend.
func (sv *Survey) item(ctx context.Context, it layer.Item) bool {
	base, up := path.Base(it.Rel), layer.Parent(it.Rel)
	if base == ".git" {
		sv.mu.Lock()
		_, is := sv.o.Project.RepoAt(up)
		if is && up != "" {
			sv.Nested = append(sv.Nested, up)
		}
		sv.mu.Unlock()
		if is {
			if r, _ := sv.o.Project.RepoAt(up); up != "" {
				sv.nestedIgnored(ctx, r)
			}
			return false
		}
	}
	if Temporary(it.Rel) {
		return false
	}
	rule, denied := sv.o.Names.ByName(&it)
	if denied {
		sv.o.Names.Remember(&it, it.Rel, rule)
	}
	sv.mu.Lock()
	defer sv.mu.Unlock()
	sv.Items[it.Rel] = &it
	if denied {
		sv.Denied[it.Rel] = rule
		return false
	}
	if it.Format() == unix.S_IFDIR {
		return !sv.Ignored.Dirs[it.Rel]
	}
	if !sv.Ignored.Files[it.Rel] {
		sv.Files++
		sv.Bytes += it.St.Size
	}
	return true
}

// nestedIgnored adds what a nested repository ignores: the root's git does not
// look into it.
func (sv *Survey) nestedIgnored(ctx context.Context, r gitview.Repo) {
	ig, err := sv.o.Project.Ignored(ctx, r)
	sv.mu.Lock()
	defer sv.mu.Unlock()
	if err != nil {
		sv.Failed[r.Rel] = err
		return
	}
	for d := range ig.Dirs {
		sv.Ignored.Dirs[d] = true
	}
	for f := range ig.Files {
		sv.Ignored.Files[f] = true
	}
}

// scanIgnored walks the small ignored directories and finds the bulky ones.
func (sv *Survey) scanIgnored(ctx context.Context, fail func(string, error)) error {
	var dirs []string
	for d := range sv.Ignored.Dirs {
		if it := sv.Items[d]; it != nil && it.Format() == unix.S_IFDIR && sv.Denied[d] == "" {
			dirs = append(dirs, d)
		}
	}
	sort.Strings(dirs)
	for _, d := range dirs {
		if sv.o.Whole(d) {
			sv.Bulk[d] = true
			continue
		}
		cut, stop := context.WithCancel(ctx)
		var mu sync.Mutex
		var found []layer.Item
		err := sv.o.Real.Walk(cut, d, func(it layer.Item) bool {
			mu.Lock()
			defer mu.Unlock()
			if found = append(found, it); len(found) > sv.o.Small {
				stop()
			}
			_, denied := sv.o.Names.ByName(&it)
			return !denied
		}, fail)
		stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil || len(found) > sv.o.Small {
			sv.Bulk[d] = true
			continue
		}
		for _, it := range found {
			sv.small(it)
		}
	}
	return nil
}

func (sv *Survey) small(it layer.Item) {
	if Temporary(it.Rel) {
		return
	}
	sv.Items[it.Rel] = &it
	sv.Ignored.Files[it.Rel] = true
	if rule, denied := sv.o.Names.ByName(&it); denied {
		sv.Denied[it.Rel] = rule
		sv.o.Names.Remember(&it, it.Rel, rule)
	}
}

// findAliases finds the other names of denied files: hard links, and what a
// symbolic link of a denied name leads to.
func (sv *Survey) findAliases(ctx context.Context) {
	for rel := range sv.Denied {
		it := sv.Items[rel]
		if it.Format() != unix.S_IFLNK {
			continue
		}
		to, err := filepath.EvalSymlinks(filepath.Join(sv.o.Project.Root, rel))
		if err != nil {
			continue
		}
		below, err := filepath.Rel(sv.o.Project.Root, to)
		if err != nil || !filepath.IsLocal(below) || below == "." {
			continue
		}
		target := sv.Items[filepath.ToSlash(below)]
		if target == nil || sv.Denied[target.Rel] != "" {
			continue
		}
		sv.Alias[target.Rel], sv.Denied[target.Rel] = rel, sv.Denied[rel]
		sv.o.Names.Target(target, rel, sv.Denied[rel])
		if target.Format() == unix.S_IFDIR {
			sv.o.Names.Inside(ctx, target.Rel, sv.Denied[rel], nil)
		}
	}
	for rel, it := range sv.Items {
		if it.Format() == unix.S_IFLNK || sv.Denied[rel] != "" {
			continue
		}
		if rule, of, is := sv.o.Names.Alias(it); is {
			sv.Alias[rel], sv.Denied[rel] = of, rule
		}
	}
	for rel := range sv.Alias {
		if it := sv.Items[rel]; it != nil && it.Format() == unix.S_IFDIR {
			sv.dropBelow(rel)
		}
	}
}

// dropBelow forgets what a walk found below a directory that turned out denied.
func (sv *Survey) dropBelow(dir string) {
	for rel := range sv.Items {
		if strings.HasPrefix(rel, dir+"/") {
			delete(sv.Items, rel)
			delete(sv.Denied, rel)
			delete(sv.Alias, rel)
		}
	}
}

// Unseen tells whether rel may stand there though no item says so: it lies in a
// directory that is not walked file by file, or that could not be read.
func (sv *Survey) Unseen(rel string) bool {
	for d := rel; d != ""; d = layer.Parent(d) {
		if sv.Bulk[d] || sv.Failed[d] != nil {
			return true
		}
	}
	return false
}

// HardLinks maps each of the files with more names to the first of them.
func (sv *Survey) HardLinks(files []string) map[string]string {
	first, by := map[string]string{}, map[layer.FileID]string{}
	for _, rel := range files {
		it := sv.Items[rel]
		if it.Format() != unix.S_IFREG || it.St.Nlink < 2 {
			continue
		}
		id := layer.IDOf(&it.St)
		if by[id] == "" {
			by[id] = rel
		}
		first[rel] = by[id]
	}
	return first
}

// Below lists what lies below an ignored directory that is not walked file by
// file, sorted, with its bytes on disk. Nothing below a denied name is in it.
func Below(ctx context.Context, o Options, dir string, fail func(rel string, err error)) (list []layer.Item, size int64, err error) {
	var mu sync.Mutex
	err = o.Real.Walk(ctx, dir, func(it layer.Item) bool {
		if Temporary(it.Rel) {
			return false
		}
		rule, denied := o.Names.ByName(&it)
		if denied {
			o.Names.Remember(&it, it.Rel, rule)
		}
		mu.Lock()
		defer mu.Unlock()
		list = append(list, it)
		size += it.St.Blocks * 512
		return !denied
	}, fail)
	for i := range list {
		if rule, denied := o.Names.ByName(&list[i]); denied && list[i].Format() == unix.S_IFDIR {
			o.Names.Inside(ctx, list[i].Rel, rule, nil)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Rel < list[j].Rel })
	return list, size, err
}
