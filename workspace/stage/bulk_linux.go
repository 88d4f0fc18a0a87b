package stage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/filelock"
	"github.com/countersign/countersign/workspace/base"
	"github.com/countersign/countersign/workspace/layer"
	"github.com/countersign/countersign/workspace/survey"
)

// takeBulk handles the bulky ignored directories: a plain copy, which behaves as
// the real one does (it can be removed, renamed, linked into), or, where that
// would take too long, an overlay mount.
func (s *Staging) takeBulk(ctx context.Context, sc *survey.Survey) error {
	dirs := make([]string, 0, len(sc.Bulk))
	for d := range sc.Bulk {
		dirs = append(dirs, d)
	}
	sort.Strings(dirs)
	for _, d := range dirs {
		if err := s.takeOneBulk(ctx, sc, d); err != nil {
			return err
		}
	}
	return nil
}

func (s *Staging) takeOneBulk(ctx context.Context, sc *survey.Survey, d string) error {
	e := s.base.Get(d)
	if e == nil {
		return nil
	}
	s.renewTrips(d)
	if e.Kind == base.Bulk {
		return s.refreshBulk(ctx, sc, d, e)
	}
	list, big, err := s.listBulk(ctx, d)
	if err != nil {
		return err
	}
	if big || e.Kind == base.Attach {
		e.Kind, e.Flags = base.Attach, base.Ignored
		s.tripBelow(list)
		return s.attach(d)
	}
	return s.copyBulk(ctx, sc, d, list)
}

// listBulk lists what lies below an ignored directory; big tells that it is
// above the limits for a copy.
func (s *Staging) listBulk(ctx context.Context, d string) (list []layer.Item, big bool, err error) {
	list, size, err := survey.Below(ctx, s.look(), d, func(rel string, err error) { s.note(rel, "cannot be read: "+err.Error()) })
	return list, len(list) > s.opts.BulkFiles || size > s.opts.BulkBytes, err
}

// tripBelow enters the denied files of an attached directory.
func (s *Staging) tripBelow(list []layer.Item) {
	for i := range list {
		it := &list[i]
		if rule, alias, denied := s.names.Denied(it); denied {
			s.trips[it.Rel] = s.trip(it.Rel, rule, alias, &it.St)
		}
	}
}

// renewTrips finds the denied files of a copied directory again.
func (s *Staging) renewTrips(d string) {
	for rel, e := range s.base.All() {
		if !strings.HasPrefix(rel, d+"/") || e.Kind != base.Denied && e.Kind != base.Vault {
			continue
		}
		if st, err := s.real.Lstat(rel); err == nil {
			s.names.Remember(&layer.Item{Rel: rel, St: st}, rel, e.Rule)
			s.trips[rel] = s.trip(rel, e.Rule, e.Alias, &st)
		}
	}
}

// copyBulk makes the copy beside the tree and puts it in place whole.
func (s *Staging) copyBulk(ctx context.Context, sc *survey.Survey, d string, list []layer.Item) (err error) {
	top := layer.TempName()
	defer func() {
		if err != nil {
			s.tmp.RemoveAll(top)
		}
	}()
	it := sc.Items[d]
	if err := s.tmp.Mkdir(top, it.St.Mode&0o777|0o700); err != nil {
		return err
	}
	signature := s.real.Signature(d)
	masks, err := s.copyList(ctx, d, top, list)
	if err != nil {
		return err
	}
	s.tmp.Utimes(top, it.St.Mtim)
	if err := s.tree.RemoveAll(d); err != nil {
		return err
	}
	if err := s.tmp.Rename(top, s.tree, d); err != nil {
		return err
	}
	for rel := range s.base.All() {
		if strings.HasPrefix(rel, d+"/") {
			s.base.Set(rel, nil)
		}
	}
	for rel, e := range masks {
		if st, err := s.tree.Lstat(rel); err == nil {
			e.Snap = layer.StampOf(&st)
		}
		s.base.Set(rel, e)
	}
	s.base.Set(d, &base.Entry{Kind: base.Bulk, Flags: base.Ignored, Mode: it.St.Mode, Real: layer.StampOf(&it.St), Sum: signature, Rule: hex.EncodeToString(sig(s.tree.Signature(d)))})
	return nil
}

func sig(s [32]byte) []byte { return s[:] }

