// Package tokens keeps who may use a standing gateway: one name, with the person
// and the project it stands for, for each token.
//
// It promises that a token itself is nowhere on disk, only its SHA-256; that a
// token is good from the moment Issue returns and no longer once Revoke returns,
// in every process that holds the store; that of several writers none loses what
// another wrote; and that nobody is let in by a file that cannot be read.
//
// It may touch one file, 0600, and the lock beside it. It must never log,
// return or keep a token after Issue has handed it out.
package tokens

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/atomicfile"
	"github.com/countersign/countersign/internal/filelock"
	"github.com/countersign/countersign/internal/lazyre"
)

// Token is one grant of the use of the gateway, without the token itself.
type Token struct {
	Name    string    `json:"name"`
	User    string    `json:"user,omitempty"`    // whom its calls are counted to
	Project string    `json:"project,omitempty"` // what its calls are counted to
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // zero: does not
	SHA256  string    `json:"sha256"`           // of the token, lower-case hex
}

// file is the store as it lies on disk, version 1.
type file struct {
	Version int     `json:"version"`
	Tokens  []Token `json:"tokens"`
}

const version = 1

// Store is the tokens of one gateway. Its methods may be called concurrently.
type Store struct {
	path string
	now  func() time.Time

	mu     sync.Mutex
	seen   fs.FileInfo // of the file that known was read from; nil: none was
	known  map[string]Token
	closed error // why nobody is let in
}

// Open returns the store in a file, which need not be there yet.
func Open(path string, now func() time.Time) *Store { return &Store{path: path, now: now} }

var (
	nameForm = lazyre.Compile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$`)
	form     = lazyre.Compile(`^[^\x00-\x1f\x7f]{0,128}$`)
)

// prefix tells people and scanners what a token is.
const prefix = "cs-"

// Issue makes a token with 256 bits from random and keeps t with its hash. A
// name that is taken is refused: its calls would be counted together.
func (s *Store) Issue(ctx context.Context, t Token, random io.Reader) (token string, err error) {
	switch {
	case !nameForm().MatchString(t.Name):
		return "", s.fault(countersign.EUsage, t.Name, "write letters, digits, dots, dashes, at most 64", errors.New("it is no name"))
	case !form().MatchString(t.User) || !form().MatchString(t.Project):
		return "", s.fault(countersign.EUsage, t.Name, "write at most 128 characters on one line", errors.New("its user or project is no name"))
	}
	var raw [32]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	token = prefix + hex.EncodeToString(raw[:])
	t.SHA256, t.Created = hash(token), s.now().UTC().Truncate(time.Second)
	return token, s.change(ctx, func(f *file) error {
		if slices.ContainsFunc(f.Tokens, func(o Token) bool { return o.Name == t.Name }) {
			return s.fault(countersign.EInvalid, t.Name, "choose another name, or `countersign gateway token revoke "+t.Name+"` first", errors.New("the name is taken"))
		}
		f.Tokens = append(f.Tokens, t)
		return nil
	})
}

// Revoke ends a token by its name.
func (s *Store) Revoke(ctx context.Context, name string) error {
	return s.change(ctx, func(f *file) error {
		n := len(f.Tokens)
		f.Tokens = slices.DeleteFunc(f.Tokens, func(t Token) bool { return t.Name == name })
		if len(f.Tokens) == n {
			return s.fault(countersign.ENotFound, name, "countersign gateway token list", errors.New("there is none of this name"))
		}
		return nil
	})
}

// List returns the tokens, oldest first.
func (s *Store) List() ([]Token, error) {
	f, _, err := s.load()
	return f.Tokens, err
}

// Find returns whose token this is. It reads the file again when it has changed;
// a file that cannot be read lets nobody in.
func (s *Store) Find(token string) (Token, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fi, err := os.Stat(s.path); err != nil || s.seen == nil || !os.SameFile(fi, s.seen) || !fi.ModTime().Equal(s.seen.ModTime()) || fi.Size() != s.seen.Size() {
		s.reload()
	}
	t, ok := s.known[hash(token)]
	if !ok || s.closed != nil || !t.Expires.IsZero() && !s.now().Before(t.Expires) {
		return Token{}, false
	}
	return t, true
}

// Err says why nobody is let in, nil if the file is as it should be.
func (s *Store) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *Store) reload() {
	f, fi, err := s.load()
	s.known, s.seen, s.closed = map[string]Token{}, fi, err
	for _, t := range f.Tokens {
		s.known[t.SHA256] = t
	}
}

func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// load reads the file; one that is not there holds nothing.
func (s *Store) load() (file, fs.FileInfo, error) {
	const remedy = "restore it, or remove it and issue the tokens anew: nobody is let in until then"
	h, err := os.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return file{Version: version}, nil, nil
	}
	if err != nil {
		return file{}, nil, s.fault(countersign.EInvalid, s.path, remedy, err)
	}
	defer h.Close()
	fi, err := h.Stat()
	var b []byte
	if err == nil {
		b, err = io.ReadAll(io.LimitReader(h, 16<<20))
	}
	var f file
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err == nil && f.Version > version {
		err = fmt.Errorf("its format is version %d, newer than this program", f.Version)
	}
	if err != nil {
		return file{}, nil, s.fault(countersign.EInvalid, s.path, remedy, err)
	}
	return f, fi, nil
}

// change rewrites the file under its lock.
func (s *Store) change(ctx context.Context, edit func(*file) error) error {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return err
	}
	unlock, err := filelock.Lock(ctx, s.path+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	f, _, err := s.load()
	if err != nil {
		return err
	}
	if err := edit(&f); err != nil {
		return err
	}
	f.Version = version
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(s.path, append(b, '\n'), 0o600)
}

func (s *Store) fault(code countersign.Code, thing, remedy string, err error) error {
	return &countersign.Error{Code: code, Op: "keep the gateway's tokens", Thing: thing, Remedy: remedy, Err: err}
}
