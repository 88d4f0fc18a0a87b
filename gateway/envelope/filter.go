package envelope

import "bytes"

// Filter blanks a provider's key in an answer, should a provider echo it.
// The length stays, so that no framing changes. It holds back bytes only while
// they could be the beginning of the key.
type Filter struct {
	key  []byte
	held []byte
}

// NewFilter returns a filter of a key; empty: it lets everything through.
func NewFilter(key string) *Filter { return &Filter{key: []byte(key)} }

// Next takes bytes and returns those that may go on.
func (f *Filter) Next(b []byte) []byte {
	// A short key would be found in ordinary text; no vendor has one.
	if len(f.key) < 8 || len(b) == 0 {
		return b
	}
	all := append(f.held, b...)
	for i := bytes.Index(all, f.key); i >= 0; i = bytes.Index(all, f.key) {
		for j := range f.key {
			all[i+j] = '*'
		}
	}
	n := min(len(f.key)-1, len(all))
	for ; n > 0; n-- {
		if bytes.HasPrefix(f.key, all[len(all)-n:]) {
			break
		}
	}
	out := append([]byte(nil), all[:len(all)-n]...)
	f.held = append([]byte(nil), all[len(all)-n:]...)
	return out
}

// Final returns out and what was held back.
func (f *Filter) Final(out []byte) []byte {
	out = append(append([]byte(nil), out...), f.held...)
	f.held = nil
	return out
}

// Blank returns b without the key.
func Blank(key string, b []byte) []byte {
	f := NewFilter(key)
	return f.Final(f.Next(b))
}
