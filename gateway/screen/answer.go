package screen

import (
	"bytes"
	"slices"

	"github.com/countersign/countersign/gateway/scan"
	"github.com/countersign/countersign/gateway/wire"
)

// Answer searches an answer before it is kept.
type Answer struct {
	Scanner *scan.Scanner
	Rules   Rules
	Found   Found

	budget *scan.Budget
	err    error
	dirty  bool
	known  int // findings before the bytes, which say the same once more
}

// Clear takes the secrets out of an answer: its words, and its bytes, raw, which
// are nil where they cannot be kept. What came in pieces (streams) is searched as
// it was said, put together, and where it holds a secret is kept as that alone. read
// is raw as it was read, if it was. An error is that of a scan that did not end: then
// no words are left.
func (a *Answer) Clear(said wire.Answer, raw []byte, streams bool, read *wire.Doc) (wire.Answer, []byte, error) {
	a.budget = scan.NewBudget(2 * len(raw))
	said.Text, said.Thinking = a.clear(said.Text, "answer"), a.clear(said.Thinking, string(wire.Thinking))
	said.Calls = slices.Clone(said.Calls)
	for i := range said.Calls {
		call := &said.Calls[i]
		call.Name, call.Input = a.clear(call.Name, string(wire.ToolCall)), a.clear(call.Input, string(wire.ToolCall))
	}
	a.known = len(a.Found.list)
	switch {
	case !streams:
		raw = a.body(raw, said, read)
	case a.dirty || len(a.look(string(raw), "answer")) > 0:
		raw = nil
	}
	if a.err != nil {
		said.Text, said.Thinking, said.Calls, raw = "", "", nil, nil
	}
	return said, raw, a.err
}

func (a *Answer) clear(text, place string) string { return Replace(text, a.look(text, place)) }

func (a *Answer) look(text, place string) []scan.Finding {
	if a.err != nil || text == "" {
		return nil
	}
	var found []scan.Finding
	found, a.err = a.Scanner.Text(text, a.budget)
	for _, f := range found {
		a.dirty = true
		if a.Found.has(f.Placeholder, a.known) {
			continue
		}
		word, by := a.Rules.Secret(f.Rule, f.Low, true)
		if word == Redact {
			word = Flag
		}
		a.Found.add(f, word, place, by)
	}
	return found
}

// body clears the strings of a body, or all of one that is no JSON. What was said
// and holds nothing is not searched again.
func (a *Answer) body(raw []byte, said wire.Answer, doc *wire.Doc) []byte {
	clean := !a.dirty
	if doc == nil || !bytes.Equal(doc.Bytes(), raw) {
		var err error
		if doc, err = wire.Parse(raw); err != nil {
			return []byte(a.clear(string(raw), "answer"))
		}
	}
	var edits []wire.Edit
	w := wire.Walker{Visit: func(s wire.String) bool {
		text := s.Text()
		if clean && (text == said.Text || text == said.Thinking) {
			return true
		}
		found := a.look(text, "answer")
		for i, p := range s.Spans(parts(found)) {
			edits = append(edits, wire.Edit{From: p[0], To: p[1], With: wire.Quote(found[i].Placeholder)})
		}
		return a.err == nil
	}}
	w.All(doc.Root(), wire.Other, false)
	out, err := wire.Apply(raw, edits...)
	if err != nil {
		return nil // two secrets within one character: nothing is kept
	}
	return out
}
