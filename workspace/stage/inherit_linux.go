package stage

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/countersign/countersign/internal/atomicfile"
	"github.com/countersign/countersign/workspace/base"
	"github.com/countersign/countersign/workspace/layer"
	"golang.org/x/sys/unix"
)

// What git ignores belongs to the project, not to a session: it lies in the
// layer of one session at a time, the holder, and moves on to the next one that
// starts. While the holder runs, another session gets a copy.

func (s *Staging) holderFile() string {
	return filepath.Join(s.projectDir(), "holder")
}

// inherit brings the ignored files of the project's holder into this layer.
func (s *Staging) inherit(ctx context.Context) error {
	b, _ := os.ReadFile(s.holderFile())
	id := string(b)
	if id == s.meta.ID || s.opts.From == s.opts.SessionDir {
		return nil // ours already; or a layer opened for its review only
	}
	donor, live, whole := s.findLayer(id)
	if donor != "" && s.meta.Backend == Snapshot && s.opts.Project.Git && !(live && !s.blank) {
		if err := s.inheritFrom(ctx, donor, live, whole); err != nil {
			return err
		}
	}
	if live {
		return nil
	}
	return atomicfile.Replace(s.holderFile(), []byte(s.meta.ID))
}

// findLayer finds a snapshot layer by its id; whole tells that its session closed
// it.
func (s *Staging) findLayer(id string) (dir string, live, whole bool) {
	all, _ := filepath.Glob(filepath.Join(s.opts.StateDir, "sessions", "*", "layer"))
	for _, dir := range append(all, s.keptDir()) {
		if dir == s.layer {
			continue
		}
		if m, live, err := readMeta(dir); err == nil && id != "" && m.ID == id && m.Backend == Snapshot {
			return dir, live, !live && m.Changes >= 0
		}
	}
	return "", false, false
}

func (s *Staging) inheritFrom(ctx context.Context, from string, live, whole bool) error {
	donor, err := layer.Open(filepath.Join(from, "tree"))
	if err != nil {
		return nil // gone since
	}
	defer donor.Close()
	idx, err := base.LoadIndex(filepath.Join(from, "base.idx"))
	if err != nil {
		return nil
	}
	if !whole && !idx.Readable(ctx, donor, live) {
		return nil
	}
	ig, err := s.opts.Project.IgnoredAt(ctx, s.opts.Project.Repo, donor.Path)
	if err != nil {
		return err
	}
	var rels []string
	for rel := range ig.Dirs {
		if _, denied := s.opts.Denied(rel + "/"); !denied {
			rels = append(rels, rel)
		}
	}
	for rel := range ig.Files {
		if _, denied := s.opts.Denied(rel); !denied {
			rels = append(rels, rel)
		}
	}
	sort.Strings(rels)
	for _, rel := range rels {
		if strings.HasSuffix(rel, ".git") {
			continue
		}
		if err := s.inheritOne(donor, idx, rel, live); err != nil {
			return err
		}
	}
	s.blank = s.blank && len(rels) == 0
	if live {
		return nil
	}
	return idx.Save(filepath.Join(from, "base.idx"))
}

// inheritOne moves or copies one ignored file or directory with its entries.
func (s *Staging) inheritOne(donor *layer.Root, idx *base.Index, rel string, live bool) error {
	if err := s.tree.MkdirAll(layer.Parent(rel), 0o755); layer.Swapped(err) {
		return nil
	} else if err != nil {
		return err
	}
	if err := s.tree.RemoveAll(rel); err != nil && !layer.Swapped(err) {
		return err
	}
	for p := range s.base.All() {
		if p == rel || strings.HasPrefix(p, rel+"/") {
			s.base.Set(p, nil)
		}
	}
	if live {
		return s.copyIgnored(donor, idx, rel)
	}
	if err := donor.Rename(rel, s.tree, rel); err != nil {
		if errors.Is(err, unix.ENOENT) || layer.Swapped(err) {
			return nil
		}
		return err
	}
	for p, e := range idx.All() {
		if p == rel || strings.HasPrefix(p, rel+"/") {
			s.base.Set(p, e)
			idx.Set(p, nil)
		}
	}
	if st, err := s.tree.Lstat(rel); err == nil && s.base.Get(rel) != nil && s.base.Get(rel).Kind != base.Bulk {
		s.base.Get(rel).Snap = layer.StampOf(&st) // the rename changed its ctime
	}
	return nil
}

// copyIgnored copies from a live holder. Files are taken as they are at that
// moment; placeholders of denied files are made anew.
func (s *Staging) copyIgnored(donor *layer.Root, idx *base.Index, rel string) error {
	if err := layer.CopyTree(donor, s.tree, rel, func(p string) bool {
		e := idx.Get(p)
		return e != nil && (e.Kind == base.Denied || e.Kind == base.Vault)
	}); err != nil {
		return err
	}
	if e := idx.Get(rel); e != nil && e.Kind == base.Bulk {
		ne := *e
		ne.Rule = "" // not a copy of the real one: never to be replaced by it
		s.base.Set(rel, &ne)
	}
	for p, e := range idx.All() {
		if !strings.HasPrefix(p, rel+"/") || e.Kind != base.Denied && e.Kind != base.Vault {
			continue
		}
		if st, err := s.real.Lstat(p); err == nil {
			if err := s.takeDenied(&layer.Item{Rel: p, St: st}, e.Rule, e.Alias); err != nil {
				return err
			}
		}
	}
	return nil
}
