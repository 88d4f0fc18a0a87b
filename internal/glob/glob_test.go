package glob

import (
	"strings"
	"testing"
)

// slowMatch is what glob means, written so that it cannot be wrong.
func slowMatch(pat []rune, s []rune) bool {
	if len(pat) == 0 {
		return len(s) == 0
	}
	switch pat[0] {
	case '*':
		for i := 0; i <= len(s); i++ {
			if slowMatch(pat[1:], s[i:]) {
				return true
			}
		}
		return false
	case '\\':
		return len(pat) > 1 && len(s) > 0 && pat[1] == s[0] && slowMatch(pat[2:], s[1:])
	}
	return len(s) > 0 && pat[0] == s[0] && slowMatch(pat[1:], s[1:])
}

func FuzzArgPattern(f *testing.F) {
	for _, s := range [][2]string{{"a*b", "axxb"}, {"*", ""}, {`\*`, "*"}, {"a*b*c", "abc"}, {"*a*", "bab"}, {"**", "x"}, {"ab*ab", "ab"}, {"ü*", "üx"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pat, s string) {
		if len(pat) > 20 || len(s) > 40 || strings.Count(pat, "*") > 4 || strings.ToValidUTF8(pat, "") != pat || strings.ToValidUTF8(s, "") != s {
			return
		}
		g, err := Arg(pat)
		if err != nil {
			if !strings.HasSuffix(pat, `\`) {
				t.Fatal(err)
			}
			return
		}
		if got, want := g.Match(s), slowMatch([]rune(pat), []rune(s)); got != want {
			t.Fatalf("%q on %q: %v, want %v", pat, s, got, want)
		}
	})
}

func TestSegment(t *testing.T) {
	for _, tt := range []struct {
		pattern, match, not string
	}{
		{"a[b-d]?", "abx ACY", "aex ab abxy"}, {"[!a-c]", "d", "a b"}, {"[^a]", "b", "a"}, {`[\]]`, "]", "x"}, {`\[x`, "[x", "x"}, {"*a*", "a ba ab", "b"}, {"é?", "éx", "e"},
	} {
		g, err := Segment(tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range strings.Fields(strings.ToLower(tt.match)) {
			if !g.Match(s) {
				t.Errorf("%s does not match %s", tt.pattern, s)
			}
		}
		for _, s := range strings.Fields(tt.not) {
			if g.Match(s) {
				t.Errorf("%s matches %s", tt.pattern, s)
			}
		}
	}
	for _, bad := range []string{"[", "[a", "[b-a]", `a\`, "[]", "[!"} {
		if _, err := Segment(bad); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
