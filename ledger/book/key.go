package book

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/countersign/countersign/ledger/disk"
)

// The files of the signing key, in the formats of golang.org/x/mod/sumdb/note.
const (
	SignerFile   = "key/signer"
	VerifierFile = "key/verifier"
)

// keys opens the signing key, or makes it for a ledger that has no segment yet.
// The key's name is the node's.
func keys(o Options, fresh bool) (note.Signer, note.Verifier, error) {
	skey, err := o.FS.ReadFile(SignerFile)
	if errors.Is(err, os.ErrNotExist) && fresh {
		skey, err = makeKey(o)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("signing key: %w", err)
	}
	signer, err := note.NewSigner(strings.TrimSpace(string(skey)))
	if err != nil {
		return nil, nil, fmt.Errorf("signing key: %w", err)
	}
	vkey, err := verifierKey(string(skey), signer.Name())
	if err != nil {
		return nil, nil, err
	}
	have, err := o.FS.ReadFile(VerifierFile)
	switch {
	case errors.Is(err, os.ErrNotExist):
		err = disk.WriteFile(o.FS, VerifierFile, []byte(vkey+"\n"))
	case err == nil && strings.TrimSpace(string(have)) != vkey:
		err = errors.New("the verifier key beside it is another one's")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("verifier key: %w", err)
	}
	v, err := note.NewVerifier(vkey)
	return signer, v, err
}

func makeKey(o Options) ([]byte, error) {
	name := o.Node
	if name == "" {
		var b [6]byte
		if _, err := io.ReadFull(o.Rand, b[:]); err != nil {
			return nil, err
		}
		name = "node-" + hex.EncodeToString(b[:])
	}
	skey, _, err := note.GenerateKey(o.Rand, name)
	if err != nil {
		return nil, err
	}
	return []byte(skey), disk.WriteFile(o.FS, SignerFile, []byte(skey+"\n"))
}

// verifierKey derives the public half of a signer key of the note format,
// PRIVATE+KEY+name+hash+base64(1 ‖ seed).
func verifierKey(skey, name string) (string, error) {
	parts := strings.SplitN(strings.TrimSpace(skey), "+", 5)
	if len(parts) != 5 {
		return "", errors.New("signing key: malformed")
	}
	raw, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(raw) != 1+ed25519.SeedSize {
		return "", errors.New("signing key: malformed")
	}
	return note.NewEd25519VerifierKey(name, ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey))
}
