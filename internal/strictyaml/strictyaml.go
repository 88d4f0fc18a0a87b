// Package strictyaml reads YAML that people write as configuration, strictly: a
// key given twice, an unknown field, a wrong type, an anchor, an alias or a tag
// is an error with its line and column. It is pure.
package strictyaml

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// MaxSource bounds a file, in bytes, and maxDepth the brackets in it: the parser
// takes quadratic time, and a stack, for what no person writes.
const (
	MaxSource = 128 << 10
	maxDepth  = 100
)

// Pos is a place in a file, counted from 1; the zero Pos is nowhere.
type Pos struct{ Line, Column int }

// Fault says what is wrong, where, and what mends it.
type Fault struct {
	Pos    Pos
	Remedy string
	Msg    string
}

var begin = Pos{Line: 1, Column: 1}

// Parse parses one document; an empty one gives a nil node. The parser below is
// third-party code that meets a stranger's bytes, so a panic in it is an error
// of the input.
func Parse(src []byte) (root ast.Node, err *Fault) {
	if len(src) > MaxSource {
		return nil, &Fault{Remedy: "split it", Msg: fmt.Sprintf("%d bytes are more than such a file may have (%d)", len(src), MaxSource)}
	}
	if !utf8.Valid(src) {
		return nil, &Fault{Remedy: "save it as UTF-8", Msg: "not UTF-8"}
	}
	for i, depth := 0, 0; i < len(src); i++ {
		switch src[i] {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(0, depth-1)
		}
		if depth > maxDepth {
			return nil, &Fault{Pos: begin, Remedy: "write plain YAML", Msg: "brackets nested too deeply"}
		}
	}
	defer func() {
		if p := recover(); p != nil {
			root, err = nil, &Fault{Pos: begin, Remedy: "write plain YAML", Msg: fmt.Sprintf("not YAML: %v", p)}
		}
	}()
	file, perr := parser.ParseBytes(src, 0)
	if perr != nil {
		return nil, syntax(perr)
	}
	for _, doc := range file.Docs {
		if doc == nil || doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		if root != nil {
			return nil, &Fault{Pos: PosOf(doc.Body), Remedy: "keep one document in a file", Msg: "a second YAML document"}
		}
		root = doc.Body
	}
	return root, nil
}

func syntax(err error) *Fault {
	at, msg := begin, err.Error()
	var ye yaml.Error
	if errors.As(err, &ye) {
		msg = ye.GetMessage()
		if tk := ye.GetToken(); tk != nil && tk.Position != nil {
			at = Pos{Line: tk.Position.Line, Column: tk.Position.Column}
		}
	}
	msg, _, _ = strings.Cut(msg, "\n")
	return &Fault{Pos: at, Remedy: "correct the YAML at this place", Msg: msg}
}

// PosOf is where a node begins.
func PosOf(n ast.Node) Pos {
	if n == nil {
		return Pos{}
	}
	// A mapping's own token is the ':' of its first pair; the key is what a
	// person looks for.
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return PosOf(m.Values[0].Key)
	}
	if tk := n.GetToken(); tk != nil && tk.Position != nil {
		return Pos{Line: tk.Position.Line, Column: tk.Position.Column}
	}
	return Pos{}
}

// Reader walks the tree; it keeps the first error and does nothing after it.
type Reader struct {
	Err *Fault
}

// Fail keeps an error at a node.
func (r *Reader) Fail(n ast.Node, remedy, format string, args ...any) {
	if r.Err == nil {
		r.Err = &Fault{Pos: PosOf(n), Remedy: remedy, Msg: fmt.Sprintf(format, args...)}
	}
}

// Field is one key of a mapping: its name and what reads its value.
type Field struct {
	Name string
	Read func(ast.Node)
}

// Mapping reads a mapping whose keys are exactly among fields.
func (r *Reader) Mapping(n ast.Node, what string, fields []Field) {
	m, ok := as[*ast.MappingNode](r, n, what, "a mapping", "write it as key: value")
	if !ok {
		return
	}
	seen := map[string]Pos{}
	for _, kv := range m.Values {
		name := kv.Key.String()
		if k, ok := kv.Key.(*ast.StringNode); ok {
			name = k.Value
		}
		i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == name })
		first, dup := seen[name]
		seen[name] = PosOf(kv.Key)
		switch {
		case dup:
			r.Fail(kv.Key, "keep one of the two", "%s: %q is given twice, first on line %d", what, name, first.Line)
		case i < 0:
			r.Fail(kv.Key, "fields here: "+names(fields), "%s: unknown field %q", what, name)
		default:
			fields[i].Read(kv.Value)
		}
		if r.Err != nil {
			return
		}
	}
}

func names(fields []Field) string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.Name
	}
	return strings.Join(out, ", ")
}

func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case nil, *ast.NullNode:
		return "empty"
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
		return "an anchor, alias or tag, which has no place here"
	}
	return "a number or boolean"
}

func as[T ast.Node](r *Reader, n ast.Node, what, form, remedy string) (t T, ok bool) {
	if r.Err != nil {
		return t, false
	}
	if t, ok = n.(T); !ok {
		r.Fail(n, remedy, "%s: must be %s, is %s", what, form, kindOf(n))
	}
	return t, ok
}

// List reads a list.
func (r *Reader) List(n ast.Node, what string) []ast.Node {
	s, ok := as[*ast.SequenceNode](r, n, what, "a list", "write it as a list: [a, b]")
	if !ok {
		return nil
	}
	return s.Values
}

// Text reads text, never a number or boolean.
func (r *Reader) Text(n ast.Node, what string) string {
	if r.Err != nil {
		return ""
	}
	var s string
	switch t := n.(type) {
	case *ast.StringNode:
		s = t.Value
	case *ast.LiteralNode:
		s = strings.TrimRight(t.Value.Value, "\n")
	default:
		r.Fail(n, "write it in quotes", "%s: must be text, is %s", what, kindOf(n))
		return ""
	}
	if strings.ContainsRune(s, 0) {
		r.Fail(n, "remove it", "%s: holds a NUL byte", what)
	}
	return s
}

// Number reads a whole number from lo to hi.
func (r *Reader) Number(n ast.Node, what string, lo, hi int) int {
	i, ok := as[*ast.IntegerNode](r, n, what, "a whole number", "write a whole number")
	if !ok {
		return 0
	}
	v, err := strconv.Atoi(fmt.Sprint(i.Value))
	if err != nil || v < lo || v > hi {
		r.Fail(n, "", "%s: must be a whole number from %d to %d", what, lo, hi)
	}
	return v
}

// Boolean reads true or false.
func (r *Reader) Boolean(n ast.Node, what string) bool {
	b, ok := as[*ast.BoolNode](r, n, what, "true or false", "write true or false")
	return ok && b.Value
}

// OneOf reads one of some words.
func (r *Reader) OneOf(n ast.Node, what string, words ...string) string {
	s := r.Text(n, what)
	if r.Err != nil {
		return ""
	}
	if slices.Contains(words, s) {
		return s
	}
	r.Fail(n, "one of: "+strings.Join(words, ", "), "%s: unknown value %q", what, s)
	return ""
}
