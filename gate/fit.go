package gate

import (
	"slices"
	"strings"
	"unicode/utf8"

	countersign "github.com/countersign/countersign"
)

// A leaf has room for 15,872 bytes of JSON. What is longer is cut in the record,
// never in the digest or on the card: a command that does not fit would end its
// session. All sizes are bytes as JSON encodes them.
const (
	maxArg  = 2048
	maxArgs = 64
	maxPath = 4096 // PATH_MAX: only a path that JSON must escape is ever cut
	maxExe  = 1024
	maxText = 1000
)

// room is how much the lists of one record may take.
type room struct{ argv, peer, env, more int }

// roomFor leaves less to the arguments where long paths need the place.
func roomFor(a countersign.Action) room {
	paths := encoded(a.Peer.Exe)
	if a.Exec != nil {
		paths += encoded(a.Exec.Cwd) + encoded(a.Exec.Exe.Path)
	}
	if a.File != nil {
		paths += encoded(a.File.Path)
	}
	if paths > 2500 {
		return room{argv: 1200, peer: 600, env: 500, more: 100}
	}
	return room{argv: 5000, peer: 2500, env: 1500, more: 400}
}

// Argv is a command line as a leaf has room for it.
func Argv(argv []string) []string { return cut(argv, 5000) }

// cut keeps the first and the last arguments, so many as fit: what a command does
// often stands at its end, behind dozens of settings.
func cut(argv []string, limit int) []string {
	head, size := fit(argv, maxArgs, limit)
	if len(head) == len(argv) {
		return head
	}
	head, size = fit(argv, maxArgs/2, limit/2)
	last := slices.Clone(argv[len(head):])
	slices.Reverse(last)
	tail, _ := fit(last, maxArgs/2, limit-size)
	slices.Reverse(tail)
	return append(append(head, "…"), tail...)
}

// fit takes arguments from the front while there is room, and says what they use.
func fit(argv []string, most, limit int) (out []string, size int) {
	for i, s := range argv {
		s = trim(s, maxArg)
		n := encoded(s) + len(`"",`)
		if i >= most || size+n > limit {
			break
		}
		out, size = append(out, s), size+n
	}
	return out, size
}

// trim makes a text valid and ends it where n bytes of JSON are full.
func trim(s string, n int) string {
	s = valid(s)
	if len(s) <= n/6 || encoded(s) <= n {
		return s
	}
	size := 0
	for i, r := range s {
		if size += cost(r); size > n-len("…") {
			return s[:i] + "…"
		}
	}
	return s
}

// encoded is how many bytes encoding/json makes of a text.
func encoded(s string) int {
	n := 0
	for _, r := range s {
		n += cost(r)
	}
	return n
}

func cost(r rune) int {
	switch {
	case r < 0x20 || strings.ContainsRune("<>&\u007f\u2028\u2029", r):
		return len(`\u0000`)
	case r == '"' || r == '\\':
		return 2
	}
	return utf8.RuneLen(r)
}
