// Package diff turns two versions of a file into hunks, names each by a digest,
// applies any subset of them, splits them and merges three versions.
//
// It promises that a hunk covers changed lines only, that its numbers are those
// of "git diff -U0", that applying all hunks gives the new bytes, none the old
// ones, and any subset in any order always the same bytes; that CRLF, a missing
// last newline and invalid UTF-8 pass untouched; and that a digest covers every
// byte that applying the hunk can change (docs/formats/hunk.md).
//
// It is pure: no I/O, no clock, no state. It must never guess where a hunk that
// does not fit might have been meant to go.
package diff

import (
	"bytes"

	countersign "github.com/countersign/countersign"
)

// Lines returns b cut after each newline. The last line may lack one; nothing
// is dropped, so that joining the lines gives b again.
func Lines(b []byte) [][]byte {
	if len(b) == 0 {
		return nil
	}
	out := make([][]byte, 0, bytes.Count(b, nl)+1)
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n') + 1
		if i == 0 {
			i = len(b)
		}
		out = append(out, b[:i:i])
		b = b[i:]
	}
	return out
}

var nl = []byte{'\n'}

// Hunks returns the maximal runs of changed lines between two versions, in
// order, with ranges and bytes set (they alias old and new) and Op modify. Path,
// modes, base and digest are the caller's.
func Hunks(old, new []byte) []countersign.Hunk {
	if bytes.Equal(old, new) {
		return nil
	}
	cut := tail(old, new)
	a, b := Lines(old[:len(old)-cut]), Lines(new[:len(new)-cut])
	ca, cb := changed(a, b)
	slide(ca, cb)
	slide(cb, ca)
	var out []countersign.Hunk
	for i, j, at, bt := 0, 0, 0, 0; i < len(a) || j < len(b); {
		i0, j0, at0, bt0 := i, j, at, bt
		for i < len(a) && ca.changed[i] {
			at += len(a[i])
			i++
		}
		for j < len(b) && cb.changed[j] {
			bt += len(b[j])
			j++
		}
		if i > i0 || j > j0 {
			h := countersign.Hunk{Op: countersign.OpModify, Pre: old[at0:at:at], Post: new[bt0:bt:bt]}
			h.OldStart, h.OldLines = number(i0, i)
			h.NewStart, h.NewLines = number(j0, j)
			out = append(out, h)
		}
		if i < len(a) && j < len(b) {
			at += len(a[i])
			bt += len(b[j])
			i++
			j++
		}
	}
	return out
}

// tail is the number of bytes at the end that git, asked for no context, leaves
// out of the comparison: whole blocks that are equal, from the first line that
// begins in them. It decides how far down a run can slide.
func tail(a, b []byte) int {
	const block = 1024
	n, most := 0, min(len(a), len(b))
	for n+block <= most && bytes.Equal(a[len(a)-n-block:len(a)-n], b[len(b)-n-block:len(b)-n]) {
		n += block
	}
	return n - (bytes.IndexByte(a[len(a)-n:], '\n') + 1)
}

// number gives the half-open range of line indexes as git writes it: 1-based;
// an empty range is named by the line before it.
func number(from, to int) (start, count int) {
	if from == to {
		return from, 0
	}
	return from + 1, to - from
}

// index is the inverse of number: the index of the first line of a range.
func index(start, count int) int {
	if count == 0 {
		return start
	}
	return start - 1
}

// side is one file as the comparison sees it: lines as small numbers, equal
// lines equal numbers, and which of them have no partner on the other side.
type side struct {
	lines   [][]byte
	ids     []int32
	changed []bool // one longer than ids; the last is never set
}

// changed compares two files and marks what differs.
func changed(a, b [][]byte) (side, side) {
	ids := make(map[string]int32, len(a))
	intern := func(lines [][]byte) side {
		s := side{lines: lines, ids: make([]int32, len(lines)), changed: make([]bool, len(lines)+1)}
		for i, l := range lines {
			id, ok := ids[string(l)]
			if !ok {
				id = int32(len(ids))
				ids[string(l)] = id
			}
			s.ids[i] = id
		}
		return s
	}
	sa, sb := intern(a), intern(b)
	lo, ha, hb := 0, len(a), len(b)
	for lo < ha && lo < hb && sa.ids[lo] == sb.ids[lo] {
		lo++
	}
	for ha > lo && hb > lo && sa.ids[ha-1] == sb.ids[hb-1] {
		ha--
		hb--
	}
	inA, inB := make([]bool, len(ids)), make([]bool, len(ids))
	for _, id := range sa.ids[lo:ha] {
		inA[id] = true
	}
	for _, id := range sb.ids[lo:hb] {
		inB[id] = true
	}
	// A line that the other side does not have can match nothing: leaving it
	// out makes the rest small and changes no result.
	m := myers{}
	m.a, m.ai = common(sa, lo, ha, inB)
	m.b, m.bi = common(sb, lo, hb, inA)
	m.ca, m.cb = sa.changed, sb.changed
	m.run()
	return sa, sb
}

// common keeps the lines of s[lo:hi] that the other side has too, with their
// indexes, and marks the others as changed.
func common(s side, lo, hi int, other []bool) (ids []int32, at []int) {
	for i := lo; i < hi; i++ {
		if other[s.ids[i]] {
			ids, at = append(ids, s.ids[i]), append(at, i)
		} else {
			s.changed[i] = true
		}
	}
	return ids, at
}
