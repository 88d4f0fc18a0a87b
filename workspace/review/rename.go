package review

import (
	"bytes"
	"fmt"
	"path"
	"sort"

	"github.com/countersign/countersign/diff"
	"github.com/countersign/countersign/workspace/tree"
)

// Bounds on looking for renames by similarity: it is a help to the reader, and
// must not cost more than reading.
const (
	maxSimilarPairs = 4096
	maxSimilarSize  = 1 << 20
	similarPercent  = 50 // as git's default
)

// pairRenames turns a delete and a create into a rename where the content says
// so: first the same content, then, for what a directory's rename explains or
// the name, similar content.
func pairRenames(cs []tree.Change) []tree.Change {
	p := pairing{to: map[int]int{}, taken: map[int]bool{}, dirs: map[[2]string]int{}}
	sources := map[string]bool{}
	for _, c := range cs {
		if c.RenamedFrom != "" {
			sources[c.RenamedFrom] = true
		}
	}
	for i, c := range cs {
		switch {
		case c.RenamedFrom != "":
		case c.Base == nil && c.Staged != nil:
			p.made = append(p.made, i)
		case c.Staged == nil && c.Base != nil && !sources[c.Path]:
			p.gone = append(p.gone, i)
		}
	}
	p.exact(cs)
	p.similar(cs)
	out := make([]tree.Change, 0, len(cs))
	for i, c := range cs {
		if p.taken[i] || c.Staged == nil && sources[c.Path] {
			continue
		}
		if g, ok := p.to[i]; ok {
			c.RenamedFrom, c.Base = cs[g].Path, cs[g].Base
		}
		out = append(out, c)
	}
	return out
}

type pairing struct {
	made, gone []int
	to         map[int]int  // made -> gone
	taken      map[int]bool // gone
	dirs       map[[2]string]int
}

func (p *pairing) pair(cs []tree.Change, m, g int) {
	p.to[m], p.taken[g] = g, true
	p.dirs[[2]string{path.Dir(cs[g].Path), path.Dir(cs[m].Path)}]++
}

// exact pairs equal content: first where the base name is the same too, then
// where not; among equals in the order of their paths, which keeps a renamed
// directory together.
func (p *pairing) exact(cs []tree.Change) {
	key := func(s *tree.State, name string) string {
		return fmt.Sprint(tree.IsSymlink(s.Mode), s.SHA256, name)
	}
	for _, sameName := range []bool{true, false} {
		name := func(i int) string {
			if sameName {
				return path.Base(cs[i].Path)
			}
			return ""
		}
		queue := map[string][]int{}
		for _, g := range p.gone {
			if k := key(cs[g].Base, name(g)); cs[g].Base.Size > 0 && !p.taken[g] {
				queue[k] = append(queue[k], g)
			}
		}
		for _, m := range p.made {
			k := key(cs[m].Staged, name(m))
			if _, done := p.to[m]; done || len(queue[k]) == 0 {
				continue
			}
			p.pair(cs, m, queue[k][0])
			queue[k] = queue[k][1:]
		}
	}
}

// similar pairs what is left. Candidates of a directory that was renamed come
// first, then the same base name, then the rest, as long as they are few.
func (p *pairing) similar(cs []tree.Change) {
	type candidate struct{ m, g, rank int }
	var cand []candidate
	byName := map[string][]int{}
	var gone []int
	for _, g := range p.gone {
		if !p.taken[g] {
			gone = append(gone, g)
			byName[path.Base(cs[g].Path)] = append(byName[path.Base(cs[g].Path)], g)
		}
	}
	few := len(gone)*(len(p.made)-len(p.to)) <= maxSimilarPairs
	for _, m := range p.made {
		if _, done := p.to[m]; done {
			continue
		}
		from := byName[path.Base(cs[m].Path)]
		if few {
			from = gone
		}
		for _, g := range from {
			rank := 2
			if path.Base(cs[g].Path) == path.Base(cs[m].Path) {
				rank = 1
				if p.dirs[[2]string{path.Dir(cs[g].Path), path.Dir(cs[m].Path)}] > 0 {
					rank = 0
				}
			}
			cand = append(cand, candidate{m, g, rank})
		}
	}
	sort.SliceStable(cand, func(i, j int) bool { return cand[i].rank < cand[j].rank })
	texts := map[*tree.State][][]byte{}
	for n, c := range cand {
		if n >= maxSimilarPairs {
			return
		}
		if _, done := p.to[c.m]; !done && !p.taken[c.g] && alike(texts, cs[c.g].Base, cs[c.m].Staged) {
			p.pair(cs, c.m, c.g)
		}
	}
}

// alike compares two files by the bytes of the lines they share.
func alike(texts map[*tree.State][][]byte, a, b *tree.State) bool {
	if tree.IsSymlink(a.Mode) || tree.IsSymlink(b.Mode) || max(a.Size, b.Size) > maxSimilarSize || 100*min(a.Size, b.Size) < similarPercent*max(a.Size, b.Size) || a.Size == 0 {
		return false
	}
	for _, s := range []*tree.State{a, b} {
		if _, ok := texts[s]; ok {
			continue
		}
		texts[s] = nil
		if c, err := read(s); err == nil && c.text {
			texts[s] = diff.Lines(c.data)
		}
	}
	have := map[string]int{}
	for _, l := range texts[a] {
		have[string(l)]++
	}
	shared := int64(0)
	for _, l := range texts[b] {
		if have[string(l)] > 0 && len(bytes.TrimSpace(l)) > 0 {
			have[string(l)]--
			shared += int64(len(l))
		}
	}
	return 100*shared >= similarPercent*max(a.Size, b.Size)
}
