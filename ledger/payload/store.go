package payload

import (
	"encoding/hex"
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

// Options say what a store needs from outside; all but PackSize must be set.
type Options struct {
	FS   disk.FS
	Rand io.Reader
	Now  func() time.Time
	// Epoch counts the starts of the ledger process: no two stores of a directory
	// have the same.
	Epoch uint64
	// Fail shuts the ledger after a failed write or flush, and returns the error
	// that all are told from then on.
	Fail func(error) error
	// PackSize is where a pack ends, in bytes; 0 means 64 MiB.
	PackSize int64
}

// Store puts payloads. Its methods may be called concurrently.
type Store struct {
	o     Options
	packs packs
	rooms sync.Pool // of *[]byte: each call of a model has one to three

	mu   sync.Mutex
	kek  string // the month whose key was read last
	kept []byte
	at   time.Time // when it was
}

// large is how many bytes a blob may have that goes into a pack: a larger one has
// a file of its own, so that nobody waits for it.
const large = 1 << 20

// New returns a store, after reclaiming what a crash has left of room filled
// ahead.
func New(o Options) (*Store, error) {
	if o.PackSize == 0 {
		o.PackSize = packSize
	}
	s := &Store{o: o, packs: packs{fs: o.FS, epoch: o.Epoch, size: o.PackSize}}
	s.packs.cond.L = &s.packs.mu
	return s, trimLast(o.FS)
}

// Put stores payloads, their plain text, and returns their references, after all
// of them are durable.
func (s *Store) Put(plain ...countersign.Payload) ([]countersign.Payload, error) {
	refs, err := s.Write(plain...)
	if err == nil {
		if err = s.Flush(); err != nil {
			err = s.o.Fail(err)
		}
	}
	return refs, err
}

// Write is Put, but for the flush: what is in a pack is durable after the next
// Flush.
func (s *Store) Write(plain ...countersign.Payload) ([]countersign.Payload, error) {
	kek := "month/" + s.o.Now().UTC().Format("2006-01")
	key, err := s.key(kek)
	if err != nil {
		return nil, s.o.Fail(fmt.Errorf("key of the payloads: %w", err))
	}
	refs := make([]countersign.Payload, len(plain))
	var blobs []*sealed
	var at []*string
	for i, p := range plain {
		b, err := seal(s.room(), s.o.Rand, key, kek, p.Plain)
		if err != nil {
			return nil, s.o.Fail(fmt.Errorf("seal payload: %w", err))
		}
		refs[i] = countersign.Payload{
			Role: p.Role, Media: p.Media, Len: int64(len(p.Plain)), KEK: kek,
			Commit: "sha256:" + hex.EncodeToString(b.commit[:]), CT: "sha256:" + hex.EncodeToString(b.name[:]),
		}
		if len(b.blob()) <= large {
			blobs, at = append(blobs, b), append(at, &refs[i].At)
		} else if err := disk.WriteFile(s.o.FS, "blobs/"+hex.EncodeToString(b.name[:]), b.blob()); err != nil {
			return nil, s.o.Fail(fmt.Errorf("write payload: %w", err))
		}
	}
	if err := s.packs.write(kek, blobs, at); err != nil {
		return nil, s.o.Fail(fmt.Errorf("write payload: %w", err))
	}
	for _, b := range blobs {
		s.rooms.Put(&b.frame)
	}
	return refs, nil
}

// room is what a blob was in that is written, or nothing.
func (s *Store) room() []byte {
	if b, ok := s.rooms.Get().(*[]byte); ok {
		return *b
	}
	return nil
}

// Flush returns after all that was written before is durable. After a failure it
// fails for ever.
func (s *Store) Flush() error {
	if err := s.packs.sync(); err != nil {
		return fmt.Errorf("flush payloads: %w", err)
	}
	return nil
}

// Close flushes, and gives back the room that was filled ahead.
func (s *Store) Close() error { return s.packs.close() }

// keyFor is how long a key that was read is taken for the one on the disk: who
// destroys it waits so long.
const keyFor = time.Second

// key returns a month's key; the keys are made a month at a time, so that old
// ones can be destroyed.
func (s *Store) key(kek string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	if past := now.Sub(s.at); s.kek == kek && past >= 0 && past < keyFor {
		return s.kept, nil
	}
	key, err := s.o.FS.ReadFile(kekFile(kek))
	if errors.Is(err, os.ErrNotExist) {
		key = make([]byte, chacha20poly1305.KeySize)
		if _, err = io.ReadFull(s.o.Rand, key); err == nil {
			err = disk.WriteFile(s.o.FS, kekFile(kek), key)
		}
	}
	if err == nil {
		s.kek, s.kept, s.at = kek, key, now
	}
	return key, err
}

func flat(kek string) string { return strings.ReplaceAll(kek, "/", "-") }

func kekFile(kek string) string { return "key/kek-" + flat(kek) }
