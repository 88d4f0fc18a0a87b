package keys

import (
	"context"
	"errors"
	"time"

	"github.com/zalando/go-keyring"
)

// Keychain is the operating system's: Secret Service, macOS keychain, Windows
// credential manager.
type Keychain interface {
	Get(service, user string) (string, error)
	Set(service, user, secret string) error
	Delete(service, user string) error
}

// System is the real one.
type System struct{}

// Get returns an entry.
func (System) Get(service, user string) (string, error) { return keyring.Get(service, user) }

// Set makes or replaces an entry.
func (System) Set(service, user, secret string) error { return keyring.Set(service, user, secret) }

// Delete removes an entry.
func (System) Delete(service, user string) error { return keyring.Delete(service, user) }

// None is a keychain that is not there.
type None struct{}

var errNone = errors.New("there is no keychain")

// Get fails.
func (None) Get(_, _ string) (string, error) { return "", errNone }

// Set fails.
func (None) Set(_, _, _ string) error { return errNone }

// Delete fails.
func (None) Delete(_, _ string) error { return errNone }

func (s Store) keychain() Keychain {
	if s.Keychain != nil {
		return s.Keychain
	}
	return System{}
}

// ask asks the keychain, which may wait for a person for ever. Its own words are
// not repeated: they are another program's, which was told the key.
func ask(ctx context.Context, limit time.Duration, f func() (string, error)) (string, error) {
	type answer struct {
		key string
		err error
	}
	ch := make(chan answer, 1)
	go func() {
		key, err := f()
		ch <- answer{key, err}
	}()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case a := <-ch:
		switch {
		case errors.Is(a.err, keyring.ErrNotFound):
			return "", errors.New("the keychain has no such entry")
		case a.err != nil:
			return "", errors.New("the keychain cannot be used here, or is locked")
		}
		return a.key, nil
	case <-ctx.Done():
		return "", errors.New("the keychain does not answer: unlock it")
	}
}

func (s Store) fromKeychain(ctx context.Context, name string) (string, error) {
	return ask(ctx, s.limit(), func() (string, error) { return s.keychain().Get(Service, name) })
}

// toKeychain also reads back, as some keychains take what they do not keep.
func (s Store) toKeychain(ctx context.Context, name, key string) error {
	back, err := ask(ctx, s.limit(), func() (string, error) {
		if err := s.keychain().Set(Service, name, key); err != nil {
			return "", err
		}
		return s.keychain().Get(Service, name)
	})
	if err == nil && back != key {
		err = errors.New("the keychain does not give back what it was given")
	}
	return err
}

// dropFromKeychain removes an entry, if it is there and can be reached.
func (s Store) dropFromKeychain(ctx context.Context, name string) {
	_, _ = ask(ctx, s.limit(), func() (string, error) { return "", s.keychain().Delete(Service, name) })
}
