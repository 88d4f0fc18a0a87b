package gitview

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/gitkeys"
)

// TakeOver brings a commit made inside, and those below it, into the real
// repository: first the objects, checked by git, then a fast-forward of the
// branch, then the index entries of the files it changes. It refuses, with
// nothing changed, where that would not be a fast-forward, where the person has
// staged something at one of those paths, where a commit is refused, or where
// one holds content that stands neither in the real working tree nor in the
// real repository: nobody has accepted that. So whoever applies the hunks does
// it first; the working tree is left to them.
func (s *Session) TakeOver(ctx context.Context, repo, commit string) error {
	for i := range s.repos {
		if s.repos[i].real.Rel == repo {
			if err := s.takeOver(ctx, &s.repos[i], commit); err != nil {
				return &countersign.Error{Code: countersign.CodeOf(errOr(err)), Op: "take over commit", Thing: commit, Err: err, Remedy: "accept its hunks as changes of the working tree instead"}
			}
			_, _, err := s.Sync(ctx)
			return err
		}
	}
	return &countersign.Error{Code: countersign.ENotFound, Op: "take over commit", Thing: commit, Err: fmt.Errorf("no repository at %q", repo)}
}

func errOr(err error) error {
	if countersign.CodeOf(err) == countersign.EInternal {
		return &countersign.Error{Code: countersign.EInvalid, Err: err}
	}
	return err
}

func (s *Session) takeOver(ctx context.Context, r *sessionRepo, commit string) error {
	if !isID(commit) {
		return errors.New("not an object id")
	}
	all, err := s.repoCommits(ctx, r)
	if err != nil {
		return err
	}
	var it *Commit
	for i := range all {
		if all[i].ID == commit {
			it = &all[i]
		}
	}
	if it == nil {
		return errors.New("the session has no such new commit")
	}
	name, old, err := s.target(ctx, r, it)
	if err != nil {
		return err
	}
	q, err := s.quarantine(r)
	if err != nil {
		return err
	}
	defer q.close()
	if err := q.check(ctx, s, r, all, old, commit); err != nil {
		return err
	}
	if err := s.accepted(ctx, q, r, all, old, commit); err != nil {
		return err
	}
	entries, err := s.indexChange(ctx, q, r, name, old, commit)
	if err != nil {
		return err
	}
	if err := q.send(ctx, r.real, old, commit); err != nil {
		return err
	}
	return s.forward(ctx, r, name, old, commit, entries)
}

// target finds the branch to move and where it stands.
func (s *Session) target(ctx context.Context, r *sessionRepo, c *Commit) (name, old string, err error) {
	if !strings.HasPrefix(c.Ref, "refs/heads/") {
		return "", "", errors.New("it is on no branch")
	}
	refs, err := s.project.refs(ctx, r.real)
	if err != nil {
		return "", "", err
	}
	return c.Ref, refID(refs, "ref: "+c.Ref), nil
}

// check sees that commit follows old and that no commit on the way is refused.
func (q *quarantine) check(ctx context.Context, s *Session, r *sessionRepo, all []Commit, old, commit string) error {
	refused := map[string]string{}
	for _, c := range all {
		refused[c.ID] = c.Refused
	}
	base := map[string]string{}
	for k, v := range r.base.Refs {
		base[k] = v
	}
	if old != "" {
		if _, err := q.call().run(ctx, "merge-base", "--is-ancestor", old, commit); err != nil {
			return errors.New("the branch has moved outside: this would not be a fast-forward")
		}
		base["old"] = old
	}
	ids, err := q.between(ctx, commit, base)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if why, known := refused[id]; why != "" || !known {
			return fmt.Errorf("commit %.12s is refused: %s", id, why)
		}
	}
	return nil
}

