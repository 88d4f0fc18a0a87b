package stage

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// What git ignores belongs to the project, not to a session: it lies in the
// layer of one session at a time, the holder, and moves on to the next one that
// starts. While the holder runs, another session gets a copy.

func (s *Staging) holderFile() string {
	return filepath.Join(ProjectDir(s.opts.StateDir, s.opts.Project.Root), "holder")
}

// inherit brings the ignored files of the project's holder into this layer.
func (s *Staging) inherit(ctx context.Context) error {
	b, _ := os.ReadFile(s.holderFile())
	id := string(b)
	if id == s.meta.ID || s.opts.From == s.opts.SessionDir {
		return nil // ours already; or a layer opened for its review only
	}
	donor, live := s.findLayer(id)
	if donor != "" && s.meta.Backend == Snapshot && s.opts.Project.Git && !(live && !s.blank) {
		if err := s.inheritFrom(ctx, donor, live); err != nil {
			return err
		}
	}
	if live {
		return nil
	}
	return replaceFile(s.holderFile(), []byte(s.meta.ID))
}

// findLayer finds a snapshot layer by its id.
func (s *Staging) findLayer(id string) (layer string, live bool) {
	all, _ := filepath.Glob(filepath.Join(s.opts.StateDir, "sessions", "*", "layer"))
	for _, dir := range append(all, s.keptDir()) {
		if dir == s.layer {
			continue
		}
		if m, live, err := readMeta(dir); err == nil && id != "" && m.ID == id && m.Backend == Snapshot {
			return dir, live
		}
	}
	return "", false
}

func (s *Staging) inheritFrom(ctx context.Context, layer string, live bool) error {
	donor, err := openRoot(filepath.Join(layer, "tree"))
	if err != nil {
		return nil // gone since
	}
	defer donor.Close()
	idx, err := loadIndex(filepath.Join(layer, "base.idx"))
	if err != nil {
		return nil
	}
	ig, err := s.opts.Project.IgnoredAt(ctx, s.opts.Project.Repo, donor.path)
	if err != nil {
		return err
	}
	var rels []string
	for rel := range ig.Dirs {
		rels = append(rels, rel)
	}
	for rel := range ig.Files {
		rels = append(rels, rel)
	}
	sort.Strings(rels)
	for _, rel := range rels {
		if _, denied := s.opts.Denied(rel); denied || strings.HasSuffix(rel, ".git") {
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
	return idx.save(filepath.Join(layer, "base.idx"))
}

// inheritOne moves or copies one ignored file or directory with its entries.
func (s *Staging) inheritOne(donor *root, idx *index, rel string, live bool) error {
	if err := s.tree.mkdirAll(parent(rel), 0o755); agents(err) {
		return nil
	} else if err != nil {
		return err
	}
	if err := s.tree.removeAll(rel); err != nil && !agents(err) {
		return err
	}
	for p := range s.idx.m {
		if p == rel || strings.HasPrefix(p, rel+"/") {
			delete(s.idx.m, p)
		}
	}
	if live {
		return s.copyIgnored(donor, idx, rel)
	}
	if err := donor.rename(rel, s.tree, rel); err != nil {
		if errors.Is(err, unix.ENOENT) || agents(err) {
			return nil
		}
		return err
	}
	for p, e := range idx.m {
		if p == rel || strings.HasPrefix(p, rel+"/") {
			s.idx.m[p] = e
			delete(idx.m, p)
		}
	}
	if st, err := s.tree.lstat(rel); err == nil && s.idx.m[rel] != nil && s.idx.m[rel].kind != kBulk {
		s.idx.m[rel].snap = stampOf(&st) // the rename changed its ctime
	}
	return nil
}

// copyIgnored copies from a live holder. Files are taken as they are at that
// moment; placeholders of denied files are made anew.
func (s *Staging) copyIgnored(donor *root, idx *index, rel string) error {
	if err := copyTree(donor, s.tree, rel, func(p string) bool {
		e := idx.m[p]
		return e != nil && (e.kind == kDenied || e.kind == kVault)
	}); err != nil {
		return err
	}
	if e := idx.m[rel]; e != nil && e.kind == kBulk {
		ne := *e
		ne.rule = "" // not a copy of the real one: never to be replaced by it
		s.idx.m[rel] = &ne
	}
	for p, e := range idx.m {
		if !strings.HasPrefix(p, rel+"/") || e.kind != kDenied && e.kind != kVault {
			continue
		}
		if st, err := s.real.lstat(p); err == nil {
			if err := s.takeDenied(&item{p, st}, e.rule, e.alias); err != nil {
				return err
			}
		}
	}
	return nil
}
