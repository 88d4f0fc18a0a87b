package gitview

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/countersign/countersign/workspace/gitrun"
	"github.com/countersign/countersign/workspace/objects"
)

// Accepted tells whether a person has accepted, and an apply has written, all
// that a commit does to a path below the project's root.
type Accepted func(commit, path string) bool

// accepted sees that all that the commits after old do has been accepted: the
// person says so, or it stands in the real working tree. Of a commit that is not
// on the line of first parents, which the review does not go through, what the
// real repository holds already will do.
func (s *Session) accepted(ctx context.Context, q *quarantine, r *sessionRepo, all []Commit, old, commit string, says Accepted) error {
	base := map[string]string{"old": old}
	if old == "" {
		base = r.base.stand()
	}
	ids, err := q.between(ctx, commit, base)
	if err != nil {
		return err
	}
	by := map[string]*Commit{}
	for i := range all {
		by[all[i].ID] = &all[i]
	}
	line := map[string]bool{}
	for c := range FirstParents(by, commit) {
		line[c.ID] = true
	}
	var ask []string // "COMMIT holds PATH", of blobs that the real repository may have
	var blobs strings.Builder
	for _, id := range ids {
		c := by[id]
		if c == nil {
			return fmt.Errorf("commit %.12s cannot be read", id)
		}
		for _, f := range c.Files {
			switch why := s.unseen(r, c, f, says); {
			case why == "":
			case line[id] || f.NewMode == "160000":
				return fmt.Errorf("commit %.12s %s, which you have not accepted", id, why)
			case f.NewMode != "000000":
				ask = append(ask, fmt.Sprintf("commit %.12s %s", id, why))
				blobs.WriteString(f.New + "\n")
			}
		}
	}
	if len(ask) == 0 {
		return nil
	}
	out, err := (gitrun.Call{Repo: r.real, In: strings.NewReader(blobs.String())}).Run(ctx, "cat-file", "--batch-check", "--buffer")
	if err != nil {
		return err
	}
	for i, l := range strings.Split(strings.TrimRight(string(out), "\n"), "\n") {
		if i < len(ask) && !strings.Contains(l, " blob ") {
			return fmt.Errorf("%s, which you have not accepted", ask[i])
		}
	}
	return nil
}

// unseen says what a commit does to a file that nobody has accepted, or "".
func (s *Session) unseen(r *sessionRepo, c *Commit, f CommitFile, says Accepted) string {
	rel := path.Join(r.real.Rel, f.Path)
	if says != nil && says(c.ID, rel) {
		return ""
	}
	at := filepath.Join(s.project.Root, rel)
	switch f.NewMode {
	case "000000":
		if _, err := os.Lstat(at); errors.Is(err, fs.ErrNotExist) {
			return ""
		}
		return fmt.Sprintf("deletes %q", f.Path)
	case "160000":
		if sub, ok := s.project.RepoAt(rel); ok {
			if out, err := (gitrun.Call{Repo: sub}).Run(context.Background(), "rev-parse", "--verify", "HEAD"); err == nil && strings.TrimSpace(string(out)) == f.New {
				return ""
			}
		}
		return fmt.Sprintf("moves the submodule %q to another commit", f.Path)
	}
	if standsAt(at, f) {
		return ""
	}
	return fmt.Sprintf("holds content at %q", f.Path)
}

// standsAt reports whether the file at name has the kind and the content of f.
func standsAt(name string, f CommitFile) bool {
	info, err := os.Lstat(name)
	if err != nil {
		return false
	}
	var content io.Reader
	size := info.Size()
	switch {
	case f.NewMode == "120000" && info.Mode()&os.ModeSymlink != 0:
		to, err := os.Readlink(name)
		if err != nil {
			return false
		}
		content, size = strings.NewReader(to), int64(len(to))
	case f.NewMode != "120000" && info.Mode().IsRegular() && (info.Mode()&0o100 != 0) == (f.NewMode == "100755"):
		file, err := os.Open(name)
		if err != nil {
			return false
		}
		defer file.Close()
		content = file
	default:
		return false
	}
	id, err := objects.ID(content, size, len(f.New))
	return err == nil && id == f.New
}
