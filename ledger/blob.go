package ledger

import (
	"bytes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger/disk"
)

// A blob is blobMagic, a nonce and the blob's own key wrapped under the month's
// key, a nonce and the sealed salt ‖ plain text. Both seals bind the month's
// name, so that a blob cannot be moved under another key's destruction.
const (
	blobMagic = "countersign blob 1\n"
	saltSize  = 32
	wrapped   = chacha20poly1305.KeySize + chacha20poly1305.Overhead
	blobHead  = len(blobMagic) + chacha20poly1305.NonceSizeX + wrapped + chacha20poly1305.NonceSizeX
)

// blobs writes payloads; the keys are made a month at a time, so that old ones
// can be destroyed.
type blobs struct {
	fs   disk.FS
	rand io.Reader
	now  func() time.Time
	mu   sync.Mutex // making of a month's key
}

// put stores the payload of an askBlob message and returns its reference as
// JSON, after the blob is durable.
func (s *blobs) put(msg []byte) ([]byte, error) {
	head, plain, ok := bytes.Cut(msg, []byte("\n"))
	var what [2]string
	if !ok || json.Unmarshal(head, &what) != nil {
		return nil, closedErr(errors.New("a payload of impossible form"))
	}
	kek := "month/" + s.now().UTC().Format("2006-01")
	key, err := s.key(kek)
	if err != nil {
		return nil, closedErr(fmt.Errorf("key of the payloads: %w", err))
	}
	salt := make([]byte, saltSize, saltSize+len(plain))
	if _, err := io.ReadFull(s.rand, salt); err != nil {
		return nil, closedErr(err)
	}
	salted := append(salt, plain...)
	sealed, err := seal(s.rand, key, kek, salted)
	if err != nil {
		return nil, closedErr(err)
	}
	name := hexSum(sealed)
	if err := disk.WriteFile(s.fs, "blobs/"+name, sealed); err != nil {
		return nil, closedErr(fmt.Errorf("write payload: %w", err))
	}
	return json.Marshal(countersign.Payload{
		Role: what[0], Media: what[1], Len: int64(len(plain)),
		Commit: "sha256:" + hexSum(salted), CT: "sha256:" + name, KEK: kek,
	})
}

func (s *blobs) key(kek string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, err := s.fs.ReadFile(kekFile(kek))
	if errors.Is(err, os.ErrNotExist) {
		key = make([]byte, chacha20poly1305.KeySize)
		if _, err = io.ReadFull(s.rand, key); err == nil {
			err = disk.WriteFile(s.fs, kekFile(kek), key)
		}
	}
	return key, err
}

func kekFile(kek string) string { return "key/kek-" + strings.ReplaceAll(kek, "/", "-") }

func seal(rand io.Reader, key []byte, kek string, plain []byte) ([]byte, error) {
	fresh := make([]byte, chacha20poly1305.KeySize+2*chacha20poly1305.NonceSizeX)
	if _, err := io.ReadFull(rand, fresh); err != nil {
		return nil, err
	}
	own, n1, n2 := fresh[:32], fresh[32:56], fresh[56:]
	outer, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, err
	}
	inner, err := chacha20poly1305.NewX(own)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, blobHead+len(plain)+chacha20poly1305.Overhead)
	b = append(append(b, blobMagic...), n1...)
	b = outer.Seal(b, n1, own, []byte(kek))
	b = append(b, n2...)
	return inner.Seal(b, n2, plain, []byte(kek)), nil
}

// OpenBlob returns the plain text of a payload, after checking that it is what
// the reference commits to.
func OpenBlob(dir string, p countersign.Payload) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		return nil, &countersign.Error{Code: countersign.EVerify, Op: "open payload", Thing: p.CT, Err: err}
	}
	name, ok := strings.CutPrefix(p.CT, "sha256:")
	if raw, err := hex.DecodeString(name); !ok || err != nil || len(raw) != sha256.Size || kekFile(p.KEK) != "key/kek-"+strings.ReplaceAll(p.KEK, "/", "-") || strings.Contains(p.KEK, "..") {
		return fail(errors.New("the reference is malformed"))
	}
	fs := disk.Dir(dir)
	b, err := fs.ReadFile("blobs/" + strings.ToLower(name))
	if err != nil {
		return fail(err)
	}
	if hexSum(b) != name || len(b) < blobHead+saltSize+chacha20poly1305.Overhead || !bytes.HasPrefix(b, []byte(blobMagic)) {
		return fail(errors.New("the file is not the one that was written"))
	}
	key, err := fs.ReadFile(kekFile(p.KEK))
	if err != nil {
		return fail(fmt.Errorf("key %s: %w", p.KEK, err))
	}
	salted, err := unseal(key, p.KEK, b[len(blobMagic):])
	if err != nil {
		return fail(err)
	}
	if "sha256:"+hexSum(salted) != p.Commit || int64(len(salted)-saltSize) != p.Len {
		return fail(errors.New("the content is not the one that the record commits to"))
	}
	return salted[saltSize:], nil
}

func unseal(key []byte, kek string, b []byte) ([]byte, error) {
	const n = chacha20poly1305.NonceSizeX
	var outer, inner cipher.AEAD
	outer, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, err
	}
	own, err := outer.Open(nil, b[:n], b[n:n+wrapped], []byte(kek))
	if err != nil {
		return nil, err
	}
	if inner, err = chacha20poly1305.NewX(own); err != nil {
		return nil, err
	}
	b = b[n+wrapped:]
	return inner.Open(nil, b[:n], b[n:], []byte(kek))
}

func hexSum(p []byte) string {
	s := sha256.Sum256(p)
	return hex.EncodeToString(s[:])
}
