package layer

import (
	"crypto/sha256"
	"fmt"
	"path"
	"sort"

	"golang.org/x/sys/unix"
)

// Signature sums up the two upper levels of a directory: an install or a build
// touches them. A deeper change alone is not seen.
func (r *Root) Signature(d string) [32]byte {
	h := sha256.New()
	level := []string{d}
	for range 2 {
		var next []string
		for _, dir := range level {
			var names []string
			all, err := r.Names(dir)
			if err != nil {
				continue
			}
			for _, e := range all {
				names = append(names, e.Name())
			}
			sort.Strings(names)
			for _, n := range names {
				rel := path.Join(dir, n)
				st, err := r.Lstat(rel)
				if err != nil {
					continue
				}
				fmt.Fprintf(h, "%q %o %d %d %d\n", rel, st.Mode, st.Size, st.Mtim.Nano(), st.Ctim.Nano())
				if st.Mode&unix.S_IFMT == unix.S_IFDIR {
					next = append(next, rel)
				}
			}
		}
		level = next
	}
	var sum [32]byte
	h.Sum(sum[:0])
	return sum
}
