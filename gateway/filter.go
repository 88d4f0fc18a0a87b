package gateway

import "bytes"

// keyFilter blanks a provider's key in an answer, should a provider echo it.
// The length stays, so that no framing changes. It holds back bytes only while
// they could be the beginning of the key.
type keyFilter struct {
	key  []byte
	held []byte
}

func newKeyFilter(key string) *keyFilter { return &keyFilter{key: []byte(key)} }

// next takes bytes and returns those that may go on.
func (f *keyFilter) next(b []byte) []byte {
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

// final returns out and what was held back.
func (f *keyFilter) final(out []byte) []byte {
	out = append(append([]byte(nil), out...), f.held...)
	f.held = nil
	return out
}

// blank returns b without the key.
func blank(key string, b []byte) []byte {
	f := newKeyFilter(key)
	return f.final(f.next(b))
}
