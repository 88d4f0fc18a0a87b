package scan

import (
	"math"
	"regexp"
	"sync"
)

type allowData struct {
	Target  string   `json:"target"` // match, line, or empty for the secret
	Regexes []string `json:"regexes"`
	Words   []string `json:"words"` // in the secret, in lower case
}

// allowance says what looks like a secret and is none: one of its patterns or
// words is enough.
type allowance struct {
	target   string
	patterns []func() *regexp.Regexp
	words    func() *automaton
}

func allowed(d allowData) allowance {
	a := allowance{target: d.Target}
	for _, p := range d.Regexes {
		a.patterns = append(a.patterns, sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(p) }))
	}
	if len(d.Words) > 0 {
		a.words = sync.OnceValue(func() *automaton { return newAutomaton(d.Words) })
	}
	return a
}

func (a *allowance) holds(secret, match, line string) bool {
	if a.words != nil && a.words().any(secret) {
		return true
	}
	of := secret
	switch a.target {
	case "match":
		of = match
	case "line":
		of = line
	}
	for _, p := range a.patterns {
		if p().MatchString(of) {
			return true
		}
	}
	return false
}

// entropy is Shannon's, in bits a byte.
func entropy(s string) float64 {
	var counts [256]int
	for i := range len(s) {
		counts[s[i]]++
	}
	sum := 0.0
	for _, n := range counts {
		if n > 0 {
			p := float64(n) / float64(len(s))
			sum -= p * math.Log2(p)
		}
	}
	return sum
}
