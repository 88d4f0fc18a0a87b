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
	var l Leaf
	p := cutter{rest: b}
	p.lit(`{"v":1,"id":"`)
	l.ID = p.str()
	p.lit(`,"node":"`)
	l.Node = p.str()
	p.lit(`,"epoch":`)
	l.Epoch = p.num()
	p.lit(`,"seq":`)
	l.Seq = p.num()
	p.lit(`,"prev":"sha256:`)
	l.Prev = p.hash()
	p.lit(`","t":{"wall":"`)
	l.Wall = p.str()
	p.lit(`,"mono_ns":`)
	l.Mono = int64(p.num())
	if p.peek(`,"boot":"`) {
		p.lit(`,"boot":"`)
		l.Boot = p.str()
	}
	p.lit("},")
	if p.bad || len(p.rest) < 2 || p.rest[0] != '"' || b[len(b)-1] != '}' {
		return Leaf{}, 0, errLeaf
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
func (p *cutter) str() string {
	i := bytes.IndexByte(p.rest, '"')
	if p.bad = p.bad || i < 0; p.bad {
		return ""
	}
	s := p.rest[:i]
	p.bad = bytes.IndexByte(s, '\\') >= 0
	p.rest = p.rest[i+1:]
	return string(s)
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

func (p *cutter) hash() (h tlog.Hash) {
	if p.bad = p.bad || len(p.rest) < 64; p.bad {
		return h
	}
	const lower = "0123456789abcdef"
	for i := range h {
		hi, lo := bytes.IndexByte([]byte(lower), p.rest[2*i]), bytes.IndexByte([]byte(lower), p.rest[2*i+1])
		if hi < 0 || lo < 0 {
			p.bad = true
			return h
		}
		h[i] = byte(hi<<4 | lo)
	}
	p.rest = p.rest[64:]
	return h
}
