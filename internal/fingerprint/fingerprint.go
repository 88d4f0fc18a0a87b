// Package fingerprint names byte strings, of a process or of who has its key, ten times
// as fast as SHA-256 does where the processor can multiply without carries.
//
// It is a universal hash (GHASH, NIST SP 800-38D, section 6.4, by way of GCM's
// additional data). It promises: whoever knows neither the key nor any fingerprint
// cannot make two byte strings of one, but with a probability of their length in 16
// bytes to 2^128. A fingerprint tells of the key: it must never be shown or kept
// outside, but by a keyed hash of it.
//
// It touches nothing.
package fingerprint

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
)

// Key makes fingerprints. It may be used concurrently.
type Key struct{ gcm cipher.AEAD }

// New takes 32 secret bytes.
func New(secret [32]byte) Key {
	block, err := aes.NewCipher(secret[:])
	if err == nil {
		var gcm cipher.AEAD
		if gcm, err = cipher.NewGCM(block); err == nil {
			return Key{gcm}
		}
	}
	panic("fingerprint: " + err.Error()) // only where nothing but FIPS 140-3 is allowed (GODEBUG)
}

// Of returns the fingerprint of b in one of many rounds, which have none in common.
func (k Key) Of(round uint64, b []byte) (out [16]byte) {
	var nonce [12]byte
	binary.LittleEndian.PutUint64(nonce[:], round)
	k.gcm.Seal(out[:0], nonce[:], nil, b)
	return out
}
