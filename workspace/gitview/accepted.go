package gitview

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// accepted sees that every content which the commits after old bring stands in
// the real working tree, at its path, or in the real repository already. A hunk
// shows where a file ended up; what a commit on the way held may never have been
// shown, and a commit below may have been rejected.
func (s *Session) accepted(ctx context.Context, q *quarantine, r *sessionRepo, all []Commit, old, commit string) error {
	base := map[string]string{"old": old}
	if old == "" {
		base = r.base.Refs
	}
	ids, err := q.between(ctx, commit, base)
	if err != nil {
		return err
	}
	coming := map[string]bool{}
	for _, id := range ids {
		coming[id] = true
	}
	var files []CommitFile
	var blobs strings.Builder
	root := filepath.Join(s.project.Root, r.real.Rel)
	for _, c := range all {
		for _, f := range c.Files {
			if coming[c.ID] && f.NewMode != "000000" && f.NewMode != "160000" && !standsAt(filepath.Join(root, f.Path), f) {
				f.Path = fmt.Sprintf("%.12s holds %q", c.ID, f.Path)
				files = append(files, f)
				blobs.WriteString(f.New + "\n")
			}
		}
	}
	if len(files) == 0 {
		return nil
	}
	out, err := (call{repo: r.real, in: strings.NewReader(blobs.String())}).run(ctx, "cat-file", "--batch-check", "--buffer")
	if err != nil {
		return err
	}
	for i, line := range strings.Split(strings.TrimRight(string(out), "\n"), "\n") {
		if i < len(files) && !strings.Contains(line, " blob ") {
			return fmt.Errorf("commit %s with content that you have not accepted", files[i].Path)
		}
	}
	return nil
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
	case f.NewMode != "120000" && info.Mode().IsRegular():
		file, err := os.Open(name)
		if err != nil {
			return false
		}
		defer file.Close()
		content = file
	default:
		return false
	}
	var h hash.Hash = sha1.New()
	if len(f.New) == 64 {
		h = sha256.New()
	}
	fmt.Fprintf(h, "blob %d\x00", size)
	_, err = io.Copy(h, content)
	return err == nil && hex.EncodeToString(h.Sum(nil)) == f.New
}
