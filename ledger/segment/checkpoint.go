package segment

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is a tree head as C2SP tlog-checkpoint writes it: three lines and
// one extension line that names the checkpoint before it in the same segment,
// so that one good signature vouches for the bytes of all earlier ones.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   tlog.Hash
	After  tlog.Hash // SHA-256 of the earlier note; zero for the first of a segment
}

const afterLine = "after "

// Text is the note's text, to be signed.
func (c Checkpoint) Text() string {
	b := make([]byte, 0, 200)
	b = append(append(b, c.Origin...), '\n')
	b = append(strconv.AppendUint(b, c.Size, 10), '\n')
	b = append(base64.StdEncoding.AppendEncode(b, c.Root[:]), '\n')
	b = append(b, afterLine...)
	b = append(base64.StdEncoding.AppendEncode(b, c.After[:]), '\n')
	return string(b)
}

var errCheckpoint = errors.New("this is not a checkpoint of a ledger")

// ParseCheckpoint reads the text of a note, signatures or not. It checks no
// signature.
func ParseCheckpoint(text []byte) (Checkpoint, error) {
	if i := bytes.Index(text, []byte("\n\n")); i >= 0 {
		text = text[:i+1]
	}
	lines := bytes.Split(text, []byte("\n"))
	if len(lines) < 4 || len(lines[0]) == 0 {
		return Checkpoint{}, errCheckpoint
	}
	c := Checkpoint{Origin: string(lines[0])}
	size, err := strconv.ParseUint(string(lines[1]), 10, 62)
	if err != nil || strconv.FormatUint(size, 10) != string(lines[1]) {
		return Checkpoint{}, errCheckpoint
	}
	c.Size = size
	if !decodeHash(&c.Root, lines[2]) {
		return Checkpoint{}, errCheckpoint
	}
	for _, l := range lines[3:] {
		if rest, ok := bytes.CutPrefix(l, []byte(afterLine)); ok && !decodeHash(&c.After, rest) {
			return Checkpoint{}, errCheckpoint
		}
	}
	return c, nil
}

func decodeHash(h *tlog.Hash, b []byte) bool {
	var buf [48]byte
	if len(b) != 44 {
		return false
	}
	n, err := base64.StdEncoding.Strict().Decode(buf[:], b)
	copy(h[:], buf[:])
	return err == nil && n == tlog.HashSize
}
