package reviewing

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/internal/atomicfile"
	"github.com/countersign/countersign/session"
)

// What was applied is no difference any more, so the layer does not show it:
// its lines are kept for scripts that look for them in the list. The file can
// be lost without harm; the record of an apply is the ledger's.
func landedPath(a *base.App, session string) string {
	return filepath.Join(a.Dirs.Session(session), "applied.json")
}

// landed are the lines of what this session's reviews applied and nobody took
// back.
func landed(a *base.App, session string) ([]HunkLine, error) {
	b, err := os.ReadFile(landedPath(a, session))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var lines []HunkLine
	if err == nil {
		err = json.Unmarshal(b, &lines)
	}
	return lines, err
}

// land adds what was applied, and takes out what was taken back.
func land(a *base.App, k session.Kept, applied, undone []countersign.Hunk) error {
	lines, err := landed(a, k.ID)
	if err != nil {
		return err
	}
	gone := map[string]bool{}
	for _, h := range slices.Concat(applied, undone) {
		gone[h.Digest] = true
	}
	lines = slices.DeleteFunc(lines, func(l HunkLine) bool { return gone[l.Digest] })
	for _, h := range applied {
		h.State = countersign.Applied
		lines = append(lines, lineOf(k, h))
	}
	b, err := json.Marshal(lines)
	if err != nil {
		return err
	}
	return atomicfile.Write(landedPath(a, k.ID), b, 0o600)
}

// unland takes out what was taken over to a branch that is given back.
func unland(a *base.App, k session.Kept, branch string) error {
	lines, err := landed(a, k.ID)
	if err != nil || len(lines) == 0 {
		return err
	}
	b, err := json.Marshal(slices.DeleteFunc(lines, func(l HunkLine) bool { return l.Branch == branch }))
	if err != nil {
		return err
	}
	return atomicfile.Write(landedPath(a, k.ID), b, 0o600)
}

func lineOf(k session.Kept, h countersign.Hunk) HunkLine {
	l := HunkLine{
		Session: k.ID, Hunk: h.ID, Path: h.Path, OldPath: h.OldPath, Op: h.Op, OldStart: h.OldStart, OldLines: h.OldLines,
		NewStart: h.NewStart, NewLines: h.NewLines, State: h.State, Risk: h.Risk, Why: h.Why, Digest: h.Digest, Branch: h.Branch,
	}
	if h.Commit != "" {
		l.Commit = &h.Commit
	}
	return l
}