// copyList copies the items of directory d to top below tmp and returns the
// entries of the denied ones.
func (s *Staging) copyList(ctx context.Context, d, top string, list []layer.Item) (map[string]*base.Entry, error) {
	masks, first := map[string]*base.Entry{}, map[layer.FileID]string{}
	var files, dirs, links []*layer.Item
	at := func(rel string) string { return path.Join(top, strings.TrimPrefix(rel, d)) }
	for i := range list {
		it := &list[i]
		if rule, alias, denied := s.names.Denied(it); denied {
			k := base.Denied
			if it.Format() == unix.S_IFDIR {
				k = base.Vault
			}
			masks[it.Rel] = &base.Entry{Kind: k, Mode: it.St.Mode, Real: layer.StampOf(&it.St), Rule: rule, Alias: alias}
			s.trips[it.Rel] = s.trip(it.Rel, rule, alias, &it.St)
			if _, err := s.tmp.Placeholder(it, at(it.Rel)); err != nil {
				return nil, err
			}
			continue
		}
		switch it.Format() {
		case unix.S_IFDIR:
			dirs = append(dirs, it)
			if err := s.tmp.Mkdir(at(it.Rel), it.St.Mode&0o777|0o700); err != nil {
				return nil, err
			}
		case unix.S_IFREG, unix.S_IFLNK:
			if it.St.Nlink > 1 && it.Format() == unix.S_IFREG {
				if first[layer.IDOf(&it.St)] != "" {
					links = append(links, it)
					continue
				}
				first[layer.IDOf(&it.St)] = it.Rel
			}
			files = append(files, it)
		default:
			s.notes = append(s.notes, Note{it.Rel, "is " + it.Special() + " and is not in the session's tree"})
		}
	}
	err := layer.Parallel(ctx, len(files), func(i int) error { return s.copyPlain(files[i], at(files[i].Rel)) })
	if err != nil {
		return nil, err
	}
	for _, it := range links {
		if err := s.tmp.Link(at(first[layer.IDOf(&it.St)]), s.tmp, at(it.Rel)); err != nil && !errors.Is(err, unix.ENOENT) {
			return nil, err
		}
	}
	for i := len(dirs) - 1; i >= 0; i-- {
		s.tmp.Utimes(at(dirs[i].Rel), dirs[i].St.Mtim)
	}
	return masks, nil
}

// copyPlain copies one file or link without a digest. One that vanished
// meanwhile, or cannot be read, is left out.
func (s *Staging) copyPlain(it *layer.Item, at string) error {
	if it.Format() == unix.S_IFLNK {
		to, err := s.real.Readlink(it.Rel)
		if err != nil {
			return nil
		}
		return s.tmp.Symlink(to, at)
	}
	_, err := layer.CopyFile(s.real, it.Rel, s.tmp, at, false)
	if errors.Is(err, unix.EACCES) {
		s.note(it.Rel, "cannot be read and is not in the session's tree")
		return nil
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// refreshBulk copies a bulky directory anew if the person has changed the real
// one and the session not its own.
func (s *Staging) refreshBulk(ctx context.Context, sc *survey.Survey, d string, e *base.Entry) error {
	if s.real.Signature(d) == e.Sum {
		return nil
	}
	if hex.EncodeToString(sig(s.tree.Signature(d))) != e.Rule {
		s.notes = append(s.notes, Note{d, "has changed outside too; the session keeps its own"})
		return nil
	}
	list, _, err := s.listBulk(ctx, d)
	if err != nil {
		return err
	}
	for rel := range s.trips {
		if strings.HasPrefix(rel, d+"/") {
			delete(s.trips, rel)
		}
	}
	return s.copyBulk(ctx, sc, d, list)
}

// attach mounts an ignored directory as an overlay whose upper layer belongs to
// the project: one session at a time writes it, another gets a copy.
func (s *Staging) attach(d string) error {
	name := hex.EncodeToString(sig(sha256.Sum256([]byte(d)))[:8])
	dir := filepath.Join(s.projectDir(), "ignored", name)
	for _, sub := range []string{"upper", "work"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	lock, err := filelock.Try(filepath.Join(dir, "lock"), filelock.Exclusive)
	if err != nil {
		own := filepath.Join(s.layer, "ignored", name)
		if err := s.copyUpper(filepath.Join(dir, "upper"), own); err != nil {
			return err
		}
		dir = own
	} else {
		s.closers = append(s.closers, func() { lock.Close() })
	}
	up, err := layer.Open(filepath.Join(dir, "upper"))
	if err != nil {
		return err
	}
	s.closers = append(s.closers, up.Close)
	s.base.Attached[d] = up
	s.mounts = append(s.mounts, countersign.Mount{
		Type: "overlay", Target: filepath.Join(s.opts.Project.Root, d), Lower: []string{filepath.Join(s.opts.Project.Root, d)},
		Upper: up.Path, Work: filepath.Join(dir, "work"),
	})
	return nil
}

// copyUpper copies an overlay's upper directory for a second session. What its
// holder changes meanwhile may or may not be in it.
func (s *Staging) copyUpper(from, to string) error {
	for _, sub := range []string{"upper", "work"} {
		if err := os.MkdirAll(filepath.Join(to, sub), 0o755); err != nil {
			return err
		}
	}
	src, err := layer.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := layer.Open(filepath.Join(to, "upper"))
	if err != nil {
		return err
	}
	defer dst.Close()
	return layer.CopyTree(src, dst, "", func(string) bool { return false })
}
