package keys

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/atomicfile"
	"github.com/countersign/countersign/internal/lazyre"
)

// Where is the place of a kept key.
type Where string

// The places, in the order in which they are looked into.
const (
	InKeychain Where = "keychain"
	InFile     Where = "encrypted file"
	InClear    Where = "file in clear" // put there by hand, 0600
)

var wheres = []Where{InKeychain, InFile, InClear}

var nameForm = lazyre.Compile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// IsName reports whether s has the form of a provider's name.
func IsName(s string) bool { return nameForm().MatchString(s) }

func (s Store) path(provider string, w Where) string {
	p := filepath.Join(s.Dir, provider)
	switch w {
	case InKeychain:
		return p + ".keychain" // empty: it says that the keychain has it
	case InFile:
		return p + ".age"
	}
	return p
}

// kept finds what Set keeps.
func (s Store) kept(ctx context.Context, provider string) (string, error) {
	for _, w := range wheres {
		path := s.path(provider, w)
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		switch w {
		case InKeychain:
			return s.fromKeychain(ctx, provider)
		case InFile:
			return s.open(path)
		}
		b, err := readPrivate(path)
		return string(b), err
	}
	return "", nil
}

// Set keeps a provider's key and returns where: at the place asked for, or, for
// none, in the keychain if it takes it and else in an encrypted file. Whatever
// was kept elsewhere before is forgotten.
func (s Store) Set(ctx context.Context, provider, key string, at Where) (Where, error) {
	if !IsName(provider) {
		return "", badName(provider)
	}
	key = strings.TrimSpace(key)
	if key == "" || len(key) > maxKey || strings.ContainsAny(key, "\r\n\x00") {
		return "", &countersign.Error{Code: countersign.EUsage, Op: "set the key of", Thing: provider, Err: errors.New("a key is one line"), Remedy: "give the key on standard input"}
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return "", err
	}
	if at != InFile {
		err := s.toKeychain(ctx, provider, key)
		if err == nil {
			err = atomicfile.Write(s.path(provider, InKeychain), nil, 0o600)
			return InKeychain, errors.Join(err, s.forget(provider, InFile), s.forget(provider, InClear))
		}
		if at == InKeychain {
			return "", &countersign.Error{Code: countersign.EAuth, Op: "keep in the keychain the key of", Thing: provider, Err: err, Remedy: "unlock the keychain, or give --file"}
		}
	}
	if err := s.seal(s.path(provider, InFile), key); err != nil {
		return "", err
	}
	if _, err := os.Lstat(s.path(provider, InKeychain)); err == nil {
		s.dropFromKeychain(ctx, provider)
	}
	return InFile, errors.Join(s.forget(provider, InKeychain), s.forget(provider, InClear))
}

func (s Store) forget(provider string, w Where) error {
	err := os.Remove(s.path(provider, w))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Kept is one key that is kept.
type Kept struct {
	Provider string `json:"provider"`
	Where    Where  `json:"where"`
}

// List returns what is kept, sorted; never the keys.
func (s Store) List() ([]Kept, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []Kept
	seen := map[string]bool{}
	for _, w := range wheres {
		for _, e := range entries {
			provider := strings.TrimSuffix(e.Name(), filepath.Ext(e.Name()))
			if e.Type().IsRegular() && IsName(provider) && e.Name() == filepath.Base(s.path(provider, w)) && !seen[provider] {
				seen[provider] = true
				out = append(out, Kept{provider, w})
			}
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Provider < out[j].Provider })
	return out, nil
}

// Remove forgets a key wherever it is kept.
func (s Store) Remove(ctx context.Context, provider string) error {
	if !IsName(provider) {
		return badName(provider)
	}
	found := false
	for _, w := range wheres {
		if _, err := os.Lstat(s.path(provider, w)); err != nil {
			continue
		}
		found = true
		if w == InKeychain {
			s.dropFromKeychain(ctx, provider)
		}
		if err := s.forget(provider, w); err != nil {
			return err
		}
	}
	if !found {
		return &countersign.Error{Code: countersign.ENotFound, Op: "remove the key of", Thing: provider, Err: errors.New("there is none"), Remedy: "countersign keys list"}
	}
	return atomicfile.SyncDir(s.Dir)
}

func badName(provider string) error {
	return &countersign.Error{Code: countersign.EUsage, Op: "name a provider", Thing: provider, Err: errors.New("not a provider's name"), Remedy: "write lower-case letters, digits and dashes, as in gateway.yaml"}
}
