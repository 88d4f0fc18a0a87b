package profile

import (
	"slices"
	"strings"
)

// Same is argv as it stands where the same command is looked for again: a wrapper's
// own file below /tmp, which has a new name each time, is always a NUL, which no
// argument can hold. All else stays, byte for byte, and so does what is no wrapper
// of the profile. It is no command to show or run.
func (p *Profile) Same(argv []string) []string {
	for i := range p.Wrappers {
		w := &p.Wrappers[i]
		if _, ok := w.unwrap(argv); !ok {
			continue
		}
		out := slices.Clone(argv)
		for j := range out {
			out[j] = same(w.told[j], out[j])
		}
		return out
	}
	return argv
}

// same reads a word that fits as take does, from both ends to the command.
func same(ps []piece, word string) string {
	head, tail := "", ""
	temporary := func(before piece, p piece) bool {
		i := strings.LastIndex(before.text, "/tmp/")
		return i >= 0 && !strings.ContainsAny(before.text[i:], " \t\n'\";&|") && (p.place == "hex" || p.place == "letters" || p.place == "digits")
	}
	var before piece
	for len(ps) > 0 && ps[0].place != "command" && ps[0].place != "quoted" {
		n, _ := ahead(ps[0], word)
		part := word[:n]
		if temporary(before, ps[0]) {
			part = "\x00"
		}
		head, word, before, ps = head+part, word[n:], ps[0], ps[1:]
	}
	for len(ps) > 1 {
		last := len(ps) - 1
		n, _ := behind(ps[last], word)
		part := word[len(word)-n:]
		if temporary(ps[last-1], ps[last]) {
			part = "\x00"
		}
		tail, word, ps = part+tail, word[:len(word)-n], ps[:last]
	}
	return head + word + tail
}
