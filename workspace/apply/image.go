package apply

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
)

// image keeps the content of a file. Where the review has it, as the base that its
// hunks stand on, it is not copied.
func (p *plan) image(f *os.File) (sum string, n int64, err error) {
	h := sha256.New()
	if n, err = io.Copy(h, f); err != nil {
		return "", 0, err
	}
	if sum = hex.EncodeToString(h.Sum(nil)); p.images.Adopt(p.store, sum) {
		return sum, n, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", 0, err
	}
	return p.images.Put(f)
}
