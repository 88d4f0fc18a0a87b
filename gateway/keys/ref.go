package keys

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	countersign "github.com/countersign/countersign"
)

// Ref says where a provider's key is. Empty means what Store keeps.
type Ref struct {
	File    string   // path of a 0600 file
	Env     string   // name of a variable of this process, which is not the agent's
	Command []string // argv; its first line of output is the key
	Keyring string   // name of an entry in the operating system's keychain
	Dir     string   // where Command starts, and a relative program lies
}

// Ways counts the ways in which the key is said.
func (r Ref) Ways() int {
	n := 0
	for _, set := range []bool{r.File != "", r.Env != "", len(r.Command) > 0, r.Keyring != ""} {
		if set {
			n++
		}
	}
	return n
}

// Service is what entries of the keychain are filed under.
const Service = "countersign"

// Limit bounds a key command, and a keychain that waits for its password.
const Limit = 20 * time.Second

// maxKey bounds what is read as a key, in bytes.
const maxKey = 64 << 10

// Store finds keys, and keeps those of "countersign keys set" below Dir.
type Store struct {
	Dir string // 0700: NAME.age, NAME.keychain, recipients.txt
	// Identity is the file of age identities that open NAME.age. Empty: there is
	// none, and what is kept in files cannot be opened.
	Identity string
	// Avoid are directories that an agent's work reaches; no program of a key
	// command may lie below one.
	Avoid []string
	// Env looks up a variable; nil means the process's own environment.
	Env func(name string) (string, bool)
	// Keychain is the operating system's; nil means the real one.
	Keychain Keychain
	// Limit is in place of the constant, for tests.
	Limit time.Duration
}

// Find returns a provider's key, one line without space around it; empty if
// none is kept and none is said. No error holds any of it.
func (s Store) Find(ctx context.Context, provider string, ref Ref) (string, error) {
	key, err := s.find(ctx, provider, ref)
	key = strings.TrimSpace(key)
	if err == nil && strings.ContainsAny(key, "\r\n\x00") {
		err = errors.New("it is more than one line")
	}
	if err == nil && key == "" && ref.Ways() > 0 {
		err = errors.New("there is none")
	}
	if err != nil {
		return "", &countersign.Error{Code: countersign.EAuth, Op: "find the key of", Thing: provider, Err: err, Remedy: remedy(provider, ref, err)}
	}
	return key, nil
}

func remedy(provider string, ref Ref, err error) string {
	if own := countersign.RemedyOf(err); own != "" {
		return own
	}
	switch {
	case ref.File != "":
		return "write the key to " + ref.File + ", mode 0600"
	case ref.Env != "":
		return "set " + ref.Env + " where the session is started"
	case len(ref.Command) > 0:
		return "try the command by hand: " + filepath.Base(ref.Command[0])
	case ref.Keyring != "":
		return "countersign keys set --keyring " + ref.Keyring
	}
	return "countersign keys set " + provider
}

func (s Store) find(ctx context.Context, provider string, ref Ref) (string, error) {
	switch {
	case ref.File != "":
		real, err := filepath.EvalSymlinks(ref.File)
		if err == nil && s.avoided(ref.File, real) {
			return "", errors.New("the key's file lies in the project, where an agent's work lands: keep it elsewhere")
		}
		b, err := readPrivate(ref.File)
		return string(b), err
	case ref.Env != "":
		lookup := s.Env
		if lookup == nil {
			lookup = os.LookupEnv
		}
		key, ok := lookup(ref.Env)
		if !ok {
			return "", fmt.Errorf("the variable %s is not set", ref.Env)
		}
		return key, nil
	case len(ref.Command) > 0:
		return s.run(ctx, ref)
	case ref.Keyring != "":
		return s.fromKeychain(ctx, ref.Keyring)
	}
	return s.kept(ctx, provider)
}

// Stamp changes when a file that the key comes from does: whoever holds a key
// asks again then. It is the same always for keys that come from elsewhere.
func (s Store) Stamp(provider string, ref Ref) string {
	var paths []string
	switch {
	case ref.File != "":
		paths = []string{ref.File}
	case ref.Ways() > 0:
		return ""
	default:
		for _, w := range wheres {
			paths = append(paths, s.path(provider, w))
		}
	}
	var b strings.Builder
	for _, p := range paths {
		if fi, err := os.Stat(p); err == nil {
			fmt.Fprintf(&b, "%d %d %s;", fi.ModTime().UnixNano(), fi.Size(), fi.Mode())
		} else {
			b.WriteString("-;")
		}
	}
	return b.String()
}
