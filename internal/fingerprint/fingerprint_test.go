package fingerprint

import (
	"bytes"
	"testing"
)

// Each bit of the key, the round and the text counts, and nothing else does.
func TestOf(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789"), 100)
	secret := [32]byte{1}
	k := New(secret)
	first := k.Of(7, text)
	seen := map[[16]byte]string{first: "the text"}
	is := func(got [16]byte, what string) {
		t.Helper()
		if before, ok := seen[got]; ok {
			t.Errorf("%s has the fingerprint of %s", what, before)
		}
		seen[got] = what
	}
	for i := range len(text) * 8 {
		text[i/8] ^= 1 << (i % 8)
		is(k.Of(7, text), "a text with another bit")
		text[i/8] ^= 1 << (i % 8)
	}
	for n := range len(text) {
		is(k.Of(7, text[:n]), "a shorter text")
	}
	is(k.Of(7, append(bytes.Clone(text), 0)), "a text with a zero more")
	is(k.Of(8, text), "another round")
	secret[31]++
	is(New(secret).Of(7, text), "another key")
	secret[31]--
	if New(secret).Of(7, bytes.Clone(text)) != first || k.Of(7, text) != first {
		t.Error("the same text has two fingerprints")
	}
}
