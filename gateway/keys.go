package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"time"

	"github.com/zalando/go-keyring"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/atomicfile"
)

// KeySource finds a provider's key; an empty one means that it needs none.
type KeySource interface {
	Key(ctx context.Context, p *Provider) (string, error)
}

// service is what the keychain's entries are filed under.
const service = "countersign"

// keyTimeout bounds a key command and a keychain that waits for its password.
const keyTimeout = 20 * time.Second

// Keys finds keys where the configuration says, and in Dir what "countersign
// keys set" keeps there.
type Keys struct {
	Dir string
	// Env looks up a variable; nil means the process's own environment.
	Env func(name string) (string, bool)
}

// Key returns the provider's key. No error holds any of it.
func (k Keys) Key(ctx context.Context, p *Provider) (string, error) {
	key, err := k.find(ctx, p)
	key = strings.TrimSpace(key)
	if err == nil && strings.ContainsAny(key, "\r\n\x00") {
		err = errors.New("it is more than one line")
	}
	if err == nil && key == "" && !loopback(p.base.Hostname()) {
		err = errors.New("there is none")
	}
	if err != nil {
		return "", &countersign.Error{
			Code: countersign.EAuth, Op: "find the key of", Thing: p.Name, Err: err,
			Remedy: "countersign keys set " + p.Name,
		}
	}
	return key, nil
}

func (k Keys) find(ctx context.Context, p *Provider) (string, error) {
	switch ref := p.Key; {
	case ref.File != "":
		return readKey(ref.File)
	case ref.Env != "":
		lookup := k.Env
		if lookup == nil {
			lookup = os.LookupEnv
		}
		key, ok := lookup(ref.Env)
		if !ok {
			return "", fmt.Errorf("the variable %s is not set", ref.Env)
		}
		return key, nil
	case len(ref.Command) > 0:
		return runKeyCommand(ctx, ref.Command)
	case ref.Keyring != "":
		return fromKeyring(ctx, ref.Keyring)
	}
	key, err := readKey(filepath.Join(k.Dir, p.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return key, err
}

// readKey reads a key file, which nobody else may read.
func readKey(path string) (string, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if runtime.GOOS != "windows" && fi.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s can be read by others (mode %04o): chmod 600 it", path, fi.Mode().Perm())
	}
	b, err := os.ReadFile(path)
	return string(b), err
}

// runKeyCommand returns the first line that the command writes. Its error
// output is not repeated: it could hold the key.
func runKeyCommand(ctx context.Context, argv []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, keyTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("the key command %s: %w", argv[0], err)
	}
	line, _, _ := strings.Cut(strings.TrimLeft(string(out), "\r\n"), "\n")
	return line, nil
}

// fromKeyring asks the operating system's keychain, which may hang on a prompt.
func fromKeyring(ctx context.Context, name string) (string, error) {
	type answer struct {
		key string
		err error
	}
	ch := make(chan answer, 1)
	go func() {
		key, err := keyring.Get(service, name)
		ch <- answer{key, err}
	}()
	ctx, cancel := context.WithTimeout(ctx, keyTimeout)
	defer cancel()
	select {
	case a := <-ch:
		return a.key, a.err
	case <-ctx.Done():
		return "", errors.New("the keychain does not answer: unlock it")
	}
}

// SetKey keeps a provider's key in a 0600 file below dir.
func SetKey(dir, provider, key string) error {
	path, err := keyPath(dir, provider)
	if err != nil {
		return err
	}
	key = strings.TrimSpace(key)
	if key == "" || strings.ContainsAny(key, "\r\n\x00") {
		return &countersign.Error{Code: countersign.EUsage, Op: "set the key of", Thing: provider, Err: errors.New("a key is one line"), Remedy: "give the key on standard input"}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return atomicfile.Write(path, []byte(key+"\n"), 0o600)
}

// SetKeyring keeps a key in the operating system's keychain; the provider's
// entry then says key: {keyring: NAME}.
func SetKeyring(provider, key string) error {
	if !nameForm.MatchString(provider) {
		return badName(provider)
	}
	return keyring.Set(service, provider, strings.TrimSpace(key))
}

// ListKeys returns the names of the providers that have a key below dir,
// sorted; never the keys.
func ListKeys(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if e.Type().IsRegular() && nameForm.MatchString(e.Name()) {
			out = append(out, e.Name())
		}
	}
	sort.Strings(out)
	return out, nil
}

// RemoveKey forgets a key below dir.
func RemoveKey(dir, provider string) error {
	path, err := keyPath(dir, provider)
	if err != nil {
		return err
	}
	err = os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &countersign.Error{Code: countersign.ENotFound, Op: "remove the key of", Thing: provider, Err: errors.New("there is none"), Remedy: "countersign keys list"}
	}
	return err
}

func keyPath(dir, provider string) (string, error) {
	if !nameForm.MatchString(provider) {
		return "", badName(provider)
	}
	return filepath.Join(dir, provider), nil
}

func badName(provider string) error {
	return &countersign.Error{Code: countersign.EUsage, Op: "name a provider", Thing: provider, Err: errors.New("not a provider's name"), Remedy: "write lower-case letters, digits and dashes, as in gateway.yaml"}
}
