package diff

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"

	countersign "github.com/countersign/countersign"
)

const digestDomain = "countersign hunk v1\n"

// Digest names a hunk: "sha256:" and the lower-case hex SHA-256 of its canonical
// bytes. They cover path, old path, op, modes, base, the range in the old file,
// the place among the pieces of a split hunk, and the pre- and post-image by
// length and SHA-256; and of a commit on a branch that is not checked out, the
// branch. NewStart is not covered: it depends on the other hunks of
// the file, and accepting this one says nothing about them.
// docs/formats/hunk.md gives the bytes.
//
// A hunk whose images are not in memory must carry PreSum, PreLen, PostSum and
// PostLen.
func Digest(h countersign.Hunk) string {
	b := append(make([]byte, 0, 256), digestDomain...)
	for _, s := range []string{h.Path, h.OldPath, string(h.Op), h.Base} {
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(s))), s...)
	}
	b = binary.BigEndian.AppendUint32(b, h.OldMode)
	b = binary.BigEndian.AppendUint32(b, h.NewMode)
	for _, n := range []int{h.OldStart, h.OldLines, h.NewLines, h.Part} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	h = Sum(h)
	for _, i := range []struct {
		n   int64
		sum string
	}{{h.PreLen, h.PreSum}, {h.PostLen, h.PostSum}} {
		b = binary.BigEndian.AppendUint64(b, uint64(i.n))
		raw, err := hex.DecodeString(i.sum)
		if err != nil || len(raw) != sha256.Size {
			raw = make([]byte, sha256.Size) // no content has this sum: the hunk can never be applied
		}
		b = append(b, raw...)
	}
	if h.Branch != "" {
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(h.Branch))), h.Branch...)
	}
	d := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(d[:])
}

// Sum fills PreSum, PreLen, PostSum and PostLen from the bytes in memory, where
// there are any or none are named yet.
func Sum(h countersign.Hunk) countersign.Hunk {
	if h.Pre != nil || h.PreSum == "" {
		h.PreSum, h.PreLen = SHA256(h.Pre), int64(len(h.Pre))
	}
	if h.Post != nil || h.PostSum == "" {
		h.PostSum, h.PostLen = SHA256(h.Post), int64(len(h.Post))
	}
	return h
}

// SHA256 is the lower-case hex SHA-256 of b.
func SHA256(b []byte) string {
	d := sha256.Sum256(b)
	return hex.EncodeToString(d[:])
}

// minID is the shortest id, in hex digits.
const minID = 8

// SetIDs gives each hunk the shortest prefix of its digest, of at least eight
// hex digits, that no other hunk of the set shares. All get the same length.
func SetIDs(hs []countersign.Hunk) {
	n := minID
	for ; n < 2*sha256.Size; n++ {
		seen, unique := make(map[string]string, len(hs)), true
		for _, h := range hs {
			d := hexOf(h)
			if was, ok := seen[d[:n]]; ok && was != d {
				unique = false
				break
			}
			seen[d[:n]] = d
		}
		if unique {
			break
		}
	}
	for i := range hs {
		hs[i].ID = hexOf(hs[i])[:n]
	}
}

// hexOf is what an id is a prefix of: of an edited hunk it is the digest of what
// the agent proposed, so that its name stays.
func hexOf(h countersign.Hunk) string {
	if h.Proposed != "" {
		return strings.TrimPrefix(h.Proposed, "sha256:")
	}
	return strings.TrimPrefix(h.Digest, "sha256:")
}
