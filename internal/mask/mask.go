// Package mask covers values that are known by their content: in a text, and in a
// stream in however many pieces it comes.
//
// It promises that none of them, nor a form of them (internal/forms), is in what it
// lets through, and that the rest of the text is untouched. Another encoding
// than those passes. It keeps the values in memory and touches nothing else.
package mask

import (
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/countersign/countersign/internal/forms"
)

// Min is the size of the shortest value that can be covered, in bytes: shorter ones
// stand in ordinary text by chance. A password in an address may be shorter.
const Min = 8

// minPart is the least size of what is covered besides.
const minPart = 6

// Mask is a set of values. The zero Mask has none; many goroutines may use it.
type Mask struct {
	mu    sync.RWMutex
	forms []form // the longest first
}

type form struct{ text, name string }

// Add has a value covered from now on; what is shown in its place is name. It
// reports whether it could: the value may be too short. The password of an address
// is covered by itself too.
func (m *Mask) Add(name, value string) bool {
	if len(value) < Min {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, part := range Parts(value) {
		m.add(name, part)
	}
	slices.SortStableFunc(m.forms, func(a, b form) int { return len(b.text) - len(a.text) })
	return true
}

// Parts are a value and what of it is a secret by itself: the password of an
// address, as written and as meant.
func Parts(value string) []string {
	out := []string{value}
	_, rest, ok := strings.Cut(value, "://")
	at := strings.LastIndexByte(rest, '@')
	if !ok || at < 0 {
		return out
	}
	_, pw, _ := strings.Cut(rest[:at], ":")
	if len(pw) < minPart {
		return out
	}
	out = append(out, pw)
	if plain, err := url.PathUnescape(pw); err == nil && len(plain) >= minPart && plain != pw {
		out = append(out, plain)
	}
	return out
}

func (m *Mask) add(name, value string) {
	forms.Of(value, func(text, _ string) {
		f := form{text, name}
		if len(text) >= minPart && !slices.ContainsFunc(m.forms, func(x form) bool { return x.text == text }) {
			m.forms = append(m.forms, f)
		}
	})
}

// span is where a value stands, by the first name found there.
type span struct {
	from, to int
	name     string
}

// spans are what must be covered of a text, in order, none over another.
func (m *Mask) spans(text string) []span {
	var all []span
	for _, f := range m.forms {
		for at := 0; ; {
			i := strings.Index(text[at:], f.text)
			if i < 0 {
				break
			}
			all = append(all, span{at + i, at + i + len(f.text), f.name})
			at += i + 1
		}
	}
	slices.SortStableFunc(all, func(a, b span) int { return a.from - b.from })
	var out []span
	for _, s := range all {
		if n := len(out); n > 0 && s.from < out[n-1].to {
			out[n-1].to = max(out[n-1].to, s.to)
		} else {
			out = append(out, s)
		}
	}
	return out
}

// String returns the text with every value covered.
func (m *Mask) String(text string) string {
	if m == nil {
		return text
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return cover(text, m.spans(text))
}

// Empty reports whether no value is known.
func (m *Mask) Empty() bool {
	if m == nil {
		return true
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.forms) == 0
}

// Any reports whether a text holds a value.
func (m *Mask) Any(text string) bool {
	if m == nil {
		return false
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return slices.ContainsFunc(m.forms, func(f form) bool { return strings.Contains(text, f.text) })
}

func cover(text string, spans []span) string {
	if len(spans) == 0 {
		return text
	}
	var b strings.Builder
	at := 0
	for _, s := range spans {
		b.WriteString(text[at:s.from])
		b.WriteString("‹lent " + s.name + "›")
		at = s.to
	}
	b.WriteString(text[at:])
	return b.String()
}

// held is the least place from which on a text must wait for what follows: there
// begins what may become a value, or a value that may yet grow into another.
func (m *Mask) held(text string, spans []span) int {
	from := len(text)
	for _, f := range m.forms {
		for i := max(0, len(text)-len(f.text)+1); i < from; i++ {
			if strings.HasPrefix(f.text, text[i:]) {
				from = i
			}
		}
	}
	for _, s := range spans {
		if s.from < from && s.to > from {
			from = s.from
		}
	}
	return from
}

// maxHeld bounds what a Writer keeps of a text that only repeats values.
const maxHeld = 1 << 20

// Writer covers the values of what is written to it.
type Writer struct {
	m    *Mask
	to   io.Writer
	held string
}

// NewWriter returns a Writer in front of to. Its Flush is the end.
func (m *Mask) NewWriter(to io.Writer) *Writer { return &Writer{m: m, to: to} }

// Write lets go what can be no part of a value.
func (w *Writer) Write(b []byte) (int, error) {
	text := w.held + string(b)
	w.m.mu.RLock()
	spans := w.m.spans(text)
	from := w.m.held(text, spans)
	w.m.mu.RUnlock()
	if len(text)-from > maxHeld {
		from = len(text)
	}
	w.held = text[from:]
	return len(b), w.put(text[:from], before(spans, from))
}

func before(spans []span, end int) []span {
	for i, s := range spans {
		if s.from >= end {
			return spans[:i]
		}
	}
	return spans
}

func (w *Writer) put(text string, spans []span) error {
	if text == "" {
		return nil
	}
	_, err := io.WriteString(w.to, cover(text, spans))
	return err
}

// Flush lets go what is held.
func (w *Writer) Flush() error {
	text := w.held
	w.held = ""
	w.m.mu.RLock()
	spans := w.m.spans(text)
	w.m.mu.RUnlock()
	return w.put(text, spans)
}
