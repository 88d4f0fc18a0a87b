package book

import (
	"bytes"
	"errors"
	"strings"
)

// own are the fields that only the ledger writes. encoding/json matches names
// without regard to case, so a body that could be read as carrying one in any
// spelling is refused.
var own = []string{"v", "id", "node", "epoch", "seq", "prev", "t"}

var errBody = errors.New("the record is not one JSON object")

// maxDepth is how deep encoding/json reads.
const maxDepth = 10000

// checkBody takes the rest of an object, `"type":…}`, and refuses what is not
// that (RFC 8259), or what would say twice what the ledger says.
func checkBody(body []byte) error {
	if len(body) < 2 || body[0] != '"' || body[len(body)-1] != '}' || bytes.IndexByte(body, '\n') >= 0 {
		return errBody
	}
	c := checker{src: body}
	err := c.list(1, '}')
	if err == nil && c.at != len(body) {
		return errBody
	}
	return err
}

// checker reads one JSON text, without its beginning, to its end.
type checker struct {
	src []byte
	at  int
}

// peek returns the byte that comes, 0 at the end.
func (c *checker) peek() byte {
	if c.at < len(c.src) {
		return c.src[c.at]
	}
	return 0
}

func (c *checker) blanks() {
	for c.at < len(c.src) && (c.src[c.at] == ' ' || c.src[c.at] == '\t' || c.src[c.at] == '\r') {
		c.at++
	}
}

// next returns the next byte that is no blank, 0 at the end, and goes behind it.
func (c *checker) next() byte {
	c.blanks()
	b := c.peek()
	c.at++
	return b
}

// list goes behind the end of an object or array, from the first of it on.
func (c *checker) list(depth int, end byte) error {
	for {
		if end == '}' {
			if err := c.name(depth); err != nil {
				return err
			}
		}
		if err := c.value(depth); err != nil {
			return err
		}
		switch c.next() {
		case ',':
		case end:
			return nil
		default:
			return errBody
		}
	}
}

// name goes behind a member's name and its colon.
func (c *checker) name(depth int) error {
	if c.next() != '"' {
		return errBody
	}
	from := c.at
	if !c.text() {
		return errBody
	}
	if depth == 1 {
		if err := checkKey(string(c.src[from : c.at-1])); err != nil {
			return err
		}
	}
	if c.next() != ':' {
		return errBody
	}
	return nil
}

// value goes behind the value that comes next, in something of this depth.
func (c *checker) value(depth int) error {
	switch b := c.next(); b {
	case '"':
		if !c.text() {
			return errBody
		}
		return nil
	case '{', '[':
		if depth++; depth > maxDepth {
			return errBody
		}
		if c.blanks(); c.peek() == b+2 { // its end
			c.at++
			return nil
		}
		return c.list(depth, b+2)
	case 't':
		return c.word("rue")
	case 'f':
		return c.word("alse")
	case 'n':
		return c.word("ull")
	default:
		return c.number(b)
	}
}

// text goes behind the quote that ends a string, and reports whether there is one.
func (c *checker) text() bool {
	for c.at < len(c.src) {
		b := c.src[c.at]
		c.at++
		switch {
		case b == '"':
			return true
		case b < ' ':
			return false
		case b == '\\' && !c.escape():
			return false
		}
	}
	return false
}

func (c *checker) escape() bool {
	rest := c.src[c.at:]
	switch {
	case len(rest) > 0 && strings.IndexByte(`"\/bfnrt`, rest[0]) >= 0:
		c.at++
		return true
	case len(rest) < 5 || rest[0] != 'u':
		return false
	}
	for _, h := range rest[1:5] {
		if (h < '0' || h > '9') && (h|0x20 < 'a' || h|0x20 > 'f') {
			return false
		}
	}
	c.at += 5
	return true
}

func (c *checker) word(rest string) error {
	if !bytes.HasPrefix(c.src[c.at:], []byte(rest)) {
		return errBody
	}
	c.at += len(rest)
	return nil
}

// number goes behind a number that begins with b.
func (c *checker) number(b byte) error {
	if b == '-' {
		b = c.peek()
		c.at++
	}
	switch {
	case b == '0':
	case b < '1' || b > '9':
		return errBody
	default:
		c.digits()
	}
	if c.peek() == '.' {
		c.at++
		if c.digits() == 0 {
			return errBody
		}
	}
	if c.peek()|0x20 != 'e' {
		return nil
	}
	if c.at++; c.peek() == '+' || c.peek() == '-' {
		c.at++
	}
	if c.digits() == 0 {
		return errBody
	}
	return nil
}

func (c *checker) digits() (n int) {
	for ; c.peek() >= '0' && c.peek() <= '9'; n++ {
		c.at++
	}
	return n
}

func checkKey(k string) error {
	if strings.ContainsRune(k, '\\') {
		return errors.New("a field's name is written with escapes")
	}
	for _, o := range own {
		if strings.EqualFold(k, o) {
			return errors.New("the field " + k + " is the ledger's own")
		}
	}
	return nil
}
