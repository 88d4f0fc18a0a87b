package diff

import (
	"bytes"
	"errors"
	"fmt"
	"sort"

	countersign "github.com/countersign/countersign"
)

// ErrMismatch says that a hunk's pre-image does not stand where it should.
var ErrMismatch = errors.New("the old bytes are not those of the hunk")

// Apply returns old with the given modify hunks applied. Each must be a hunk of
// exactly this file: its pre-image is compared at its range. The order in which
// they are given does not matter; two that overlap are an error.
func Apply(old []byte, hs []countersign.Hunk) ([]byte, error) {
	hs = append([]countersign.Hunk(nil), hs...)
	sort.SliceStable(hs, func(i, j int) bool {
		x, y := index(hs[i].OldStart, hs[i].OldLines), index(hs[j].OldStart, hs[j].OldLines)
		return x < y || x == y && hs[i].Part < hs[j].Part
	})
	lines := Lines(old)
	out := make([]byte, 0, len(old)+1024)
	at, off := 0, 0 // next line of old, and its byte
	for _, h := range hs {
		if h.Op != countersign.OpModify {
			return nil, fmt.Errorf("apply %s: a hunk of op %q is no change of lines", h.Path, h.Op)
		}
		from := index(h.OldStart, h.OldLines)
		if from < at || from+h.OldLines > len(lines) || h.OldLines < 0 {
			return nil, fmt.Errorf("apply %s: line %d: %w", h.Path, h.OldStart, ErrMismatch)
		}
		for ; at < from; at++ {
			out = append(out, lines[at]...)
			off += len(lines[at])
		}
		end := off
		for ; at < from+h.OldLines; at++ {
			end += len(lines[at])
		}
		if !bytes.Equal(old[off:end], h.Pre) {
			return nil, fmt.Errorf("apply %s: line %d: %w", h.Path, h.OldStart, ErrMismatch)
		}
		out = append(out, h.Post...)
		off = end
	}
	return append(out, old[off:]...), nil
}

// splitWhole is the number of lines up to which a hunk is split into single
// lines; a longer one is cut in halves.
const splitWhole = 32

// Split cuts a modify hunk into smaller ones at line granularity, the old and
// new lines paired from the top. Applying all pieces equals applying the hunk.
// It returns nil if there is nothing to cut. A hunk is always cut the same way.
// Digests are set, ids are not.
func Split(h countersign.Hunk) []countersign.Hunk {
	pre, post := Lines(h.Pre), Lines(h.Post)
	n := max(len(pre), len(post))
	if h.Op != countersign.OpModify || n < 2 {
		return nil
	}
	var cuts []int
	if n <= splitWhole {
		for i := 1; i < n; i++ {
			cuts = append(cuts, i)
		}
	} else {
		cuts = []int{n / 2}
	}
	// A line without a newline must stay in the last piece, or a subset could
	// join it with the line after.
	for _, ls := range [][][]byte{pre, post} {
		if k := len(ls); k > 0 && !bytes.HasSuffix(ls[k-1], nl) {
			for len(cuts) > 0 && cuts[len(cuts)-1] >= k {
				cuts = cuts[:len(cuts)-1]
			}
		}
	}
	if len(cuts) == 0 {
		return nil
	}
	var out []countersign.Hunk
	i0 := index(h.OldStart, h.OldLines)
	j0 := index(h.NewStart, h.NewLines)
	at := 0
	for _, to := range append(cuts, n) {
		p, q := clip(pre, at, to), clip(post, at, to)
		piece := h
		piece.ID, piece.PreSum, piece.PostSum = "", "", ""
		piece.Pre, piece.Post = bytes.Join(p, nil), bytes.Join(q, nil)
		oi, nj := i0+min(at, len(pre)), j0+min(at, len(post))
		piece.OldStart, piece.OldLines = number(oi, oi+len(p))
		piece.NewStart, piece.NewLines = number(nj, nj+len(q))
		piece.Part = h.Part + min(at, len(post))
		piece = Sum(piece)
		piece.Digest = Digest(piece)
		out = append(out, piece)
		at = to
	}
	return out
}

func clip(ls [][]byte, from, to int) [][]byte {
	return ls[min(from, len(ls)):min(to, len(ls))]
}
