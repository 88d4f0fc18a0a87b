// Package objects copies git objects that an agent wrote to where the host may
// read them, and names content as git does.
//
// It promises that an object which arrives bears the name that its content has:
// git itself does not look when it reads, so an agent could show one content
// under a name and put another there later. Indexes of packs are never copied. It
// reads below the root it is handed, writes below one directory, and runs
// nothing: packs go to whoever the caller names.
package objects

import (
	"compress/zlib"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/countersign/countersign/internal/lazyre"
)

// maxLoose bounds what a loose object may inflate to, in bytes.
const maxLoose = 2 << 30

var (
	looseDir  = lazyre.Compile(`^[0-9a-f]{2}$`)
	looseName = lazyre.Compile(`^[0-9a-f]{38}([0-9a-f]{24})?$`)
	packName  = lazyre.Compile(`^pack-[0-9a-f]{40,64}\.pack$`)
)

// Copy copies the loose objects below from, and hands each pack to pack, which
// has git index it anew. What is gone meanwhile, is no regular file or does not
// bear its name is left out. nonblock is the open flag that a pipe cannot hold up.
func Copy(from *os.Root, to string, nonblock int, pack func(io.Reader) error) error {
	return fs.WalkDir(from.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		dir, name := path.Split(p)
		dir = strings.TrimSuffix(dir, "/")
		loose := looseDir().MatchString(dir) && looseName().MatchString(name)
		switch {
		case err != nil:
			return nil // gone since
		case d.IsDir():
			if p != "." && p != "pack" && !looseDir().MatchString(p) {
				return fs.SkipDir
			}
			return nil
		case !d.Type().IsRegular() || !loose && (dir != "pack" || !packName().MatchString(name)):
			return nil
		}
		in, err := from.OpenFile(p, os.O_RDONLY|nonblock, 0)
		if err != nil {
			return nil
		}
		defer in.Close()
		if fi, err := in.Stat(); err != nil || !fi.Mode().IsRegular() {
			return nil
		}
		if loose {
			return copyLoose(in, dir+name, filepath.Join(to, dir, name))
		}
		return pack(in)
	})
}

// copyLoose copies one loose object (gitformat-loose: a zlib stream of "TYPE
// SIZE", NUL and the content, named by the hash of that).
func copyLoose(in io.Reader, id, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	h := hasher(len(id))
	tee := &writer{w: out}
	ok := false
	if z, err := zlib.NewReader(io.TeeReader(in, tee)); err == nil {
		n, err := io.Copy(h, io.LimitReader(z, maxLoose+1))
		ok = err == nil && n <= maxLoose && hex.EncodeToString(h.Sum(nil)) == id
	}
	if err := errors.Join(tee.err, out.Close()); err != nil {
		return err
	}
	if !ok {
		return os.Remove(to)
	}
	return nil
}

// writer keeps its own error: one of the disk must not look like one of the object.
type writer struct {
	w   io.Writer
	err error
}

func (w *writer) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}

// ID is the name git gives to a blob of so many bytes, in a repository whose
// names have so many digits (40 or 64).
func ID(content io.Reader, size int64, digits int) (string, error) {
	h := hasher(digits)
	fmt.Fprintf(h, "blob %d\x00", size)
	n, err := io.Copy(h, content)
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	return hex.EncodeToString(h.Sum(nil)), err
}

func hasher(digits int) hash.Hash {
	if digits == 64 {
		return sha256.New()
	}
	return sha1.New()
}
