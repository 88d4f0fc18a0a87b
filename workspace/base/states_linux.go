package base

import (
	"bytes"
	"encoding/hex"
	"io"
	"path"

	"github.com/countersign/countersign/workspace/layer"
	"github.com/countersign/countersign/workspace/tree"
)

// findRenames joins a deleted and a created file of the same bytes in a sorted
// list. Of several, the one of the same name is taken, then the first.
func findRenames(list []tree.Change) []tree.Change {
	gone := map[string][]int{}
	for i, c := range list {
		if c.Staged == nil && c.Base.Size > 0 {
			k := c.Base.SHA256 + modeKind(c.Base.Mode)
			gone[k] = append(gone[k], i)
		}
	}
	used := map[int]bool{}
	for _, sameName := range []bool{true, false} {
		for i := range list {
			c := &list[i]
			if c.Base != nil || c.Staged == nil || c.RenamedFrom != "" || c.Ignored {
				continue
			}
			for _, j := range gone[c.Staged.SHA256+modeKind(c.Staged.Mode)] {
				if used[j] || list[j].Ignored || sameName && path.Base(list[j].Path) != path.Base(c.Path) {
					continue
				}
				used[j] = true
				c.RenamedFrom, c.Base = list[j].Path, list[j].Base
				break
			}
		}
	}
	out := list[:0]
	for i, c := range list {
		if !used[i] {
			out = append(out, c)
		}
	}
	return out
}

func modeKind(mode uint32) string {
	if mode == 0o120000 {
		return "l"
	}
	return "f"
}

func (b *Base) stagedState(c *candidate) *tree.State {
	at, in, mode := c.at, c.in, c.St.Mode
	return &tree.State{Mode: layer.GitMode(mode), Size: c.St.Size, SHA256: hex.EncodeToString(c.sum[:]), Open: func() (io.ReadCloser, error) { return at.Content(in, mode) }}
}

// State describes the base of rel; nil if it did not exist.
func (b *Base) State(rel string) *tree.State { return b.baseState(rel, b.Get(rel)) }

// baseState describes the base of rel; nil if it did not exist.
func (b *Base) baseState(rel string, e *Entry) *tree.State {
	if e == nil || e.Kind.IsDir() || e.Kind == Denied { // what the agent makes where a denied file was is new
		return nil
	}
	st := &tree.State{Mode: layer.GitMode(e.Mode), Size: e.Real.Size, SHA256: hex.EncodeToString(e.Sum[:])}
	st.Open = func() (io.ReadCloser, error) {
		data, err := b.Bytes(rel)
		return io.NopCloser(bytes.NewReader(data)), err
	}
	return st
}
