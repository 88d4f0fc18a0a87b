package host

import (
	"bytes"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// class is what kind of thing a token is.
type class uint8

const (
	text class = iota // printable characters, valid UTF-8
	control
	escape // ESC intermediates final
	csi
	osc
	dcs
	blind // APC, PM, SOS, screen's title
)

// token is one complete piece of a terminal's input. raw is its canonical form:
// seven bit, valid UTF-8, ended by ST.
type token struct {
	class  class
	raw    []byte
	prefix byte // CSI: < = > ?
	inter  byte // last intermediate, or 0
	final  byte
	params []ansi.Param // CSI and DCS
	data   []byte       // OSC, DCS: what stands between introducer and ST
}

// num returns parameter i, or def if it is absent or empty.
func (t token) num(i, def int) int {
	if i >= len(t.params) {
		return def
	}
	return t.params[i].Param(def)
}

// Bounds of one sequence, in bytes. What is longer is dropped whole.
const (
	maxCSI    = 256
	maxString = 64 << 10
)

type scanState uint8

const (
	ground scanState = iota
	inEscape
	inCSI
	inString
	inStringEsc
)

// scanner cuts a byte stream into tokens. It holds a sequence back until it is
// complete, so that nothing half sent is ever in the terminal. Eight-bit
// controls are no controls to it: as bytes they are invalid UTF-8, as
// characters they are dropped, which is what a terminal in UTF-8 does with them
// at its safest.
type scanner struct {
	state scanState
	buf   []byte // the sequence so far, introducer excluded
	kind  byte   // introducer of a string: ] P X ^ _ k
	over  bool   // too long: dropped at its end
}

func (s *scanner) scan(p []byte, emit func(token)) {
	for len(p) > 0 {
		if s.state == ground {
			p = s.ground(p, emit)
			continue
		}
		s.step(p[0], emit)
		p = p[1:]
	}
}

// ground takes printable text, or one control.
func (s *scanner) ground(p []byte, emit func(token)) []byte {
	if len(s.buf) > 0 { // the head of a character
		p, s.buf = append(s.buf, p...), nil
	}
	if c := p[0]; c < ' ' || c == 0x7f {
		if c == 0x1b {
			s.begin(inEscape)
		} else {
			emit(token{class: control, raw: []byte{c}, final: c})
		}
		return p[1:]
	}
	var out []byte
	i, clean := 0, 0
	for i < len(p) && p[i] >= ' ' && p[i] != 0x7f {
		r, n := rune(p[i]), 1
		if p[i] >= utf8.RuneSelf {
			if !utf8.FullRune(p[i:]) {
				break
			}
			r, n = utf8.DecodeRune(p[i:])
		}
		if r == utf8.RuneError && n == 1 || r >= 0x80 && r < 0xa0 {
			out = append(out, p[clean:i]...)
			if n == 1 {
				out = utf8.AppendRune(out, utf8.RuneError)
			}
			clean = i + n
		}
		i += n
	}
	if out = append(out, p[clean:i]...); len(out) > 0 {
		emit(token{class: text, raw: out})
	}
	if i < len(p) && p[i] >= utf8.RuneSelf {
		s.buf = append([]byte(nil), p[i:]...)
		return nil
	}
	return p[i:]
}

func (s *scanner) begin(st scanState) { s.state, s.buf, s.over, s.kind = st, s.buf[:0], false, 0 }

// step advances within a sequence: ECMA-48 and the VT500 parser's rules for
// what interrupts what.
func (s *scanner) step(c byte, emit func(token)) {
	switch {
	case s.state == inStringEsc && c == '\\':
		s.endString(emit)
		return
	case s.state == inStringEsc:
		s.begin(inEscape) // the string was cut off: it never happened
	case c == 0x1b && s.state == inString:
		s.state = inStringEsc
		return
	case c == 0x1b:
		s.begin(inEscape)
		return
	case c == 0x18 || c == 0x1a: // CAN, SUB
		s.begin(ground)
		return
	}
	switch s.state {
	case inString:
		if c == 0x07 && s.kind == ']' {
			s.endString(emit)
		} else {
			s.add(c, maxString)
		}
	case inEscape:
		s.escape(c, emit)
	case inCSI:
		s.csi(c, emit)
	}
}

func (s *scanner) add(c byte, limit int) {
	if len(s.buf) >= limit {
		s.over = true
		return
	}
	s.buf = append(s.buf, c)
}

func (s *scanner) escape(c byte, emit func(token)) {
	switch {
	case c == 0x1b:
		s.begin(inEscape)
	case c < ' ':
		emit(token{class: control, raw: []byte{c}, final: c})
	case c < '0': // intermediate
		s.add(c, 4)
	case c >= 0x7f:
		s.begin(ground)
	case len(s.buf) == 0 && c == '[':
		s.begin(inCSI)
	case len(s.buf) == 0 && bytes.IndexByte([]byte("]PX^_k"), c) >= 0: // k: a title of screen and tmux
		s.begin(inString)
		s.kind = c
	default:
		t := token{class: escape, final: c}
		if len(s.buf) > 0 {
			t.inter = s.buf[len(s.buf)-1]
		}
		t.raw = append(append([]byte{0x1b}, s.buf...), c)
		over := s.over
		s.begin(ground)
		if !over {
			emit(t)
		}
	}
}

func (s *scanner) csi(c byte, emit func(token)) {
	switch {
	case c < ' ':
		emit(token{class: control, raw: []byte{c}, final: c})
	case c >= 0x7f:
		s.over = true
	case c < '@':
		s.add(c, maxCSI)
	default:
		body, over := append([]byte(nil), s.buf...), s.over
		s.begin(ground)
		t := token{class: csi, final: c, raw: append(append([]byte("\x1b["), body...), c)}
		if !over && parseParams(body, &t) {
			emit(t)
		}
	}
}

// maxParam bounds a numeric parameter: no terminal is larger, and a repeat of
// two thousand million must not keep anybody busy.
const maxParam = 9999

// parseParams reads "[prefix] params [intermediates]"; false if it is no such
// thing.
func parseParams(body []byte, t *token) bool {
	if len(body) > 0 && body[0] >= '<' && body[0] <= '?' {
		t.prefix, body = body[0], body[1:]
	}
	n, any := -1, false
	push := func(more bool) {
		v := n
		if v < 0 {
			v = int(^uint32(0) >> 1) // the library's "missing"
		}
		if more {
			v |= -1 << 31
		}
		t.params, n = append(t.params, ansi.Param(v)), -1
	}
	for i, c := range body {
		switch {
		case c >= '0' && c <= '9':
			n, any = max(n, 0)*10+int(c-'0'), true
			if n > maxParam {
				return false
			}
		case c == ';' || c == ':':
			push(c == ':')
			any = true
		case c >= ' ' && c <= '/':
			for _, d := range body[i:] {
				if d > '/' {
					return false
				}
				t.inter = d
			}
			if any {
				push(false)
			}
			return len(t.params) <= 32
		default:
			return false
		}
	}
	if any {
		push(false)
	}
	return len(t.params) <= 32
}

func (s *scanner) endString(emit func(token)) {
	kind, data, over := s.kind, append([]byte(nil), s.buf...), s.over
	s.begin(ground)
	if over {
		return
	}
	t := token{class: blind, data: data}
	switch kind {
	case ']':
		t.class = osc
	case 'P':
		t.class = dcs
	}
	t.raw = append(append([]byte{0x1b, kind}, data...), 0x1b, '\\')
	emit(t)
}
