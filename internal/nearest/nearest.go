// Package nearest finds, of the names that are known, those that a mistyped one
// may have meant. It is pure.
package nearest

import (
	"slices"
	"strings"
)

// Of returns at most three of the known names, the nearest first, then by name: of
// those that begin like the word or contain it, or are at most a third of its
// letters away (Levenshtein distance). Of an empty word there are none.
func Of(word string, known []string) []string {
	type near struct {
		name string
		far  int
	}
	var found []near
	for _, name := range known {
		far := distance(word, name)
		if word != "" && (far <= max(1, len(word)/3) || strings.Contains(name, word)) {
			found = append(found, near{name, far})
		}
	}
	slices.SortFunc(found, func(a, b near) int {
		if a.far != b.far {
			return a.far - b.far
		}
		return strings.Compare(a.name, b.name)
	})
	out := []string{}
	for _, n := range found[:min(len(found), 3)] {
		out = append(out, n.name)
	}
	return out
}

// distance counts the bytes to insert, remove or replace that make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
