package keys

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"filippo.io/age"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/atomicfile"
)

// seal writes a key encrypted to the recipients. The first time it makes an
// identity.
func (s Store) seal(path, key string) error {
	to, err := s.recipients()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to...)
	if err == nil {
		_, err = io.WriteString(w, key+"\n")
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return fmt.Errorf("encrypt a key: %w", err)
	}
	// An identity that is elsewhere, sealed for a service, cannot be tried here.
	if ids, err := s.identities(); err == nil {
		if _, err := age.Decrypt(bytes.NewReader(out.Bytes()), ids...); err != nil {
			return &countersign.Error{
				Code: countersign.EInvalid, Op: "encrypt a key to", Thing: s.recipientsFile(), Err: errors.New("the identity in " + s.Identity + " does not open it"),
				Remedy: "remove " + s.recipientsFile() + " to use that identity's own",
			}
		}
	}
	return atomicfile.Write(path, out.Bytes(), 0o600)
}

func (s Store) recipientsFile() string { return filepath.Join(s.Dir, "recipients.txt") }

// recipients are those of recipients.txt, else the identity's own.
func (s Store) recipients() ([]age.Recipient, error) {
	b, err := os.ReadFile(s.recipientsFile())
	if err == nil {
		to, err := age.ParseRecipients(bytes.NewReader(b))
		if err != nil {
			return nil, &countersign.Error{Code: countersign.EInvalid, Op: "read", Thing: s.recipientsFile(), Err: err, Remedy: "one age recipient a line"}
		}
		return to, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	ids, err := s.identities()
	if errors.Is(err, fs.ErrNotExist) {
		ids, err = s.makeIdentity()
	}
	if err != nil {
		return nil, err
	}
	var to []age.Recipient
	for _, id := range ids {
		switch id := id.(type) {
		case *age.X25519Identity:
			to = append(to, id.Recipient())
		case *age.HybridIdentity:
			to = append(to, id.Recipient())
		}
	}
	if len(to) == 0 {
		return nil, &countersign.Error{Code: countersign.EInvalid, Op: "encrypt to", Thing: s.Identity, Err: errors.New("it holds no identity of a known kind"), Remedy: "write its recipient to " + s.recipientsFile()}
	}
	return to, nil
}

func (s Store) makeIdentity() ([]age.Identity, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("make an identity: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(s.Identity), 0o700); err != nil {
		return nil, err
	}
	text := "# Opens the model keys that `countersign keys set` keeps. Not for backups that hold the keys too.\n" + id.String() + "\n"
	if err := atomicfile.Write(s.Identity, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return []age.Identity{id}, nil
}

func (s Store) identities() ([]age.Identity, error) {
	if s.Identity == "" {
		return nil, errors.New("there is no identity to open the file with")
	}
	b, err := readPrivate(s.Identity)
	if err != nil {
		return nil, err
	}
	ids, err := age.ParseIdentities(bytes.NewReader(b))
	if err != nil {
		// The parser's own words may hold a line of the file.
		return nil, &countersign.Error{Code: countersign.EAuth, Op: "read the identity", Thing: s.Identity, Err: errors.New("it holds no age identity"), Remedy: "set the keys anew: countersign keys set PROVIDER"}
	}
	return ids, nil
}

func (s Store) open(path string) (string, error) {
	ids, err := s.identities()
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is encrypted and its identity %s is not there", filepath.Base(path), s.Identity)
	}
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	r, err := age.Decrypt(io.LimitReader(f, 2*maxKey), ids...)
	var b []byte
	if err == nil {
		b, err = io.ReadAll(r)
	}
	if err != nil {
		return "", fmt.Errorf("%s does not open with the identity %s", filepath.Base(path), s.Identity)
	}
	return string(b), nil
}
