package wire

import (
	"encoding/json"
	"iter"
	"strings"
	"unicode/utf8"

	countersign "github.com/countersign/countersign"
)

// Counts is what an answer says of tokens: the last value of each field, as
// wires repeat them.
type Counts struct {
	Input, Output, CacheRead, CacheWrite, Reasoning int64
	// CacheWriteLong is the part of CacheWrite that is kept for an hour.
	CacheWriteLong int64
	// Said tells zero from not said.
	Said bool
}

// Set takes a number where there is one.
func (c *Counts) Set(dst *int64, v Value) {
	if n, ok := v.Int(); ok && n >= 0 {
		*dst, c.Said = n, true
	}
}

// Call is one call of a tool by the model.
type Call struct {
	ID    string `json:"id,omitempty"`
	Name  string `json:"name"`
	Input string `json:"input"` // as the wire carries it: JSON, or text
}

// Answer is what an answer said, streamed or not.
type Answer struct {
	Usage    *countersign.Usage // nil if nothing was said, which is not zero
	Counts   Counts             // with the classes that Usage does not have
	Served   string             // the model that answered
	Stop     string             // why it stopped, in the vendor's word
	Tier     string             // the service tier it was charged as
	Text     string
	Thinking string
	Calls    []Call
	// Clipped says that Text, Thinking or Calls are not all that was said.
	Clipped bool
}

// Transcript is what was said as JSON, put together; nil if nothing was said.
func (a *Answer) Transcript() []byte {
	if a.Text == "" && a.Thinking == "" && len(a.Calls) == 0 {
		return nil
	}
	b, err := json.Marshal(struct {
		Text     string `json:"text,omitempty"`
		Thinking string `json:"thinking,omitempty"`
		Calls    []Call `json:"calls,omitempty"`
		Clipped  bool   `json:"clipped,omitempty"`
	}{a.Text, a.Thinking, a.Calls, a.Clipped})
	if err != nil {
		return nil // strings always marshal
	}
	return b
}

// maxSaid bounds what is kept of an answer's words; the bytes themselves are
// kept elsewhere.
const maxSaid = 4 << 20

// Tally reads an answer's bytes beside the stream.
type Tally struct {
	*Splitter
	Counts             Counts
	Served, Stop, Tier string
	// Heard, where it is set, is told each piece of the text, the thinking and the
	// input of each tool call, under a name for each of them.
	Heard func(name, piece string)

	text, thinking words
	calls          []*building
	size           int
	clipped        bool
	doc            Doc  // of one event after the other
	whole          bool // it is a JSON text
	settle         func(*Counts)
}

// words are put together of what is said. A text that is all and stays is not copied.
type words struct {
	all string
	b   strings.Builder
}

func (w *words) add(s string, stays bool) {
	if s == "" {
		return
	}
	if stays && w.len() == 0 {
		w.all = s
		return
	}
	w.b.WriteString(w.all)
	w.all = ""
	w.b.WriteString(s)
}

func (w *words) len() int { return len(w.all) + w.b.Len() }

func (w *words) String() string {
	if w.all != "" {
		return w.all
	}
	return w.b.String()
}

type building struct {
	key   string
	call  Call
	input strings.Builder
}

// NewTally returns a tally that hands each JSON text of the answer to take, which
// keeps no Value of it.
// settle makes the vendor's counts into ours at the end: every token in one
// class, but reasoning, which is a part of the output; nil leaves them.
func NewTally(media string, take func(t *Tally, event Value), settle func(*Counts)) *Tally {
	t := &Tally{settle: settle}
	t.Splitter = NewSplitter(media, func(data []byte) {
		if t.whole = t.doc.parse(data) == nil; t.whole {
			take(t, t.doc.Root())
		}
	})
	return t
}

// Last takes a text where there is one.
func Last(dst *string, v Value) {
	if s := v.Text(); s != "" {
		*dst = s
	}
}

func (t *Tally) room(s string) string {
	if n := maxSaid - t.size; len(s) > n {
		s, t.clipped = s[:n], true
	}
	t.size += len(s)
	return s
}

// Say adds to the answer's text. Of a stream, whose events are read in the same room
// one after the other, it keeps nothing of s.
func (t *Tally) Say(s string) {
	t.heard("text", s)
	t.text.add(t.room(s), !t.Streams())
}

// Think is Say for the thinking.
func (t *Tally) Think(s string) {
	t.heard("thinking", s)
	t.thinking.add(t.room(s), !t.Streams())
}

func (t *Tally) heard(name, piece string) {
	if t.Heard != nil && piece != "" {
		t.Heard(name, piece)
	}
}

// Call adds to the tool call that the wire knows by key: what is empty adds
// nothing.
func (t *Tally) Call(key, id, name, input string) {
	t.heard("call "+key, input)
	b := t.called(key)
	if b == nil {
		if len(t.calls) >= 1024 {
			t.clipped = true
			return
		}
		b = &building{key: key}
		t.calls = append(t.calls, b)
	}
	if id != "" {
		b.call.ID = t.room(id)
	}
	if name != "" {
		b.call.Name = t.room(name)
	}
	b.input.WriteString(t.room(input))
}

// Called reports whether the call has input already, so that a wire that says
// it twice (piece by piece, then whole) is heard once.
func (t *Tally) Called(key string) bool {
	b := t.called(key)
	return b != nil && b.input.Len() > 0
}

func (t *Tally) called(key string) *building {
	// The newest is asked for most.
	for i := len(t.calls) - 1; i >= 0; i-- {
		if t.calls[i].key == key {
			return t.calls[i]
		}
	}
	return nil
}

// Calling yields the names of the tools that are called so far.
func (t *Tally) Calling() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, b := range t.calls {
			if !yield(b.call.Name) {
				return
			}
		}
	}
}

// Whole is an answer of one JSON text, as it was read at its end; nil for any other.
func (t *Tally) Whole() *Doc {
	if t.Streams() || !t.whole {
		return nil
	}
	return &t.doc
}

// Said reports whether any text was said.
func (t *Tally) Said() bool { return t.text.len() > 0 }

// Thought reports whether any thinking was said.
func (t *Tally) Thought() bool { return t.thinking.len() > 0 }

// End takes the rest of the bytes and returns what the answer said.
func (t *Tally) End() Answer {
	t.Splitter.End()
	c := t.Counts
	if t.settle != nil {
		t.settle(&c)
	}
	a := Answer{
		Counts: c, Served: t.Served, Stop: t.Stop, Tier: t.Tier, Clipped: t.clipped,
		Text: valid(t.text.String()), Thinking: valid(t.thinking.String()),
	}
	if c.Said {
		a.Usage = &countersign.Usage{Input: c.Input, Output: c.Output, CacheRead: c.CacheRead, CacheWrite: c.CacheWrite, Reasoning: c.Reasoning}
	}
	for _, b := range t.calls {
		b.call.Input = valid(b.input.String())
		a.Calls = append(a.Calls, b.call)
	}
	return a
}

// valid is strings.ToValidUTF8, which goes from character to character, where needed.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
