package host

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/countersign/countersign/internal/lazyre"
)

// verdict is what happens to a token of the agent.
type verdict uint8

const (
	drop  verdict = iota
	pass          // to the terminal and to the emulator
	query         // asks the terminal something harmless: to whoever stands in front
)

// judge decides about a token; it may make it safer. What is not known to be
// harmless is dropped: clipboard, notifications, colours (they could blind the
// card), reports that type the agent's own words back (title, DECRQSS, ENQ),
// printing, window handling, file transfer, images, passthrough to an outer
// multiplexer, and whatever else a terminal may have learnt.
func judge(t *token) verdict {
	switch t.class {
	case text:
		return pass
	case control:
		// BEL BS HT LF VT FF CR SO SI
		if t.final >= 0x07 && t.final <= 0x0f {
			return pass
		}
	case escape:
		return judgeEscape(t)
	case csi:
		return judgeCSI(t)
	case osc:
		return judgeOSC(t)
	case dcs:
		if bytes.HasPrefix(t.data, []byte("+q")) && hexList().Match(t.data[2:]) {
			return query // XTGETTCAP: the answer is hexadecimal
		}
	}
	return drop
}

var hexList = lazyre.Compile(`^[0-9A-Fa-f;]{1,256}$`)

func judgeEscape(t *token) verdict {
	switch t.inter {
	case 0:
		if strings.IndexByte("78=>DHMc", t.final) >= 0 {
			return pass
		}
	case '(', ')':
		if len(t.raw) == 3 && strings.IndexByte("0AB", t.final) >= 0 {
			return pass
		}
	}
	return drop
}

// decModes are the private modes an agent may set: keys, mouse, focus, paste,
// wrapping, origin, margins, cursor, the other screen, synchronised output.
var decModes = map[int]bool{
	1: true, 5: true, 6: true, 7: true, 9: true, 12: true, 25: true, 45: true, 47: true, 66: true, 69: true,
	1000: true, 1002: true, 1003: true, 1004: true, 1005: true, 1006: true, 1007: true, 1015: true, 1016: true,
	1047: true, 1048: true, 1049: true, 2004: true, 2026: true, 2027: true, 2031: true, 2048: true,
}

func judgeCSI(t *token) verdict {
	key := string(t.final)
	if t.inter != 0 {
		key = string(t.inter) + key
	}
	if t.prefix != 0 {
		key = string(t.prefix) + key
	}
	switch key {
	case "@", "A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M", "P", "S", "X", "Z",
		"`", "a", "b", "d", "e", "f", "g", "m", "r", "s", "u", " q", "!p":
		return pass
	case "T":
		if len(t.params) <= 1 { // with five it is a mouse mode that hangs the terminal
			return pass
		}
	case "h", "l":
		for i := range t.params {
			if n := t.num(i, 0); n != 4 && n != 20 {
				return drop
			}
		}
		return pass
	case "?h", "?l":
		for i := range t.params {
			if !decModes[t.num(i, 0)] {
				return drop
			}
		}
		return pass
	case ">u", "<u", "=u", ">m", ">n": // keyboard reporting
		return pass
	case "c", ">c", "=c", "n", "?n", "$p", "?$p", "?u", "?m", ">q":
		return query
	case "t":
		switch t.num(0, 0) {
		case 14, 16, 18, 19:
			return query
		}
	}
	return drop
}

var (
	colourQuery = lazyre.Compile(`^(?:1[0-9]|4;[0-9]{1,3});\?$`)
	harmlessOSC = lazyre.Compile(`^(?:9;4;[0-4](?:;[0-9]{0,3})?|133;[A-D](?:;[0-9]*)?)$`) // progress, prompt marks
)

// maxTitle bounds a window title, in bytes.
const maxTitle = 512

func judgeOSC(t *token) verdict {
	num, arg, _ := bytes.Cut(t.data, []byte(";"))
	switch string(num) {
	case "0", "1", "2":
		if len(arg) > maxTitle {
			return drop
		}
		t.setOSC(string(num) + ";" + printable(arg))
		return pass
	case "7", "8":
		if printable(arg) == string(arg) && len(arg) < 4096 {
			return pass
		}
	default:
		if colourQuery().Match(t.data) {
			return query
		}
		if harmlessOSC().Match(t.data) {
			return pass
		}
	}
	return drop
}

func (t *token) setOSC(s string) {
	t.data = []byte(s)
	t.raw = append(append([]byte("\x1b]"), s...), "\x1b\\"...)
}

// printable drops what is no printable character.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, string(b))
}
