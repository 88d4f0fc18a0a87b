package screen

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/countersign/countersign/gateway/scan"
	"github.com/countersign/countersign/gateway/wire"
)

// Request searches one request.
type Request struct {
	Scanner *scan.Scanner
	Rules   Rules
	Said    *Said // what the provider has said before; nil: nothing
	Holder  string
	Found   Found
	// Early says that a secret blocks that an answer may hold which is not searched
	// yet: after Said.Wait it is known.
	Early bool
	// Sent are the edits that take secrets out of what is sent, Kept those that
	// take the others out of what is kept.
	Sent, Kept []wire.Edit

	budget *scan.Budget
}

// Body searches every string of a body (nil: there is none), and goes no further
// than the first that blocks. An error is that of a scan that did not end.
func (r *Request) Body(w wire.Wire, rt wire.Route, doc *wire.Doc) (err error) {
	if doc == nil {
		return nil
	}
	r.budget = scan.NewBudget(len(doc.Bytes()))
	w.Walk(rt, doc, func(s wire.String) bool {
		err = r.text(doc.Bytes()[s.From:s.To], s)
		return err == nil && r.Found.Blocked == nil
	})
	return err
}

// Beside searches what leaves beside the body: no edit is made there.
func (r *Request) Beside(path, query string, headers map[string][]string) error {
	if q, err := url.QueryUnescape(query); err == nil {
		query = q
	}
	texts := []string{path, query}
	for name, values := range headers {
		texts = append(append(texts, name), values...)
	}
	b := scan.NewBudget(0)
	for _, text := range texts {
		found, err := r.Scanner.Outside(text, b)
		if err != nil {
			return err
		}
		for _, f := range found {
			r.rule(f, "the address or a header", true)
		}
	}
	return nil
}

// rule asks policy about a finding; fixed says that no edit is possible, so that
// what should be redacted blocks.
func (r *Request) rule(f scan.Finding, place string, fixed bool) (word string) {
	word, by := r.Rules.Secret(f.Rule, f.Low, false)
	switch {
	case word != Redact || !fixed:
	case place == string(wire.Thinking) && r.said(f.Placeholder):
		word = Flag
	default:
		word = Block
		by.Reason = "it cannot be redacted there: " + by.Reason
	}
	r.Found.add(f, word, place, by)
	return word
}

func (r *Request) said(placeholder string) bool {
	said, may := r.Said.has(placeholder, r.Holder)
	r.Early = r.Early || !said && may
	return said
}

func (r *Request) text(raw []byte, s wire.String) error {
	if len(raw) < 8 {
		return nil
	}
	if s.Place == wire.Media && !mediaText(raw) {
		r.Found.unread += len(raw)
		return nil
	}
	found, err := r.Scanner.Block(raw, s.Text, r.budget)
	if err != nil || len(found) == 0 && !bytes.Contains(raw, []byte("[secret:")) {
		return err
	}
	_, forged := r.Scanner.Placeholders(s.Text())
	r.Found.forged += forged
	for i, p := range s.Spans(parts(found)) {
		e := wire.Edit{From: p[0], To: p[1], With: wire.Quote(found[i].Placeholder)}
		switch r.rule(found[i], string(s.Place), s.Fixed) {
		case Redact:
			r.Sent = append(r.Sent, e)
		case Flag:
			r.Kept = append(r.Kept, e)
		}
	}
	return nil
}

func parts(found []scan.Finding) [][2]int {
	out := make([][2]int, len(found))
	for i, f := range found {
		out[i] = [2]int{f.From, f.To}
	}
	return out
}

// mediaText reports whether an image or document is text in base64.
func mediaText(raw []byte) bool {
	text := string(raw[:min(len(raw), 400)])
	if _, data, ok := strings.Cut(text, ";base64,"); ok {
		text = data
	}
	head, err := base64.StdEncoding.DecodeString(text[:len(text)/4*4])
	return err != nil || utf8.Valid(head[:max(0, len(head)-utf8.UTFMax)]) && !strings.ContainsRune(string(head), 0)
}

// Replace returns a text with placeholders for what was found in it.
func Replace(text string, found []scan.Finding) string {
	var b strings.Builder
	last := 0
	for _, f := range found {
		b.WriteString(text[last:f.From] + f.Placeholder)
		last = f.To
	}
	return b.String() + text[last:]
}
