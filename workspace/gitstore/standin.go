package gitstore

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/adler32"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
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

// StandsFor is the id of the blob that a stand-in is for: of several, the first.
func StandsFor(b []byte) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(string(b), standInHead), ":")
	return id
}

// standIn puts stand-ins under the names of blobs: a pack (gitformat-pack(5)) whose
// index names each object wrongly. One pack, as there may be thousands of them.
func (s *Store) standIn(ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	sort.Strings(ids)
	pack, index, err := packed(ids)
	if err != nil {
		return err
	}
	dir := filepath.Join(s.Objects(), StandIns, "pack")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	at := filepath.Join(dir, "pack-"+hex.EncodeToString(pack[len(pack)-len(ids[0])/2:]))
	if err := atomicfile.Replace(at+".pack", pack); err != nil {
		return err
	}
	return atomicfile.Replace(at+".idx", index)
}

// packed makes the pack (version 2) and its index (version 2) of sorted ids.
func packed(ids []string) (pack, index []byte, err error) {
	sum := func(b []byte) []byte { h := sha1.Sum(b); return append(b, h[:]...) }
	if len(ids[0]) == 64 {
		sum = func(b []byte) []byte { h := sha256.Sum256(b); return append(b, h[:]...) }
	}
	be := binary.BigEndian
	pack = be.AppendUint32(be.AppendUint32([]byte("PACK"), 2), uint32(len(ids)))
	var fan [256]uint32
	var names, crcs, offsets []byte
	for _, id := range ids {
		name, err := hex.DecodeString(id)
		if err != nil || len(id) != len(ids[0]) {
			return nil, nil, fmt.Errorf("%q is no object id here", id)
		}
		for i := int(name[0]); i < len(fan); i++ {
			fan[i]++
		}
		text := []byte(StandIn(id))
		entry := append([]byte{0x80 | 3<<4 | byte(len(text)&15), byte(len(text) >> 4)}, stored(text)...) // a blob of under 2,048 bytes
		names, crcs, offsets = append(names, name...), be.AppendUint32(crcs, crc32.ChecksumIEEE(entry)), be.AppendUint32(offsets, uint32(len(pack)))
		pack = append(pack, entry...)
	}
	pack = sum(pack)
	index = be.AppendUint32([]byte("\xfftOc"), 2)
	for _, n := range fan {
		index = be.AppendUint32(index, n)
	}
	index = slices.Concat(index, names, crcs, offsets, pack[len(pack)-len(ids[0])/2:])
	return pack, sum(index), nil
}

// Loose is the stand-in of a blob as a loose object (gitformat-loose).
func Loose(id string) []byte {
	text := StandIn(id)
	return stored(fmt.Appendf(nil, "blob %d\x00%s", len(text), text))
}

// stored is a zlib stream (RFC 1950) of one stored block (RFC 1951).
func stored(b []byte) []byte {
	z := []byte{0x78, 0x01, 0x01}
	z = binary.LittleEndian.AppendUint16(z, uint16(len(b)))
	z = binary.LittleEndian.AppendUint16(z, ^uint16(len(b)))
	return binary.BigEndian.AppendUint32(append(z, b...), adler32.Checksum(b))
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
