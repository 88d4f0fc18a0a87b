package gitstore

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/adler32"
	"maps"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/countersign/countersign/internal/atomicfile"
)

// StandIns is the directory of objects, below Objects, that holds a stand-in for
// each blob withheld. Git does not hash what it reads, so that it goes through
// such a history as through any other; a replacement by reference (git-replace(1))
// would not do, since git looks for the blob itself wherever it does not read it.
// It must be no alternate of a repository on the host: there the blobs are missing.
const StandIns = "withheld"

// StandIn is what git inside reads in the place of a blob that is withheld. It
// differs from blob to blob as their content does, so that a change shows as one.
func StandIn(id string) string { return standInHead + id + standInTail }

const (
	standInHead = "Countersign withholds the content of blob "
	standInTail = ": a deny rule covers its path.\n"
)

// StandInSize tells whether a stand-in, or several, may have so many bytes.
func StandInSize(n int64) bool {
	for _, id := range []int64{40, 41, 64, 65} { // git's ids, and a carriage return
		if line := int64(len(standInHead)+len(standInTail)) + id; n > 0 && n < 1<<20 && n%line == 0 {
			return true
		}
	}
	return false
}

// IsStandIn tells whether content is a stand-in, or several that git put one after
// the other when it merged, with whatever line ending git was told to write.
func IsStandIn(b []byte) bool {
	for line := range strings.Lines(string(b)) {
		id, ok := strings.CutPrefix(line, standInHead)
		if !ok {
			return false
		}
		id, ok = strings.CutSuffix(strings.Replace(id, "\r\n", "\n", 1), standInTail)
		if _, err := hex.DecodeString(id); !ok || err != nil || len(id) != 40 && len(id) != 64 {
			return false
		}
	}
	return len(b) > 0
}

// standIn puts a stand-in under the name of each blob withheld: a loose object
// (gitformat-loose) that bears the wrong name.
func (s *Store) standIn() error {
	dir := filepath.Join(s.Objects(), StandIns)
	for id := range s.st.Deny {
		at := filepath.Join(dir, id[:2], id[2:])
		if _, err := os.Lstat(at); err == nil {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			return err
		}
		if err := atomicfile.Replace(at, Loose(id)); err != nil {
			return err
		}
	}
	return nil
}

// Loose is the stand-in of a blob as a loose object (gitformat-loose): a zlib
// stream (RFC 1950) of one stored block (RFC 1951).
func Loose(id string) []byte {
	text := StandIn(id)
	body := fmt.Appendf(nil, "blob %d\x00%s", len(text), text)
	b := []byte{0x78, 0x01, 0x01}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(body)))
	b = binary.LittleEndian.AppendUint16(b, ^uint16(len(body)))
	return binary.BigEndian.AppendUint32(append(b, body...), adler32.Checksum(body))
}

// Withheld is a denied path, below the working tree, of each blob that is withheld.
func (s *Store) Withheld() map[string]string { return maps.Clone(s.st.Deny) }

// DeniedPaths are the denied paths of the history and the index, sorted.
func (s *Store) DeniedPaths() []string {
	var list []string
	for p, denied := range s.st.Paths {
		if denied {
			list = append(list, p)
		}
	}
	sort.Strings(list)
	return list
}

// isEmpty tells whether an id is that of the empty blob, which there is nothing to
// withhold of and which stands at many a path.
func isEmpty(id string) bool {
	return id == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391" || id == "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813"
}
