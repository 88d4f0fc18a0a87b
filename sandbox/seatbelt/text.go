package seatbelt

import (
	"errors"
	"path"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/fold"
)

// form is one expression of the language: a word, a string or a list.
type form struct {
	word, text string
	list       []form
	kind       kind
}

type kind uint8

const (
	isList kind = iota
	isWord
	isText
)

func word(s string) form         { return form{kind: isWord, word: s} }
func text(s string) form         { return form{kind: isText, text: s} }
func list(all ...form) form      { return form{list: all} }
func call(f string, a form) form { return list(word(f), a) }

// each makes a filter of every string.
func each(filter string, all []string) []form {
	out := make([]form, len(all))
	for i, s := range all {
		out[i] = call(filter, text(s))
	}
	return out
}

// either is a filter that holds where one of several does.
func either(all []form) form {
	if len(all) == 1 {
		return all[0]
	}
	return list(append([]form{word("require-any")}, all...)...)
}

func not(f form) form         { return call("require-not", f) }
func both(all ...form) form   { return list(append([]form{word("require-all")}, all...)...) }
func regexes(s []string) form { return either(each("regex", s)) }

// write appends the form. Long lists have an item a line.
func (f form) write(b *strings.Builder, indent string) {
	switch f.kind {
	case isWord:
		b.WriteString(f.word)
		return
	case isText:
		b.WriteString(quote(f.text))
		return
	}
	lists := 0
	for _, x := range f.list {
		if x.kind == isList {
			lists++
		}
	}
	b.WriteByte('(')
	for i, x := range f.list {
		switch {
		case i == 0:
		case x.kind == isList && (lists > 1 || len(x.list) > 2):
			b.WriteString("\n" + indent + "  ")
		default:
			b.WriteByte(' ')
		}
		x.write(b, indent+"  ")
	}
	b.WriteByte(')')
}

// quote is a string as the language reads it, which is Scheme: a backslash takes the
// next character as it is. Nothing below a space gets here (see clean and Profile).
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// printable reports a string that may stand in a profile at all.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// clean refuses a path that a profile cannot name, or that is not what the kernel says.
func clean(what, p string) error {
	if path.IsAbs(p) && path.Clean(p) == p && p != "/" && printable(p) {
		return nil
	}
	return &countersign.Error{
		Code: countersign.EInvalid, Op: "write a Seatbelt profile", Thing: what + " " + p, Err: errors.New("no profile can name this path"),
		Remedy: "give it absolute, resolved, and without control characters",
	}
}

const data = "/System/Volumes/Data"

// Root is an expression for a directory, from "^" to its own name, in whatever case,
// and by whichever of its names: of macOS's root volume, /var, /tmp and /etc are links
// into /private, and all of a user's own lies in /System/Volumes/Data as well.
func Root(dir string) string {
	dir = strings.TrimPrefix(dir, data)
	private := ""
	if short, is := firmlink(dir); is {
		dir, private = short, "(/private)?"
	}
	plain := strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, norm.NFC.String(dir))
	re, _ := fold.Regexp(plain, true)
	return "^(" + data + ")?" + private + re
}

// firmlink is the short name of what lies in /private, and whether p is there.
func firmlink(p string) (string, bool) {
	short := strings.TrimPrefix(p, "/private")
	for _, dir := range []string{"/var", "/tmp", "/etc"} {
		if short == dir || strings.HasPrefix(short, dir+"/") {
			return short, true
		}
	}
	return p, false
}

// names are a path's own name and the one through the link at the root.
func names(p string) []string {
	if short, is := firmlink(p); is {
		return []string{"/private" + short, short}
	}
	return []string{p}
}

func allNames(paths []string) []string {
	var out []string
	for _, p := range paths {
		out = append(out, names(p)...)
	}
	return out
}
