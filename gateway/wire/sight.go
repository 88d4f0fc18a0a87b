package wire

import (
	"encoding/json"
	"iter"
)

// Sight collects, while a wire peeks at a request, what happens out of the
// gateway's sight, and the first thing that is wrong with the body.
type Sight struct {
	Request *Request
	Err     error
}

// Add notes a feature, once.
func (s *Sight) Add(kind, detail string) {
	for _, f := range s.Request.Features {
		if f.Kind == kind && f.Detail == detail {
			return
		}
	}
	s.Request.Features = append(s.Request.Features, Feature{Kind: kind, Detail: detail})
}

// Fail keeps the first error.
func (s *Sight) Fail(err error) {
	if s.Err == nil {
		s.Err = err
	}
}

// Entries yields the items of a list of models with their names.
func Entries(list Value, name func(Value) string) iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for v := range list.Items() {
			if !yield(name(v), v) {
				return
			}
		}
	}
}

// InFront is the edit that puts a prefix behind the first skip bytes of a text;
// none where the value is no text.
func InFront(v Value, skip int, prefix string) []Edit {
	if v.Kind() != Text {
		return nil
	}
	from, to := v.Range()
	s := String{From: from + 1, To: to - 1, v: v}
	at, _ := s.Span(skip, skip)
	return []Edit{{From: at, To: at, With: Quote(prefix)}}
}

// Envelope encodes an answer of the gateway itself, which is of strings and
// numbers and so always encodes.
func Envelope(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return []byte("{}")
	}
	return b
}
