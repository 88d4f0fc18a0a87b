package gitview

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	countersign "github.com/countersign/countersign"
)

// store is a project's copy of the objects a session may have: packs of exactly
// the wanted list. It grows with the repository and is made anew when a rule, or
// new history, denies what is in it already.
type store struct {
	dir  string // holds state.json and the generation's objects
	repo Repo
	st   storeState
	lock *os.File // shared, while a session uses the generation
}

type storeState struct {
	V     int             `json:"v"`
	Gen   int             `json:"gen"`
	Tips  []string        `json:"tips"`   // object ids whose whole history has been looked at
	Paths map[string]bool `json:"paths"`  // every path ever seen, and whether it was denied
	Deny  map[string]bool `json:"denied"` // blobs that stand at a denied path somewhere
	Extra map[string]bool `json:"extra"`  // blobs packed because the index names them
	Packs int             `json:"packs"`
}

func (s *store) objects() string {
	return filepath.Join(s.dir, fmt.Sprintf("objects-%d", s.st.Gen))
}

// openStore brings the store of repo up to date with its refs and index.
func openStore(ctx context.Context, dir string, repo Repo, denied func(string) bool, refs []ref) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	unlock, err := lockFile(filepath.Join(dir, "lock"), true)
	if err != nil {
		return nil, err
	}
	defer unlock.Close()
	s := &store{dir: dir, repo: repo}
	s.load(denied)
	if err := s.update(ctx, denied, refs); errors.Is(err, errRebuild) {
		s.st = storeState{V: 1, Gen: s.st.Gen + 1, Paths: map[string]bool{}, Deny: map[string]bool{}, Extra: map[string]bool{}}
		err = s.update(ctx, denied, refs)
		if err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	if s.lock, err = lockFile(s.objects()+".use", false); err != nil {
		return nil, err
	}
	s.sweep()
	return s, nil
}

// refresh adds what is new to the generation in use, which a session has mounted.
func (s *store) refresh(ctx context.Context, denied func(string) bool, refs []ref) error {
	unlock, err := lockFile(filepath.Join(s.dir, "lock"), true)
	if err != nil {
		return err
	}
	defer unlock.Close()
	var now storeState
	if b, err := os.ReadFile(filepath.Join(s.dir, "state.json")); err == nil && json.Unmarshal(b, &now) == nil && now.V == 1 {
		if now.Gen != s.st.Gen {
			return errRebuild
		}
		s.st = now // another session may have added to it
	}
	return s.update(ctx, denied, refs)
}

var errRebuild = errors.New("the store must be made anew")

// load reads the state; what cannot be used starts a new generation.
func (s *store) load(denied func(string) bool) {
	b, err := os.ReadFile(filepath.Join(s.dir, "state.json"))
	ok := err == nil && json.Unmarshal(b, &s.st) == nil && s.st.V == 1 && s.st.Packs < 40
	if ok {
		for p, was := range s.st.Paths {
			if denied(p) != was {
				ok = false // the rules have changed
				break
			}
		}
	}
	if ok {
		_, err := os.Stat(s.objects())
		ok = err == nil
	}
	if !ok {
		s.st = storeState{V: 1, Gen: s.st.Gen + 1, Paths: map[string]bool{}, Deny: map[string]bool{}, Extra: map[string]bool{}}
	}
}

func (s *store) update(ctx context.Context, denied func(string) bool, refs []ref) error {
	if err := os.MkdirAll(filepath.Join(s.objects(), "pack"), 0o700); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(s.objects(), "info"), 0o700); err != nil {
		return err
	}
	old := map[string]bool{}
	for _, t := range s.st.Tips {
		old[t] = true
	}
	var news []string
	for _, r := range refs {
		if !old[r.id] {
			old[r.id] = true
			news = append(news, r.id)
		}
	}
	changed := len(news) > 0
	if changed {
		if err := s.addHistory(ctx, denied, news); err != nil {
			return err
		}
	}
	more, err := s.addIndex(ctx, denied)
	if err != nil {
		return err
	}
	if !changed && !more {
		return nil
	}
	b, err := json.Marshal(s.st)
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(s.dir, "state.json"), b)
}

