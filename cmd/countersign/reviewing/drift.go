package reviewing

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
)

// driftLimit bounds what a list reads to find drift, in bytes of one file.
const driftLimit = 4 << 20

// sayDrift names the files that the person changed too: what both changed in the
// same place stays behind when it is applied.
func (r *Reviewing) sayDrift(cs countersign.Changeset) {
	said := map[string]bool{}
	for _, h := range cs.Hunks {
		if said[h.Path] || h.State == countersign.Applied || h.State == countersign.Rejected {
			continue
		}
		said[h.Path] = true
		if r.drifted(h) {
			r.Say("%s was changed outside the session too: where both changed the same lines, its hunks stay behind", base.Plain(h.Path))
		}
	}
}

// drifted reports whether the real file is no longer what the agent started
// from. What cannot be read is left to the apply to judge.
func (r *Reviewing) drifted(h countersign.Hunk) bool {
	f, err := os.OpenInRoot(r.kept.Project, filepath.FromSlash(h.Path))
	switch {
	case h.Op == countersign.OpCreate:
		if err == nil {
			f.Close()
		}
		return err == nil
	case h.Op != countersign.OpModify && h.Op != countersign.OpDelete:
		return false
	case err != nil:
		return errors.Is(err, fs.ErrNotExist)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > driftLimit {
		return false
	}
	was, err := r.staging.BaseBytes(h.Path)
	if err != nil {
		return false
	}
	now, err := io.ReadAll(f)
	return err == nil && !bytes.Equal(was, now)
}
