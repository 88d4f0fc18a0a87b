package payload

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	countersign "github.com/countersign/countersign"
)

// Open returns the plain text of a payload, after checking that it is what the
// reference commits to. dir is the ledger's; nothing is written.
func Open(dir string, p countersign.Payload) ([]byte, error) {
	plain, err := open(dir, p)
	if err != nil {
		return nil, &countersign.Error{Code: countersign.EVerify, Op: "open payload", Thing: p.CT, Err: err}
	}
	return plain, nil
}

func open(dir string, p countersign.Payload) ([]byte, error) {
	hexed, ok := strings.CutPrefix(p.CT, "sha256:")
	name, err := hex.DecodeString(hexed)
	if !ok || err != nil || len(name) != sha256.Size || strings.ContainsAny(flat(p.KEK), `.\`) {
		return nil, errors.New("the reference is malformed")
	}
	key, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(kekFile(p.KEK))))
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", p.KEK, err)
	}
	var b []byte
	if p.At != "" {
		b, err = fromPack(dir, p, name)
	} else {
		b, err = os.ReadFile(filepath.Join(dir, "blobs", strings.ToLower(hexed)))
	}
	if err != nil {
		return nil, err
	}
	const least = headSize + saltSize + chacha20poly1305.Overhead
	whole := hexSum(b) == strings.ToLower(hexed)
	if len(b) < least || !bytes.HasPrefix(b, []byte(magic)) {
		return nil, errors.New("it is not the one that was written")
	}
	salted, err := unseal(key, p.KEK, b)
	switch {
	case errors.Is(err, errDestroyed):
		return nil, err
	case !whole:
		return nil, errors.New("it is not the one that was written")
	case err != nil:
		return nil, err
	case "sha256:"+hexSum(salted) != p.Commit || int64(len(salted)-saltSize) != p.Len:
		return nil, errors.New("the content is not the one that the record commits to")
	}
	return salted[saltSize:], nil
}

// placeOf is the pack of a payload, and where in it its frame begins.
func placeOf(p countersign.Payload) (pack string, at int64, ok bool) {
	pack, where, ok := strings.Cut(p.At, ":")
	at, err := strconv.ParseInt(where, 10, 64)
	return pack, at, ok && err == nil && at >= 0 && strings.HasSuffix(pack, ".pack") && !strings.ContainsAny(pack, `/\`)
}

// fromPack reads a blob out of a pack.
func fromPack(dir string, p countersign.Payload, name []byte) ([]byte, error) {
	pack, at, ok := placeOf(p)
	if !ok {
		return nil, errors.New("the reference is malformed")
	}
	f, err := os.Open(filepath.Join(dir, "blobs", pack))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	first := make([]byte, len(packMagic))
	if _, err := f.ReadAt(first, 0); err != nil || string(first) != packMagic {
		return nil, fmt.Errorf("%s is no pack of a version that can be read: it begins with %q", pack, first)
	}
	head := make([]byte, frameHead)
	if _, err := f.ReadAt(head, at); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	size, have, ok := parseHead(head)
	if !ok || !bytes.Equal(have[:], name) {
		return nil, fmt.Errorf("it does not stand in %s: it is lost, if a ledger.recovered has its record under lost_payloads, or else it was taken away", p.At)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, at+frameHead); err != nil {
		return nil, fmt.Errorf("%s is cut: %w", pack, err)
	}
	return b, nil
}
