package profile

import (
	"errors"
	"fmt"
	"strings"
)

// Wrapper is how an agent wraps a command of its model's. Each word is literal but
// for the places in it: <<command>>, the command as it is; <<quoted>>, the command
// in single quotes as a shell takes them, its own as '"'"'; <<shell>>, a shell of
// the system; <<hex>>, <<digits>>, <<path>>, which take letters of their kind only.
// Exactly one place is the command's.
type Wrapper struct {
	Does string // what it does beside running the command, in a sentence
	argv []string
	told [][]piece
}

// piece is a literal text, or a place.
type piece struct{ text, place string }

var shells = []string{"/bin/bash", "/usr/bin/bash", "/bin/sh", "/usr/bin/sh", "/bin/zsh", "/usr/bin/zsh", "/bin/dash", "/usr/bin/dash", "bash", "sh", "zsh"}

const pathLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@"

// letters of a place that is not the command's.
func letters(place string) string {
	switch place {
	case "hex":
		return "0123456789abcdef"
	case "digits":
		return "0123456789"
	case "path":
		return pathLetters
	case "letters":
		return "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	}
	return ""
}

func (w *Wrapper) compile() error {
	commands := 0
	for _, word := range w.argv {
		var ps []piece
		for word != "" {
			before, rest, found := strings.Cut(word, "<<")
			if before != "" {
				ps = append(ps, piece{text: before})
			}
			if !found {
				break
			}
			place, after, closed := strings.Cut(rest, ">>")
			switch {
			case !closed:
				return fmt.Errorf("<<%.20s is not closed", rest)
			case place == "command" || place == "quoted":
				commands++
			case place != "shell" && letters(place) == "":
				return fmt.Errorf("nothing takes <<%s>>", place)
			}
			if n := len(ps); n > 0 && ps[n-1].place != "" {
				return errors.New("two places touch")
			}
			ps = append(ps, piece{place: place})
			word = after
		}
		w.told = append(w.told, ps)
	}
	if commands != 1 {
		return fmt.Errorf("%d places are the command's, not one", commands)
	}
	return nil
}

// Unwrap returns the command that an agent's own wrapper was put around, as the
// model wrote it, and what the wrapper does. It is for the eye alone. What does not
// match a wrapper of the profile byte for byte is not unwrapped; a command that
// looks like a wrapper's end, or like a wrapper, is returned with all of that in it.
func (p *Profile) Unwrap(argv []string) (command, does string, ok bool) {
	for i := range p.Wrappers {
		if command, ok := p.Wrappers[i].unwrap(argv); ok {
			return command, p.Wrappers[i].Does, true
		}
	}
	return "", "", false
}

func (w *Wrapper) unwrap(argv []string) (command string, ok bool) {
	if len(argv) != len(w.told) {
		return "", false
	}
	for i, word := range argv {
		got, is, ok := take(w.told[i], word)
		if !ok {
			return "", false
		}
		if is {
			command = got
		}
	}
	return command, true
}

// take reads one word: forward to the command's place, and from the end back to
// it, so that all between, whatever it looks like, is the command.
func take(ps []piece, word string) (command string, is, ok bool) {
	for len(ps) > 0 && ps[0].place != "command" && ps[0].place != "quoted" {
		n, ok := ahead(ps[0], word)
		if !ok {
			return "", false, false
		}
		word, ps = word[n:], ps[1:]
	}
	if len(ps) == 0 {
		return "", false, word == ""
	}
	for len(ps) > 1 {
		n, ok := behind(ps[len(ps)-1], word)
		if !ok {
			return "", false, false
		}
		word, ps = word[:len(word)-n], ps[:len(ps)-1]
	}
	if ps[0].place == "quoted" {
		command, ok = unquote(word)
		return command, true, ok
	}
	return word, true, word != ""
}

// ahead is how much of the start of s a piece takes.
func ahead(p piece, s string) (int, bool) {
	switch p.place {
	case "":
		return len(p.text), strings.HasPrefix(s, p.text)
	case "shell":
		for _, sh := range shells {
			if s == sh {
				return len(sh), true
			}
		}
		return 0, false
	}
	n := len(s) - len(strings.TrimLeft(s, letters(p.place)))
	return n, n > 0
}

// behind is how much of the end of s a piece takes.
func behind(p piece, s string) (int, bool) {
	if p.place == "" {
		return len(p.text), strings.HasSuffix(s, p.text)
	}
	n := len(s) - len(strings.TrimRight(s, letters(p.place)))
	return n, n > 0 && p.place != "shell"
}

// unquote reads '…' with '"'"' for each single quote in it, and nothing else.
func unquote(s string) (string, bool) {
	if len(s) < 2 || s[0] != '\'' || s[len(s)-1] != '\'' {
		return "", false
	}
	text := strings.ReplaceAll(s[1:len(s)-1], `'"'"'`, `'`)
	return text, text != "" && quote(text) == s
}

func quote(s string) string { return `'` + strings.ReplaceAll(s, `'`, `'"'"'`) + `'` }
