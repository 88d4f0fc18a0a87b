package payload

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger/disk"
)

// Lost returns a function that reports of a record's JSON whether it refers to a
// payload in a pack that is not there: a power cut may leave the end of a segment
// and take that of a pack. One whose key was destroyed is there.
func Lost(fs disk.FS) func(leaf []byte) (bool, error) {
	return func(leaf []byte) (bool, error) {
		var r struct{ Payloads []countersign.Payload }
		if err := json.Unmarshal(leaf, &r); err != nil {
			return false, err
		}
		for _, p := range r.Payloads {
			if there, err := stands(fs, p); err != nil || !there {
				return err == nil, err
			}
		}
		return false, nil
	}
}

func stands(fs disk.FS, p countersign.Payload) (bool, error) {
	pack, at, ok := placeOf(p)
	if !ok {
		return true, nil // in a file of its own, which was durable before the record
	}
	f, err := fs.Open("blobs/" + pack)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	first := make([]byte, len(packMagic))
	if _, err := f.ReadAt(first, 0); err != nil || len(bytes.Trim(first, "\x00")) == 0 {
		return false, short(err) // the pack's beginning was taken: nothing in it can be read
	}
	head := make([]byte, frameHead)
	size, name, ok, err := headAt(f, head, at)
	if err != nil || !ok || "sha256:"+hex.EncodeToString(name[:]) != p.CT {
		return false, err
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, at+frameHead); err != nil {
		return false, short(err)
	}
	return sha256.Sum256(b) == name || destroyed(b), nil
}

// headAt reads the head of a frame.
func headAt(f disk.File, head []byte, at int64) (size int, name [sha256.Size]byte, ok bool, err error) {
	if _, err = f.ReadAt(head, at); err != nil {
		return 0, name, false, short(err)
	}
	size, name, ok = parseHead(head)
	return size, name, ok, nil
}

// short takes the end of a file for what it is: no error of the disk.
func short(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
