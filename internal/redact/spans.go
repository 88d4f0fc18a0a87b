package redact

import (
	"regexp"
	"slices"
	"strings"

	"github.com/countersign/countersign/internal/lazyre"
)

var word = lazyre.Compile(`\S+`)

// Spans returns where in a line of text secrets stand, as byte ranges [from,
// to), sorted and apart. It finds what Argv finds in the words of the line, and
// what Arg finds in all of it; what follows does not change what is found before
// the last blank.
func Spans(line string) [][2]int {
	var out [][2]int
	add := func(re *regexp.Regexp, group int) {
		for _, m := range re.FindAllStringSubmatchIndex(line, -1) {
			out = append(out, [2]int{m[2*group], m[2*group+1]})
		}
	}
	// The patterns are slow: none is tried without what it cannot match without.
	if strings.Contains(line, "://") {
		add(userinfo(), 2)
	}
	if tokens(line) {
		add(wellKnown(), 0)
	}
	if !named(line) {
		return joined(out)
	}
	for _, m := range assign().FindAllStringSubmatchIndex(line, -1) {
		if !counts(line[m[2]:m[3]-1], line[m[4]:m[5]]) {
			out = append(out, [2]int{m[4], m[5]})
		}
	}
	add(header(), 2)
	next, flag := false, ""
	for _, w := range word().FindAllStringIndex(line, -1) {
		s := line[w[0]:w[1]]
		if m := flagValue().FindStringSubmatchIndex(s); m != nil && !counts(s[m[2]:m[3]-1], s[m[4]:m[5]]) {
			out = append(out, [2]int{w[0] + m[4], w[0] + m[5]})
		}
		if next && !strings.HasPrefix(s, "-") && !counts(flag, s) {
			out = append(out, [2]int{w[0], w[1]})
		}
		next, flag = strings.HasPrefix(s, "-") && flagAlone().MatchString(s), s
	}
	return joined(out)
}

// named reports whether anything in a line is called a secret.
func named(line string) bool {
	if !strings.ContainsAny(line, "=:-") {
		return false
	}
	low := strings.ToLower(line)
	for _, s := range []string{"passw", "secret", "token", "key", "credential", "authorization", "cookie"} {
		if strings.Contains(low, s) {
			return true
		}
	}
	return false
}

// joined sorts ranges and makes one of those that touch.
func joined(in [][2]int) [][2]int {
	slices.SortFunc(in, func(a, b [2]int) int { return a[0] - b[0] })
	var out [][2]int
	for _, r := range in {
		if n := len(out); n > 0 && r[0] <= out[n-1][1] {
			out[n-1][1] = max(out[n-1][1], r[1])
		} else {
			out = append(out, r)
		}
	}
	return out
}