// addHistory packs what the new tips reach and the old ones do not.
func (s *store) addHistory(ctx context.Context, denied func(string) bool, news []string) error {
	var revs strings.Builder
	for _, id := range news {
		revs.WriteString(id + "\n")
	}
	for _, id := range s.st.Tips {
		revs.WriteString("^" + id + "\n")
	}
	c := call{repo: s.repo}
	c.in = strings.NewReader(revs.String())
	list, err := c.run(ctx, "rev-list", "--objects", "--missing=allow-any", "--ignore-missing", "--stdin")
	if err != nil {
		return err
	}
	fresh, err := s.learn(ctx, denied, revs.String())
	if err != nil {
		return err
	}
	var want bytes.Buffer
	for _, line := range strings.Split(string(list), "\n") {
		id, _, _ := strings.Cut(line, " ")
		if id == "" {
			continue
		}
		if !s.st.Deny[id] {
			want.WriteString(line + "\n")
		}
	}
	if there, err := s.present(ctx, fresh); err != nil || there {
		return errors.Join(err, errRebuild) // packed when no denied path named it
	}
	s.st.Tips = append(s.st.Tips, news...)
	return s.pack(ctx, want.Bytes())
}

// learn goes through every (path, blob) pair that a commit of the range brings
// in against its first parent, which by induction is every pair of its trees,
// and returns the blobs newly found at denied paths.
func (s *store) learn(ctx context.Context, denied func(string) bool, revs string) ([]string, error) {
	c := call{repo: s.repo, in: strings.NewReader(revs)}
	out, err := c.run(ctx, "log", "--stdin", "--ignore-missing", "--format=", "--raw", "-z", "--no-abbrev", "--no-renames", "--root", "--diff-merges=first-parent")
	if err != nil {
		return nil, err
	}
	var fresh []string
	fields := splitZ(out)
	for i := 0; i+1 < len(fields); i += 2 {
		f := strings.Fields(strings.TrimLeft(fields[i], "\x00\n"))
		if len(f) < 5 {
			return nil, fmt.Errorf("git log: cannot read %q", fields[i])
		}
		path, id := fields[i+1], f[3]
		if f[1] == "040000" || f[1] == "160000" || strings.Trim(id, "0") == "" {
			continue
		}
		is, seen := s.st.Paths[path]
		if !seen {
			is = denied(path)
			s.st.Paths[path] = is
		}
		if is && !s.st.Deny[id] {
			s.st.Deny[id] = true
			fresh = append(fresh, id)
		}
	}
	return fresh, nil
}

// addIndex packs blobs that only the index names.
func (s *store) addIndex(ctx context.Context, denied func(string) bool) (bool, error) {
	out, err := call{repo: s.repo, work: "/"}.run(ctx, "ls-files", "-z", "--stage")
	if err != nil {
		return false, err
	}
	var ask []string
	for _, e := range splitZ(out) {
		meta, path, ok := strings.Cut(e, "\t")
		f := strings.Fields(meta)
		if !ok || len(f) < 3 || f[0] == "160000" {
			continue
		}
		if denied(path) {
			if !s.st.Deny[f[1]] {
				s.st.Deny[f[1]] = true
				if there, err := s.present(ctx, f[1:2]); err != nil || there {
					return false, errors.Join(err, errRebuild)
				}
			}
			continue
		}
		ask = append(ask, f[1])
	}
	missing, err := s.missing(ctx, ask)
	if err != nil || len(missing) == 0 {
		return false, err
	}
	for _, id := range missing {
		s.st.Extra[id] = true
	}
	return true, s.pack(ctx, []byte(strings.Join(missing, "\n")+"\n"))
}

