package base

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"

	"github.com/countersign/countersign/workspace/gitview"
	"github.com/countersign/countersign/workspace/tree"
)

// Commits keeps the commits made inside while no ref moves.
type Commits struct {
	tips string
	list []gitview.Commit
}

// madeIn is the newest commit that touches a path.
type madeIn struct{ commit, blob string }

// Mark names the newest commit made inside that holds a change's bytes. A
// commit that must not be taken over names none: its changes stand alone.
func (k *Commits) Mark(ctx context.Context, git *gitview.Session, list []tree.Change) error {
	tips := git.Tips()
	if tips != k.tips {
		commits, err := git.NewCommits(ctx)
		if err != nil {
			return err
		}
		*k = Commits{tips, commits}
	}
	if len(k.list) == 0 {
		return nil
	}
	by := map[string]madeIn{}
	for _, c := range k.list { // the oldest first
		if c.Refused != "" {
			continue
		}
		for _, f := range c.Files {
			by[path.Join(c.Repo, f.Path)] = madeIn{c.ID, f.New}
		}
	}
	for i := range list {
		c := &list[i]
		m, ok := by[c.Path]
		switch {
		case !ok:
		case c.Staged == nil:
			if strings.Trim(m.blob, "0") == "" {
				c.Commit = m.commit
			}
		case blobID(c.Staged, len(m.blob)) == m.blob:
			c.Commit = m.commit
		}
	}
	return nil
}

// blobID is the id git gives to the content, in a repository whose ids have n
// digits.
func blobID(st *tree.State, n int) string {
	r, err := st.Open()
	if err != nil {
		return ""
	}
	defer r.Close()
	var h hash.Hash = sha1.New()
	if n == 64 {
		h = sha256.New()
	}
	fmt.Fprintf(h, "blob %d\x00", st.Size)
	if _, err := io.Copy(h, r); err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}
