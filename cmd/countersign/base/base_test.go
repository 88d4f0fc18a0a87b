package base

import "testing"

func TestWordsCannotPassForOthers(t *testing.T) {
	for want, argv := range map[string][]string{
		"git -c core.askPass= status":   {"git", "-c", "core.askPass=", "status"},
		"rm a b":                        {"rm", "a", "b"},
		"rm 'a b'":                      {"rm", "a b"},
		"echo '' 'it'\\''s'":            {"echo", "", "it's"},
		`sh -c 'cat .env; node --test'`: {"sh", "-c", "cat .env; node --test"},
		`printf 'a\u{a}b'`:              {"printf", "a\nb"},
	} {
		if got := Words(argv); got != want {
			t.Errorf("%q gives %s, want %s", argv, got, want)
		}
	}
}
