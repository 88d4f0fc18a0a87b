package segment

import (
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// Tree is the right edge of an RFC 6962 Merkle tree: enough to append and to
// compute the root, 32 bytes for each set bit of its size. The zero value is
// the empty tree.
type Tree struct {
	size     uint64
	frontier []tlog.Hash // roots of the perfect subtrees, largest first
}

// Size is the number of leaves.
func (t *Tree) Size() uint64 { return t.size }

// Append adds a leaf's hash.
func (t *Tree) Append(h tlog.Hash) {
	for n := t.size; n&1 == 1; n >>= 1 {
		last := len(t.frontier) - 1
		h = tlog.NodeHash(t.frontier[last], h)
		t.frontier = t.frontier[:last]
	}
	t.frontier = append(t.frontier, h)
	t.size++
}

// Root is the tree's root hash (RFC 6962, section 2.1).
func (t *Tree) Root() tlog.Hash {
	if t.size == 0 {
		h, _ := tlog.TreeHash(0, nil) // cannot fail: reads nothing
		return h
	}
	h := t.frontier[len(t.frontier)-1]
	for i := len(t.frontier) - 2; i >= 0; i-- {
		h = tlog.NodeHash(t.frontier[i], h)
	}
	return h
}

// Clone returns a copy that does not share memory.
func (t *Tree) Clone() Tree {
	return Tree{size: t.size, frontier: append([]tlog.Hash(nil), t.frontier...)}
}

// Equal reports whether both hold the same leaves.
func (t *Tree) Equal(u Tree) bool {
	if t.size != u.size || len(t.frontier) != len(u.frontier) {
		return false
	}
	for i := range t.frontier {
		if t.frontier[i] != u.frontier[i] {
			return false
		}
	}
	return true
}

func (t *Tree) want() int { return bits.OnesCount64(t.size) }
