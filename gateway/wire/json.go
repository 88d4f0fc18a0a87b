package wire

import (
	"errors"
	"iter"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// Kind is what a JSON value is.
type Kind uint8

// The kinds of a value; None is a value that is not there.
const (
	None Kind = iota
	Object
	Array
	Text
	Number
	True
	False
	Null
	name // of an object's member
)

// A body is bounded in depth and in values: an agent's has some thousands.
const (
	maxDepth  = 500
	maxValues = 2 << 20
)

// node is one value: its bytes and where the next one beside it stands.
type node struct {
	from, to, next int32
	kind           Kind
	escaped        bool
}

// Doc is a JSON text (RFC 8259) that was read strictly, with the byte range of
// each value. It holds on to the bytes, which must not change.
type Doc struct {
	src   []byte
	nodes []node
}

// Parse reads one JSON text. Bytes after its end, a byte order mark and all that
// RFC 8259 does not know are errors.
func Parse(src []byte) (*Doc, error) {
	d := &Doc{}
	if err := d.parse(src); err != nil {
		return nil, err
	}
	return d, nil
}

// parse reads another text into the Doc: what was read before is no more.
func (d *Doc) parse(src []byte) error {
	if len(src) > 1<<30 {
		return errors.New("the body is too large")
	}
	if d.nodes == nil {
		d.nodes = make([]node, 0, min(len(src)/48+8, 64)) // most of a long prompt is text
	}
	p := parser{src: src, nodes: d.nodes[:0]}
	p.space()
	err := p.value(0)
	if err == nil {
		if p.space(); p.i != len(src) {
			err = errors.New("bytes after the end of the body")
		}
	}
	d.src, d.nodes = src, p.nodes
	return err
}

// ParseObject is Parse for a text that must be an object.
func ParseObject(src []byte) (*Doc, error) {
	p := parser{src: src}
	p.space()
	if p.peek() != '{' {
		return nil, errors.New("the body is not a JSON object")
	}
	return Parse(src)
}

// Bytes returns the text as it was read.
func (d *Doc) Bytes() []byte { return d.src }

// Root returns the outermost value; of a nil Doc, a value that is not there.
func (d *Doc) Root() Value {
	if d == nil {
		return Value{}
	}
	return Value{d, 0}
}

// Value is one value of a Doc. The zero Value is not there: it has no members,
// no items and an empty text, so that paths can be asked without looking.
type Value struct {
	d *Doc
	i int32
}

// Kind returns what the value is.
func (v Value) Kind() Kind {
	if v.d == nil {
		return None
	}
	return v.d.nodes[v.i].kind
}

// Given reports whether the value is there and not null.
func (v Value) Given() bool { k := v.Kind(); return k != None && k != Null }

// Range returns the value's bytes in the text, quotes included.
func (v Value) Range() (from, to int) {
	if v.d == nil {
		return 0, 0
	}
	n := v.d.nodes[v.i]
	return int(n.from), int(n.to)
}

// Raw returns the value as it is written.
func (v Value) Raw() []byte {
	if v.d == nil {
		return nil
	}
	from, to := v.Range()
	return v.d.src[from:to]
}

// Text returns a string decoded; empty for all else.
func (v Value) Text() string {
	raw, plain := v.inside()
	if plain {
		return string(raw)
	}
	return Decode(raw)
}

// Borrow is Text without a copy where the text stands as it is in the Doc's bytes: it
// is good as long as nobody changes those, and for whoever keeps nothing of it.
func (v Value) Borrow() string {
	raw, plain := v.inside()
	if plain {
		return unsafe.String(unsafe.SliceData(raw), len(raw))
	}
	return Decode(raw)
}

// inside is what stands between the quotes; plain says that it means itself.
func (v Value) inside() (raw []byte, plain bool) {
	if v.Kind() != Text && v.Kind() != name {
		return nil, true
	}
	n := v.d.nodes[v.i]
	raw = v.d.src[n.from+1 : n.to-1]
	return raw, !n.escaped && utf8.Valid(raw)
}

// Int returns a number without fraction that fits; ok is false for all else.
func (v Value) Int() (n int64, ok bool) {
	if v.Kind() != Number {
		return 0, false
	}
	raw := v.Raw()
	if len(raw) > 18 {
		return 0, false
	}
	negative := raw[0] == '-'
	if negative {
		raw = raw[1:]
	}
	for _, c := range raw {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if negative {
		n = -n
	}
	return n, true
}

// Members yields the names and values of an object, in order, repeated names
// too.
func (v Value) Members() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for k, val := range v.pairs() {
			if !yield(k.Text(), val) {
				return
			}
		}
	}
}

func (v Value) pairs() iter.Seq2[Value, Value] {
	return func(yield func(k, val Value) bool) {
		if v.Kind() != Object {
			return
		}
		for i, end := v.i+1, v.d.nodes[v.i].next; i < end; i = v.d.nodes[i+1].next {
			if !yield(Value{v.d, i}, Value{v.d, i + 1}) {
				return
			}
		}
	}
}

// Items yields the values of an array, in order.
func (v Value) Items() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.Kind() != Array {
			return
		}
		for i, end := v.i+1, v.d.nodes[v.i].next; i < end; i = v.d.nodes[i].next {
			if !yield(Value{v.d, i}) {
				return
			}
		}
	}
}

// Get returns the member of this very name, the last one if it is repeated.
// Path elements follow one another.
func (v Value) Get(path ...string) Value {
	for _, want := range path {
		var found Value
		for k, val := range v.pairs() {
			if k.is(want) {
				found = val
			}
		}
		v = found
	}
	return v
}

// is compares a name without making a string of it.
func (v Value) is(want string) bool {
	n := v.d.nodes[v.i]
	if n.escaped {
		return v.Borrow() == want
	}
	return string(v.d.src[n.from+1:n.to-1]) == want
}

// Once reports the first of the names that an object says twice or spells in
// other case: readers differ on what such an object means.
func (v Value) Once(names ...string) error {
	var seen [64]bool
	for k := range v.pairs() {
		n := v.d.nodes[k.i]
		for i, want := range names {
			// Folding may change the length only by letters outside ASCII.
			if int(n.to-n.from)-2 < len(want) || !strings.EqualFold(k.Borrow(), want) {
				continue
			}
			if seen[i&63] || !k.is(want) {
				return errors.New(`the body says "` + want + `" twice, or spells it otherwise`)
			}
			seen[i&63] = true
		}
	}
	return nil
}
