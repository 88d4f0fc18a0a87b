package payload

import (
	"bytes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"

	"golang.org/x/crypto/chacha20poly1305"
)

// A blob is magic, a nonce and the blob's own key wrapped under the month's key,
// a nonce and the sealed salt ‖ plain text. Both seals bind the month's name, so
// that a blob cannot be moved under another key's destruction.
const (
	magic    = "countersign blob 1\n"
	saltSize = 32
	nonce    = chacha20poly1305.NonceSizeX
	wrapped  = chacha20poly1305.KeySize + chacha20poly1305.Overhead
	headSize = len(magic) + nonce + wrapped + nonce
)

// sealed is a blob, behind room for the head of its frame.
type sealed struct {
	frame  []byte
	name   [sha256.Size]byte // of the blob: its SHA-256
	commit [sha256.Size]byte // SHA-256 of salt ‖ plain text
}

func (s *sealed) blob() []byte { return s.frame[frameHead:] }

// seal makes a blob in room, if that is large enough.
func seal(room []byte, rand io.Reader, key []byte, kek string, plain []byte) (*sealed, error) {
	fresh := make([]byte, chacha20poly1305.KeySize+2*nonce+saltSize)
	if _, err := io.ReadFull(rand, fresh); err != nil {
		return nil, err
	}
	own, n1, n2, salt := fresh[:32], fresh[32:56], fresh[56:80], fresh[80:]
	outer, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, err
	}
	inner, err := chacha20poly1305.NewX(own)
	if err != nil {
		return nil, err
	}
	size := frameHead + headSize + saltSize + len(plain) + chacha20poly1305.Overhead
	if cap(room) < size {
		room = make([]byte, 0, size)
	}
	s := &sealed{frame: room[:frameHead]}
	s.frame = append(append(s.frame, magic...), n1...)
	s.frame = outer.Seal(s.frame, n1, own, []byte(kek))
	s.frame = append(s.frame, n2...)
	salted := append(append(s.frame, salt...), plain...)[len(s.frame):] // sealed where it lies
	s.commit = sha256.Sum256(salted)
	s.frame = inner.Seal(s.frame, n2, salted, []byte(kek))
	s.name = sha256.Sum256(s.blob())
	return s, nil
}

// errDestroyed is what is left of a blob whose own key was overwritten.
var errDestroyed = errors.New("its own key has been destroyed")

// destroyed reports whether a blob's own key was overwritten: it alone, as a sector
// that a power cut took has zeros beyond it.
func destroyed(blob []byte) bool {
	zeros := func(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }
	key, behind := blob[len(magic):][:nonce+wrapped], blob[len(magic)+nonce+wrapped:][:nonce]
	return bytes.HasPrefix(blob, []byte(magic)) && zeros(key) && !zeros(behind)
}

// unseal returns salt ‖ plain text.
func unseal(key []byte, kek string, blob []byte) ([]byte, error) {
	b := blob[len(magic):]
	if destroyed(blob) {
		return nil, errDestroyed
	}
	var outer, inner cipher.AEAD
	outer, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, err
	}
	own, err := outer.Open(nil, b[:nonce], b[nonce:nonce+wrapped], []byte(kek))
	if err != nil {
		return nil, err
	}
	if inner, err = chacha20poly1305.NewX(own); err != nil {
		return nil, err
	}
	b = b[nonce+wrapped:]
	return inner.Open(nil, b[:nonce], b[nonce:], []byte(kek))
}

func hexSum(p []byte) string {
	s := sha256.Sum256(p)
	return hex.EncodeToString(s[:])
}
