package diff

import (
	"bytes"

	countersign "github.com/countersign/countersign"
)

// Conflict is a region that both sides changed, and differently.
type Conflict struct {
	Line               int // 1-based in the base; for an empty region the line before
	Base, Ours, Theirs []byte
}

// Merge3 carries what theirs changed against base into ours. Changes that
// overlap or touch are a conflict unless both sides did the same there; in a
// conflict the merged bytes keep ours.
func Merge3(base, ours, theirs []byte) (merged []byte, conflicts []Conflict) {
	switch {
	case bytes.Equal(ours, theirs), bytes.Equal(base, theirs):
		return ours, nil
	case bytes.Equal(base, ours):
		return theirs, nil
	}
	lines := Lines(base)
	a, b := Hunks(base, ours), Hunks(base, theirs)
	at := 0
	for len(a) > 0 || len(b) > 0 {
		var g region
		g.grow(&a, &b)
		merged = append(merged, bytes.Join(lines[at:g.from], nil)...)
		our, their := g.side(lines, g.a), g.side(lines, g.b)
		switch {
		case len(g.b) == 0 || bytes.Equal(our, their):
			merged = append(merged, our...)
		case len(g.a) == 0:
			merged = append(merged, their...)
		default:
			start, _ := number(g.from, g.to)
			conflicts = append(conflicts, Conflict{Line: start, Base: bytes.Join(lines[g.from:g.to], nil), Ours: our, Theirs: their})
			merged = append(merged, our...)
		}
		at = g.to
	}
	return append(merged, bytes.Join(lines[at:], nil)...), conflicts
}

// region is a stretch of base lines and the hunks of both sides within it.
type region struct {
	from, to int
	a, b     []countersign.Hunk
}

// grow takes the first hunk of either side and all that overlap or touch what
// has been taken.
func (g *region) grow(a, b *[]countersign.Hunk) {
	g.from, g.to = -1, -1
	for took := true; took; {
		took = false
		for _, s := range []struct{ from, into *[]countersign.Hunk }{{a, &g.a}, {b, &g.b}} {
			other := b
			if s.from == b {
				other = a
			}
			if len(*s.from) == 0 {
				continue
			}
			h := (*s.from)[0]
			lo := index(h.OldStart, h.OldLines)
			if g.from < 0 && len(*other) > 0 {
				o := (*other)[0]
				if index(o.OldStart, o.OldLines) < lo {
					continue
				}
			}
			if g.from >= 0 && lo > g.to {
				continue
			}
			if g.from < 0 {
				g.from, g.to = lo, lo
			}
			g.to = max(g.to, lo+h.OldLines)
			*s.into, *s.from = append(*s.into, h), (*s.from)[1:]
			took = true
		}
	}
}

// side returns the region as one side has it.
func (g *region) side(lines [][]byte, hs []countersign.Hunk) []byte {
	var out []byte
	at := g.from
	for _, h := range hs {
		lo := index(h.OldStart, h.OldLines)
		out = append(out, bytes.Join(lines[at:lo], nil)...)
		out = append(out, h.Post...)
		at = lo + h.OldLines
	}
	return append(out, bytes.Join(lines[at:g.to], nil)...)
}
