package wire

import (
	"encoding/binary"
	"errors"
)

var errSyntax = errors.New("the body is not JSON")

type parser struct {
	src   []byte
	i     int
	nodes []node
}

func (p *parser) peek() byte {
	if p.i < len(p.src) {
		return p.src[p.i]
	}
	return 0
}

func (p *parser) space() {
	for p.i < len(p.src) {
		switch p.src[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

// open begins a value and returns its place among the nodes.
func (p *parser) open(k Kind) (int, error) {
	if len(p.nodes) >= maxValues {
		return 0, errors.New("the body holds too many values")
	}
	p.nodes = append(p.nodes, node{from: int32(p.i), kind: k})
	return len(p.nodes) - 1, nil
}

func (p *parser) close(n int) {
	p.nodes[n].to, p.nodes[n].next = int32(p.i), int32(len(p.nodes))
}

func (p *parser) value(depth int) error {
	if depth > maxDepth {
		return errors.New("the body is nested too deeply")
	}
	switch c := p.peek(); c {
	case '{', '[':
		return p.container(depth, c)
	case '"':
		return p.text(Text)
	case 't':
		return p.word("true", True)
	case 'f':
		return p.word("false", False)
	case 'n':
		return p.word("null", Null)
	}
	return p.number()
}

func (p *parser) container(depth int, opening byte) error {
	kind, closing := Object, byte('}')
	if opening == '[' {
		kind, closing = Array, ']'
	}
	n, err := p.open(kind)
	if err != nil {
		return err
	}
	p.i++
	p.space()
	for first := true; p.peek() != closing; first = false {
		if !first {
			if p.peek() != ',' {
				return errSyntax
			}
			p.i++
			p.space()
		}
		if kind == Object {
			if err := p.member(); err != nil {
				return err
			}
		}
		if err := p.value(depth + 1); err != nil {
			return err
		}
		p.space()
	}
	p.i++
	p.close(n)
	return nil
}

// member reads a name and its colon.
func (p *parser) member() error {
	if p.peek() != '"' {
		return errSyntax
	}
	if err := p.text(name); err != nil {
		return err
	}
	p.space()
	if p.peek() != ':' {
		return errSyntax
	}
	p.i++
	p.space()
	return nil
}

func (p *parser) text(k Kind) error {
	n, err := p.open(k)
	if err != nil {
		return err
	}
	for p.i++; p.i < len(p.src); p.i++ {
		p.i += ordinary(p.src[p.i:])
		switch c := p.peek(); {
		case c == '"':
			p.i++
			p.close(n)
			return nil
		case c == '\\':
			p.nodes[n].escaped = true
			size := escape(p.src[p.i:])
			if size == 0 {
				return errSyntax
			}
			p.i += size - 1
		case c < ' ':
			return errSyntax
		}
	}
	return errSyntax
}

// ordinary counts bytes, by eights, that stand for themselves in a string: no quote,
// no backslash, no control character. A byte is of those where, after what makes it
// zero, taking one away borrows from it (Bit Twiddling Hacks, "haszero").
func ordinary(b []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; n+8 <= len(b); n += 8 {
		x := binary.LittleEndian.Uint64(b[n:])
		quote, slash := x^'"'*ones, x^'\\'*ones
		if ((quote-ones)&^quote|(slash-ones)&^slash|(x-' '*ones)&^x)&tops != 0 {
			break
		}
	}
	return n
}

// escape returns the length of the escape sequence that b begins with, or 0.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(b); ok {
			return 6
		}
	}
	return 0
}

func (p *parser) word(w string, k Kind) error {
	n, err := p.open(k)
	if err != nil {
		return err
	}
	if len(p.src)-p.i < len(w) || string(p.src[p.i:p.i+len(w)]) != w {
		return errSyntax
	}
	p.i += len(w)
	p.close(n)
	return nil
}

func (p *parser) number() error {
	n, err := p.open(Number)
	if err != nil {
		return err
	}
	if p.peek() == '-' {
		p.i++
	}
	switch {
	case p.peek() == '0':
		p.i++
	case !p.digits():
		return errSyntax
	}
	if p.peek() == '.' {
		p.i++
		if !p.digits() {
			return errSyntax
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.i++
		if c := p.peek(); c == '+' || c == '-' {
			p.i++
		}
		if !p.digits() {
			return errSyntax
		}
	}
	p.close(n)
	return nil
}

func (p *parser) digits() bool {
	from := p.i
	for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
		p.i++
	}
	return p.i > from
}
