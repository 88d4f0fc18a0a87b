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

// Next takes bytes and returns those that may go on: b itself where nothing of the
// key is in it.
func (f *Filter) Next(b []byte) []byte {
	// A short key would be found in ordinary text; no vendor has one.
	if len(f.key) < 8 || len(b) == 0 {
		return b
	}
	if len(f.held) == 0 && !bytes.Contains(b, f.key) && f.begun(b) == 0 {
		return b
	}
	all := append(f.held, b...)
	for i := bytes.Index(all, f.key); i >= 0; i = bytes.Index(all, f.key) {
		for j := range f.key {
			all[i+j] = '*'
		}
	}
	n := f.begun(all)
	f.held = bytes.Clone(all[len(all)-n:])
	return all[: len(all)-n : len(all)-n]
}

// begun is how many bytes at the end of b may be the beginning of the key.
func (f *Filter) begun(b []byte) int {
	n := min(len(f.key)-1, len(b))
	for n > 0 && !bytes.HasPrefix(f.key, b[len(b)-n:]) {
		n--
	}
	return n
}

// Final returns out and what was held back.
func (f *Filter) Final(out []byte) []byte {
	if len(f.held) > 0 {
		out = append(out[:len(out):len(out)], f.held...)
		f.held = nil
	}
	return out
}

// Blank returns b without the key.
func Blank(key string, b []byte) []byte {
	f := NewFilter(key)
	return f.Final(f.Next(b))
}
