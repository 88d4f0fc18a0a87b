package policy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	countersign "github.com/countersign/countersign"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxSource bounds a document: a policy is written by people.
const maxSource = 1 << 20

func itoa(n int) string { return strconv.Itoa(n) }

func invalid(thing, remedy, format string, args ...any) error {
	return &countersign.Error{
		Code: countersign.EInvalid, Op: "read policy", Thing: thing,
		Remedy: remedy, Err: fmt.Errorf(format, args...),
	}
}

// Parse reads one layer from YAML, strictly: an unknown field, a key given
// twice, a wrong type, an anchor, alias or tag is an error. name is what
// messages call the file. Every error is a *countersign.Error of code EInvalid
// whose Thing is "name:line:column".
func Parse(layer Layer, name string, src []byte) (*Document, error) {
	d := &Document{Layer: layer, Name: name}
	if err := d.parse(src); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *Document) parse(src []byte) error {
	if len(src) > maxSource {
		return d.fault(Pos{}, "split it or remove what is not policy", "%d bytes are more than a policy may have (%d)", len(src), maxSource)
	}
	if !utf8.Valid(src) {
		return d.fault(Pos{}, "save it as UTF-8", "not UTF-8")
	}
	root, err := d.tree(src)
	if err != nil {
		return err
	}
	if root == nil {
		return d.fault(Pos{Line: 1, Column: 1}, "begin with: version: 1", "no version")
	}
	r := reader{d: d}
	r.document(root)
	return r.err
}

// tree parses YAML. The parser is third-party code that meets a stranger's
// bytes, so a panic in it is an error of the input.
func (d *Document) tree(src []byte) (root ast.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			root, err = nil, d.fault(Pos{Line: 1, Column: 1}, "write plain YAML", "not YAML: %v", p)
		}
	}()
	file, err := parser.ParseBytes(src, 0)
	if err != nil {
		return nil, d.syntax(err)
	}
	for _, doc := range file.Docs {
		if doc == nil || doc.Body == nil {
			continue
		}
		if root != nil {
			return nil, d.fault(posOf(doc.Body), "keep one document in a file", "a second YAML document")
		}
		root = doc.Body
	}
	return root, nil
}

func (d *Document) syntax(err error) error {
	at := Pos{Line: 1, Column: 1}
	msg := err.Error()
	var ye yaml.Error
	if errors.As(err, &ye) {
		msg = ye.GetMessage()
		if tk := ye.GetToken(); tk != nil && tk.Position != nil {
			at = Pos{Line: tk.Position.Line, Column: tk.Position.Column}
		}
	}
	msg, _, _ = strings.Cut(msg, "\n")
	return d.fault(at, "correct the YAML at this place", "%s", msg)
}

func posOf(n ast.Node) Pos {
	if n == nil {
		return Pos{}
	}
	// A mapping's own token is the ':' of its first pair; the key is what a
	// person looks for.
	switch m := n.(type) {
	case *ast.MappingNode:
		if !m.IsFlowStyle && len(m.Values) > 0 {
			return posOf(m.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return posOf(m.Key)
	}
	tk := n.GetToken()
	if tk == nil || tk.Position == nil {
		return Pos{}
	}
	return Pos{Line: tk.Position.Line, Column: tk.Position.Column}
}

// reader walks the tree; it keeps the first error and does nothing after it.
type reader struct {
	d   *Document
	err error
}

func (r *reader) fail(n ast.Node, remedy, format string, args ...any) {
	r.failAt(posOf(n), remedy, format, args...)
}

func (r *reader) failAt(p Pos, remedy, format string, args ...any) {
	if r.err == nil {
		r.err = r.d.fault(p, remedy, format, args...)
	}
}

// field is one key of a mapping: its name and what reads its value.
type field struct {
	name string
	read func(ast.Node)
}

// mapping reads a mapping whose keys are exactly among fields.
func (r *reader) mapping(n ast.Node, what string, fields []field) {
	seen := map[string]Pos{}
	for _, kv := range r.pairs(n, what) {
		key, ok := kv.Key.(*ast.StringNode)
		if !ok {
			r.fail(kv.Key, "write a plain key", "%s: a key must be a plain word", what)
			return
		}
		if p, dup := seen[key.Value]; dup {
			r.fail(kv.Key, "keep one of the two", "%s: %q is given twice, first on line %d", what, key.Value, p.Line)
			return
		}
		seen[key.Value] = posOf(kv.Key)
		f := find(fields, key.Value)
		if f == nil {
			r.fail(kv.Key, "fields here: "+names(fields), "%s: unknown field %q", what, key.Value)
			return
		}
		f.read(kv.Value)
		if r.err != nil {
			return
		}
	}
}

func (r *reader) pairs(n ast.Node, what string) []*ast.MappingValueNode {
	if r.err != nil {
		return nil
	}
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}
	}
	r.fail(n, "write it as key: value", "%s: must be a mapping, is %s", what, kindOf(n))
	return nil
}

func find(fields []field, name string) *field {
	for i := range fields {
		if fields[i].name == name {
			return &fields[i]
		}
	}
	return nil
}

func names(fields []field) string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.name
	}
	return strings.Join(out, ", ")
}

func kindOf(n ast.Node) string {
	if n == nil {
		return "empty"
	}
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.NullNode:
		return "empty"
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return "an anchor or alias, which a policy does not use"
	case *ast.TagNode:
		return "a tag, which a policy does not use"
	}
	return "a number or boolean"
}

func (r *reader) list(n ast.Node, what string) []ast.Node {
	if r.err != nil {
		return nil
	}
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		r.fail(n, "write it as a list: [a, b]", "%s: must be a list, is %s", what, kindOf(n))
		return nil
	}
	return s.Values
}

func (r *reader) text(n ast.Node, what string) string {
	if r.err != nil {
		return ""
	}
	var s string
	switch t := n.(type) {
	case *ast.StringNode:
		s = t.Value
	case *ast.LiteralNode:
		s = strings.TrimRight(t.Value.Value, "\n")
	default:
		r.fail(n, "write it in quotes", "%s: must be text, is %s", what, kindOf(n))
		return ""
	}
	if strings.ContainsRune(s, 0) {
		r.fail(n, "remove it", "%s: holds a NUL byte", what)
	}
	return s
}

func (r *reader) texts(n ast.Node, what string) []string {
	out := []string{}
	for _, v := range r.list(n, what) {
		out = append(out, r.text(v, what))
	}
	return out
}

func (r *reader) number(n ast.Node, what string, lo, hi int) int {
	if r.err != nil {
		return 0
	}
	if i, ok := n.(*ast.IntegerNode); ok {
		if v, err := strconv.Atoi(fmt.Sprint(i.Value)); err == nil && v >= lo && v <= hi {
			return v
		}
	}
	r.fail(n, "", "%s: must be a whole number from %d to %d", what, lo, hi)
	return 0
}

func (r *reader) boolean(n ast.Node, what string) bool {
	if r.err != nil {
		return false
	}
	b, ok := n.(*ast.BoolNode)
	if !ok {
		r.fail(n, "write true or false", "%s: must be true or false, is %s", what, kindOf(n))
		return false
	}
	return b.Value
}

// oneOf reads one of some words.
func (r *reader) oneOf(n ast.Node, what string, words ...string) string {
	s := r.text(n, what)
	if r.err != nil {
		return ""
	}
	for _, w := range words {
		if s == w {
			return s
		}
	}
	r.fail(n, "one of: "+strings.Join(words, ", "), "%s: unknown value %q", what, s)
	return ""
}
