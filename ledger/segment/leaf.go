package segment

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

// Leaf is what the ledger itself writes at the start of every record, in
// exactly this order and without white space, before the fields of whoever
// reports.
type Leaf struct {
	ID    string
	Node  string
	Epoch uint64
	Seq   uint64
	Prev  tlog.Hash
	Wall  string // RFC 3339, UTC, nanoseconds
	Mono  int64  // nanoseconds since the ledger process started
	Boot  string
}

// AppendLeaf writes the record: the leading fields, then body, which is the
// rest of a JSON object from its first key to its closing brace.
func AppendLeaf(b []byte, l Leaf, body []byte) []byte {
	b = append(append(b, `{"v":1,"id":"`...), l.ID...)
	b = append(append(b, `","node":"`...), l.Node...)
	b = strconv.AppendUint(append(b, `","epoch":`...), l.Epoch, 10)
	b = strconv.AppendUint(append(b, `,"seq":`...), l.Seq, 10)
	b = hex.AppendEncode(append(b, `,"prev":"sha256:`...), l.Prev[:])
	b = append(append(b, `","t":{"wall":"`...), l.Wall...)
	b = strconv.AppendInt(append(b, `","mono_ns":`...), l.Mono, 10)
	if l.Boot != "" {
		b = append(append(b, `,"boot":"`...), l.Boot...)
		b = append(b, '"')
	}
	b = append(b, "},"...)
	return append(b, body...)
}

var errLeaf = errors.New("the record does not begin as version 1 does")

// ParseLeaf reads the leading fields and the number of bytes they take. It does
// not look at the rest.
func ParseLeaf(b []byte) (Leaf, int, error) {
	l, n, err := parseLeaf(b)
	if err != nil {
		return Leaf{}, 0, err
	}
	return Leaf{
		ID: string(l.id), Node: string(l.node), Epoch: l.epoch, Seq: l.seq, Prev: l.prev,
		Wall: string(l.wall), Mono: int64(l.mono), Boot: string(l.boot),
	}, n, nil
}

// rawLeaf is a Leaf whose strings are still in the record: a scan makes none.
type rawLeaf struct {
	id, node, wall, boot []byte
	epoch, seq, mono     uint64
	prev                 tlog.Hash
}

func parseLeaf(b []byte) (l rawLeaf, n int, err error) {
	p := cutter{rest: b}
	p.lit(`{"v":1,"id":"`)
	l.id = p.str()
	p.lit(`,"node":"`)
	l.node = p.str()
	p.lit(`,"epoch":`)
	l.epoch = p.num()
	p.lit(`,"seq":`)
	l.seq = p.num()
	p.lit(`,"prev":"sha256:`)
	p.hash(&l.prev)
	p.lit(`","t":{"wall":"`)
	l.wall = p.str()
	p.lit(`,"mono_ns":`)
	l.mono = p.num()
	if p.peek(`,"boot":"`) {
		p.lit(`,"boot":"`)
		l.boot = p.str()
	}
	p.lit("},")
	if p.bad || len(p.rest) < 2 || p.rest[0] != '"' || b[len(b)-1] != '}' {
		return rawLeaf{}, 0, errLeaf
	}
	return l, len(b) - len(p.rest), nil
}

// cutter takes a record's start apart; after the first mismatch it is bad and
// stays so.
type cutter struct {
	rest []byte
	bad  bool
}

func (p *cutter) peek(s string) bool { return len(p.rest) >= len(s) && string(p.rest[:len(s)]) == s }

func (p *cutter) lit(s string) {
	if p.bad = p.bad || !p.peek(s); !p.bad {
		p.rest = p.rest[len(s):]
	}
}

// str reads to the closing quote; the ledger's own strings hold no escapes.
func (p *cutter) str() []byte {
	i := bytes.IndexByte(p.rest, '"')
	if p.bad = p.bad || i < 0; p.bad {
		return nil
	}
	s := p.rest[:i]
	p.bad = bytes.IndexByte(s, '\\') >= 0
	p.rest = p.rest[i+1:]
	return s
}

func (p *cutter) num() uint64 {
	var n uint64
	i := 0
	for ; i < len(p.rest) && i < 19 && p.rest[i] >= '0' && p.rest[i] <= '9'; i++ {
		n = n*10 + uint64(p.rest[i]-'0')
	}
	if p.bad = p.bad || i == 0 || i > 1 && p.rest[0] == '0'; p.bad {
		return 0
	}
	p.rest = p.rest[i:]
	return n
}

func (p *cutter) hash(h *tlog.Hash) {
	if p.bad = p.bad || len(p.rest) < 64; p.bad {
		return
	}
	for i := range h {
		hi, lo := nibble(p.rest[2*i]), nibble(p.rest[2*i+1])
		p.bad = p.bad || hi|lo > 15
		h[i] = hi<<4 | lo
	}
	p.rest = p.rest[64:]
}

// nibble is the value of a lower-case hexadecimal digit; more than 15 for
// anything else, upper case included: a hash is written in one way only.
func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}