// self is the store seen as a repository, for reading its objects alone.
func (s *store) self() (Repo, error) {
	d := filepath.Join(s.dir, fmt.Sprintf("self-%d", s.st.Gen))
	if _, err := os.Stat(filepath.Join(d, "HEAD")); err == nil {
		return Repo{Dir: d, Common: d}, nil
	}
	if err := os.MkdirAll(filepath.Join(d, "refs"), 0o700); err != nil {
		return Repo{}, err
	}
	if err := os.Symlink(filepath.Join("..", filepath.Base(s.objects())), filepath.Join(d, "objects")); err != nil && !errors.Is(err, os.ErrExist) {
		return Repo{}, err
	}
	conf := "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
	if b, err := os.ReadFile(filepath.Join(s.repo.Common, "config")); err == nil {
		all, err := parseConfig(context.Background(), b)
		if err != nil {
			return Repo{}, err
		}
		for _, x := range all {
			if strings.EqualFold(x.Key, "extensions.objectformat") {
				conf = "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectFormat = " + x.Value + "\n"
			}
		}
	}
	if err := os.WriteFile(filepath.Join(d, "config"), []byte(conf), 0o600); err != nil {
		return Repo{}, err
	}
	return Repo{Dir: d, Common: d}, os.WriteFile(filepath.Join(d, "HEAD"), []byte("ref: refs/heads/none\n"), 0o600)
}

// missing returns those of the ids that the store does not hold and may hold.
func (s *store) missing(ctx context.Context, ids []string) ([]string, error) {
	absent, err := s.absent(ctx, ids)
	var list []string
	for id := range absent {
		if !s.st.Deny[id] {
			list = append(list, id)
		}
	}
	sort.Strings(list)
	return list, err
}

// present tells whether the store holds any of the ids.
func (s *store) present(ctx context.Context, ids []string) (bool, error) {
	absent, err := s.absent(ctx, ids)
	for _, id := range ids {
		if !absent[id] {
			return true, err
		}
	}
	return false, err
}

func (s *store) absent(ctx context.Context, ids []string) (map[string]bool, error) {
	set := map[string]bool{}
	if len(ids) == 0 {
		return set, nil
	}
	self, err := s.self()
	if err != nil {
		return nil, err
	}
	out, err := call{repo: self, in: strings.NewReader(strings.Join(ids, "\n") + "\n")}.run(ctx, "cat-file", "--batch-check", "--buffer")
	if err != nil {
		return nil, err
	}
	for _, line := range strings.Split(string(out), "\n") {
		if id, ok := strings.CutSuffix(line, " missing"); ok {
			set[id] = true
		}
	}
	return set, nil
}

// pack writes one pack of the listed objects ("ID [PATH]" a line). Deltas are
// reused, not searched: time at the start matters more than a few bytes.
func (s *store) pack(ctx context.Context, list []byte) error {
	if len(list) == 0 {
		return nil
	}
	// git writes a pack beside the objects first and moves it: beside our own, since
	// the state may lie on another file system and the real repository is read only.
	c := call{repo: s.repo, in: bytes.NewReader(list), objects: []string{filepath.Join(s.repo.Common, "objects")}, store: s.objects()}
	out, err := c.run(ctx, "pack-objects", "-q", "--window=0", "--delta-base-offset", "--threads=2", filepath.Join(s.objects(), "pack", "pack"))
	if err != nil {
		return &countersign.Error{Code: countersign.EInvalid, Op: "copy git objects of", Thing: s.repo.Dir, Err: err, Remedy: "run git fsck there, and see that the disk has room"}
	}
	s.st.Packs++
	for _, name := range strings.Fields(string(out)) {
		if err := os.WriteFile(filepath.Join(s.objects(), "pack", "pack-"+name+".promisor"), nil, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// sweep removes generations that no session uses.
func (s *store) sweep() {
	all, _ := filepath.Glob(filepath.Join(s.dir, "objects-*.use"))
	for _, use := range all {
		gen := strings.TrimSuffix(use, ".use")
		if gen == s.objects() {
			continue
		}
		if l, err := tryLock(use); err == nil {
			os.RemoveAll(gen)
			os.RemoveAll(strings.Replace(gen, "objects-", "self-", 1))
			os.Remove(use)
			l.Close()
		}
	}
}
