package base

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"sync"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/workspace/layer"
	"golang.org/x/sys/unix"
)

// Bytes returns the content a path had in the base (a link's target): from
// the real tree while it still stands there, else from what was saved when the
// agent first changed the file, else from git.
func (b *Base) Bytes(rel string) ([]byte, error) {
	e := b.Get(rel)
	if e == nil || (e.Kind != File && e.Kind != Link) {
		return nil, &countersign.Error{Code: countersign.ENotFound, Op: "read the base of", Thing: rel, Err: unix.ENOENT}
	}
	name := hex.EncodeToString(e.Sum[:])
	if f, _, err := b.Saved.OpenRegular(name); err == nil {
		defer f.Close()
		if data, err := io.ReadAll(f); err == nil && sha256.Sum256(data) == e.Sum {
			return data, nil
		}
	}
	if r, err := b.Real.Content(rel, e.Mode); err == nil {
		defer r.Close()
		if data, err := io.ReadAll(r); err == nil && sha256.Sum256(data) == e.Sum {
			return data, nil
		}
	}
	if p := b.Project; p.Git {
		for _, data := range p.Committed(context.Background(), rel) {
			if sha256.Sum256(data) == e.Sum {
				return data, nil
			}
		}
	}
	return nil, &countersign.Error{Code: countersign.ENotFound, Op: "read the base of", Thing: rel, Err: errors.New("the real file has changed since, and its old bytes were not saved")}
}

// Keep stores the base bytes of a path that the agent has changed, while the
// real file still holds them, and tells whether they are stored now and were not before.
func (b *Base) Keep(rel string, e *Entry) bool {
	name := hex.EncodeToString(e.Sum[:])
	if _, err := b.Saved.Lstat(name); err == nil || e.Kind != File {
		return false
	}
	st, err := b.Real.Lstat(rel)
	if err != nil || st.Size != e.Real.Size || st.Mtim.Nano() != e.Real.MTime {
		return false
	}
	tmp := layer.TempName()
	c, err := layer.CopyFile(b.Real, rel, b.Tmp, tmp, true)
	if err == nil && c.Sum == e.Sum {
		err = b.Tmp.Rename(tmp, b.Saved, name)
	}
	if err != nil || c.Sum != e.Sum {
		b.Tmp.Unlink(tmp)
		return false
	}
	return true
}

// KeepChanged does so for all that the agent has changed or removed, and tells
// whether there was any of which it was not stored before.
func (b *Base) KeepChanged(ctx context.Context) (found bool) {
	var mu sync.Mutex
	same := map[*Entry]bool{}
	b.Tree.Walk(ctx, "", func(it layer.Item) bool {
		e := b.Get(it.Rel)
		if e != nil && e.Kind == File && e.Snap == layer.StampOf(&it.St) {
			mu.Lock()
			defer mu.Unlock()
			same[e] = true
		}
		return e != nil && e.Kind == Dir && it.Format() == unix.S_IFDIR
	}, nil)
	for rel, e := range b.All() {
		if e.Kind == File && !same[e] && ctx.Err() == nil && b.Keep(rel, e) {
			found = true
		}
	}
	return found
}
