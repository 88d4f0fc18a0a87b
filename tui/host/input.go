package host

import (
	"strings"
	"unicode/utf8"

	"github.com/countersign/countersign/tui/card"
)

// keys reads what a person types at a card. Answers of the terminal to what the
// agent asked before the card stood are told apart and go to the agent; pasted
// text, mouse and focus reports are no keys.
type keys struct {
	buf   []byte
	paste bool
}

// press is a key, or bytes for the agent.
type press struct {
	key   card.Key
	reply []byte
}

// feed takes what was read at once.
func (k *keys) feed(p []byte) []press {
	k.buf = append(k.buf, p...)
	var out []press
	for len(k.buf) > 0 {
		n := length(k.buf)
		if n == 0 {
			break
		}
		seq := string(k.buf[:n])
		k.buf = k.buf[n:]
		switch {
		case seq == "\x1b[200~":
			k.paste = true
		case seq == "\x1b[201~":
			k.paste = false
		case k.paste:
		case isReply(seq):
			out = append(out, press{reply: []byte(seq)})
		case strings.HasPrefix(seq, "\x1b[M"), strings.HasPrefix(seq, "\x1b[<"), seq == "\x1b[I", seq == "\x1b[O":
		default:
			out = append(out, press{key: name(seq)})
		}
	}
	if len(k.buf) > maxString { // a string that never ends
		k.buf = nil
	}
	return out
}

// lone ends the wait for what might follow an Escape.
func (k *keys) lone() []press {
	if string(k.buf) != "\x1b" {
		return nil
	}
	k.buf = nil
	return []press{{key: card.Esc}}
}

// length returns how long the first key or sequence in b is, 0 if it is not
// complete.
func length(b []byte) int {
	if b[0] != 0x1b {
		if !utf8.FullRune(b) {
			return 0
		}
		_, n := utf8.DecodeRune(b)
		return n
	}
	if len(b) == 1 {
		return 0
	}
	switch b[1] {
	case '[':
		if len(b) > 2 && b[2] == 'M' {
			return complete(b, 6)
		}
		for i := 2; i < len(b); i++ {
			if b[i] >= '@' && b[i] <= '~' {
				return i + 1
			}
			if b[i] < ' ' || b[i] > '~' {
				return i
			}
		}
		return 0
	case 'O':
		return complete(b, 3)
	case ']', 'P', '_', '^', 'X':
		for i := 2; i < len(b); i++ {
			if b[i] == 0x07 {
				return i + 1
			}
			if b[i] == 0x1b {
				return complete(b, i+2)
			}
		}
		return 0
	case 0x1b:
		return 1
	}
	if !utf8.FullRune(b[1:]) {
		return 0
	}
	_, n := utf8.DecodeRune(b[1:])
	return 1 + n
}

func complete(b []byte, n int) int {
	if len(b) < n {
		return 0
	}
	return n
}

// isReply reports whether a sequence is a terminal's answer, which no key can
// be: device attributes, status, mode, keyboard and colour reports, XTGETTCAP.
func isReply(seq string) bool {
	if len(seq) < 3 || seq[0] != 0x1b {
		return false
	}
	last := seq[len(seq)-1]
	switch seq[1] {
	case ']', 'P', '_':
		return true
	case '[':
		return last == 'c' || last == 'y' || last == 'n' || last == 't' ||
			last == 'R' || last == 'u' && seq[2] == '?'
	}
	return false
}

func name(seq string) card.Key {
	switch seq {
	case "\r", "\n", "\x1bOM":
		return card.Enter
	case "\x1b", "\x1b[27u":
		return card.Esc
	case "\x7f", "\b":
		return card.Backspace
	case "\x1b[A", "\x1bOA":
		return card.Up
	case "\x1b[B", "\x1bOB":
		return card.Down
	case "\x1b[5~":
		return card.PgUp
	case "\x1b[6~":
		return card.PgDn
	case "\x1b[H", "\x1bOH", "\x1b[1~", "\x1b[7~":
		return card.Home
	case "\x1b[F", "\x1bOF", "\x1b[4~", "\x1b[8~":
		return card.End
	case "\x1a":
		return suspendKey
	}
	if r, n := utf8.DecodeRuneInString(seq); n == len(seq) && r >= ' ' && r != 0x7f && r != utf8.RuneError {
		return card.Key(seq)
	}
	return card.Other
}

// suspendKey is Ctrl-Z at a card: the person's own job control.
const suspendKey card.Key = "ctrl+z"
