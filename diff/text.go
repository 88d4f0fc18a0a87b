package diff

import (
	"bytes"
	"fmt"

	countersign "github.com/countersign/countersign"
)

// Text shows a hunk as "git diff -U0" does: a line with its range, the old lines
// with "-", the new ones with "+". The bytes are those of the file: whoever
// shows them on a screen makes control characters visible.
func Text(h countersign.Hunk) []byte {
	out := fmt.Appendf(nil, "@@ -%s +%s @@\n", span(h.OldStart, h.OldLines), span(h.NewStart, h.NewLines))
	for _, s := range []struct {
		sign byte
		text []byte
	}{{'-', h.Pre}, {'+', h.Post}} {
		for _, l := range Lines(s.text) {
			out = append(append(out, s.sign), l...)
			if !bytes.HasSuffix(l, nl) {
				out = append(out, "\n\\ No newline at end of file\n"...)
			}
		}
	}
	return out
}

func span(start, count int) string {
	if count == 1 {
		return fmt.Sprint(start)
	}
	return fmt.Sprintf("%d,%d", start, count)
}

// Span is a stretch of bytes within a line.
type Span struct{ From, To int }

// Words marks what differs between an old and a new line: spans of the old and
// of the new bytes, at the borders of words. It returns none where marking would
// not help: lines that are equal, too long, or have little in common.
func Words(old, new []byte) (inOld, inNew []Span) {
	const longest = 4 << 10
	if len(old) > longest || len(new) > longest {
		return nil, nil
	}
	a, b := words(old), words(new)
	ca, cb := changed(a, b)
	var same int
	for i, l := range a {
		if !ca.changed[i] {
			same += len(bytes.TrimSpace(l))
		}
	}
	if 3*same < max(len(bytes.TrimSpace(old)), len(bytes.TrimSpace(new))) {
		return nil, nil
	}
	return spans(ca), spans(cb)
}

func spans(s side) (out []Span) {
	at := 0
	for i, w := range s.lines {
		if s.changed[i] {
			if n := len(out); n > 0 && out[n-1].To == at {
				out[n-1].To += len(w)
			} else {
				out = append(out, Span{at, at + len(w)})
			}
		}
		at += len(w)
	}
	return out
}

// words cuts a line into runs of letters and digits (bytes above ASCII count as
// letters), runs of white space, and single signs.
func words(line []byte) (out [][]byte) {
	kind := func(c byte) int {
		switch {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			return 1
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80:
			return 2
		}
		return 0
	}
	for i := 0; i < len(line); {
		j := i + 1
		for k := kind(line[i]); k > 0 && j < len(line) && kind(line[j]) == k; {
			j++
		}
		out = append(out, line[i:j:j])
		i = j
	}
	return out
}
