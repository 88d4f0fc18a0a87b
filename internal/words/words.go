// Package words splits a line into the words of one command. It is pure.
package words

import (
	"errors"
	"strings"
)

// Split splits a command as a shell would, without its expansions: it is one
// command, so what a shell would make more of is an error.
func Split(s string) ([]string, error) {
	var out []string
	var word strings.Builder
	in, quote := false, rune(0)
	escaped := false
	for _, c := range s {
		switch {
		case escaped:
			word.WriteRune(c)
			escaped = false
		case quote == '\'' && c != '\'', quote == '"' && c != '"' && c != '\\':
			word.WriteRune(c)
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\':
			escaped, in = true, true
		case c == '\'' || c == '"':
			quote, in = c, true
		case c == ' ' || c == '\t' || c == '\n':
			if in {
				out, in = append(out, word.String()), false
				word.Reset()
			}
		case strings.ContainsRune("|&;<>()`$", c):
			return nil, errors.New("it is one command, without shell syntax: quote " + string(c))
		default:
			word.WriteRune(c)
			in = true
		}
	}
	if quote != 0 || escaped {
		return nil, errors.New("an unfinished quote")
	}
	if in {
		out = append(out, word.String())
	}
	return out, nil
}