// indexChange lists the index entries to set, if the branch is checked out, and
// refuses where the person has staged something else.
func (s *Session) indexChange(ctx context.Context, q *quarantine, r *sessionRepo, name, old, commit string) (string, error) {
	head, err := s.project.head(ctx, r.real)
	if err != nil || head != "ref: "+name {
		return "", err
	}
	args := []string{"diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--no-commit-id"}
	if old == "" {
		args = append(args, "--root", commit)
	} else {
		args = append(args, old, commit)
	}
	out, err := q.call().run(ctx, args...)
	if err != nil {
		return "", err
	}
	now, err := s.entries(ctx, r, filepath.Join(r.real.Dir, "index"))
	if err != nil {
		return "", err
	}
	var set strings.Builder
	f := splitZ(out)
	for i := 0; i+1 < len(f); i += 2 {
		m := strings.Fields(strings.TrimPrefix(f[i], ":"))
		if len(m) < 5 {
			return "", errors.New("git diff-tree cannot be read")
		}
		was, want := m[0]+" "+m[2]+" 0", m[1]+" "+m[3]+" 0"
		if m[0] == "000000" {
			was = ""
		}
		if e := now[f[i+1]]; e != was && e != want {
			return "", fmt.Errorf("%q is staged outside with other content", f[i+1])
		}
		if m[1] == "000000" {
			want = "0 " + m[3]
		}
		fmt.Fprintf(&set, "%s\t%s\x00", want, f[i+1])
	}
	return set.String(), nil
}

// send packs what old does not reach and has git check it on the way in.
func (q *quarantine) send(ctx context.Context, to Repo, old, commit string) error {
	revs := commit + "\n"
	if old != "" {
		revs += "^" + old + "\n"
	}
	c := q.call()
	c.in = strings.NewReader(revs)
	list, err := c.run(ctx, "rev-list", "--objects", "--missing=allow-any", "--stdin")
	if err != nil {
		return err
	}
	var pack bytes.Buffer
	c = q.call()
	c.in, c.out = bytes.NewReader(list), &pack
	if _, err := c.run(ctx, "pack-objects", "-q", "--stdout", "--window=0", "--delta-base-offset"); err != nil {
		return err
	}
	if _, err := (call{repo: to, in: &pack, locks: true}).run(ctx, "index-pack", "--stdin", "--strict"); err != nil {
		return err
	}
	c = call{repo: to, in: strings.NewReader(revs)}
	_, err = c.run(ctx, "rev-list", "--objects", "--quiet", "--stdin")
	return err
}

// forward moves the ref from exactly old and sets the index.
func (s *Session) forward(ctx context.Context, r *sessionRepo, name, old, commit, entries string) error {
	c := call{repo: r.real, locks: true, extra: s.committer(ctx)}
	if old == "" {
		old = strings.Repeat("0", len(commit))
	}
	if _, err := c.run(ctx, "update-ref", "-m", "countersign: take over "+commit[:12], name, commit, old); err != nil {
		return err
	}
	if entries == "" {
		return nil
	}
	off, err := filtersOff(ctx, r.real)
	if err != nil {
		return err
	}
	c = call{repo: r.real, work: filepath.Join(s.project.Root, r.real.Rel), locks: true, in: strings.NewReader(entries), extra: off}
	if _, err := c.run(ctx, "update-index", "-z", "--index-info"); err != nil {
		return fmt.Errorf("the branch was moved, but the index could not be written (git reset in the real repository mends it): %w", err)
	}
	return nil
}

// committer names the person for the reflog.
func (s *Session) committer(ctx context.Context) []string {
	u := s.project.userSettings(ctx)
	if u.name == "" || u.email == "" {
		return []string{"user.name=countersign", "user.email=countersign@localhost"}
	}
	return []string{"user.name=" + u.name, "user.email=" + u.email}
}

// filtersOff are settings that disarm every filter a repository configures: git
// runs them even while writing an index, to look at files changed within the
// last second.
func filtersOff(ctx context.Context, r Repo) ([]string, error) {
	out, err := call{repo: r}.run(ctx, "config", "-z", "--name-only", "--list")
	if err != nil {
		return nil, err
	}
	var off []string
	for _, key := range splitZ(out) {
		section, sub, _ := gitkeys.Setting{Key: key}.Parts()
		if section == "filter" && sub != "" {
			for _, name := range []string{"clean", "smudge", "process"} {
				off = append(off, "filter."+sub+"."+name+"=")
			}
			off = append(off, "filter."+sub+".required=false")
		}
	}
	return off, nil
}
