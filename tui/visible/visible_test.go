package visible

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestString(t *testing.T) {
	tests := []struct {
		name, in, want string
		flagged        bool
	}{
		{"plain", "git commit -m 'x'", "git commit -m 'x'", false},
		{"escape", "a\x1b[2Jb", `a\u{1b}[2Jb`, true},
		{"newline and tab", "a\n\tb", `a\u{a}\u{9}b`, true},
		{"c1", "a\u009bb", `a\u{9b}b`, true},
		{"bidi", "a\u202eb\u2066", `a\u{202e}b\u{2066}`, true},
		{"zero width", "rm\u200b -rf\ufeff", `rm\u{200b} -rf\u{feff}`, true},
		{"no-break space", "a\u00a0b", `a\u{a0}b`, true},
		{"line separator", "a\u2028b", `a\u{2028}b`, true},
		{"private use", "\ue000", `\u{e000}`, true},
		{"unassigned", "\U000e0fff", `\u{e0fff}`, true},
		{"tag", "\U000e0041", `\u{e0041}`, true},
		{"hangul filler", "a\u3164", `a\u{3164}`, true},
		{"variation selector", "a\ufe0f", `a\u{fe0f}`, true},
		{"invalid", "a\xffb", `a\x{ff}b`, true},
		{"accent", "e\u0301", "e\u0301", false},
		{"stacked accents", "e\u0301\u0302\u0303", "e\u0301\u0302\\u{303}", true},
		{"mark without base", "-\u0338", `-\u{338}`, true},
		{"backslash", `C:\dir\u{1b}\\`, `C:\dir\\u{1b}\\\`, false},
		{"letters of the world", "привет 日本 ☃ é", "привет 日本 ☃ é", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, flagged := String(tt.in)
			if got != tt.want || flagged != tt.flagged {
				t.Errorf("got %q, %v, want %q, %v", got, flagged, tt.want, tt.flagged)
			}
		})
	}
}

func TestText(t *testing.T) {
	if got, flagged := Text("\tif x → y\x1b"); got != `→   if x \u{2192} y\u{1b}` || !flagged {
		t.Errorf("%q", got)
	}
	if _, flagged := Text("\tx → y"); flagged {
		t.Error("a tab and an arrow are no tricks")
	}
}

func TestScripts(t *testing.T) {
	tests := []struct {
		in   string
		want []string
	}{
		{"paypal", nil},
		{"pаypal", []string{"Cyrillic", "Latin"}},
		{"привет world", nil},
		{"ｃurl", []string{"ASCII look-alike", "Latin"}},
		{"αβγ", nil},
	}
	for _, tt := range tests {
		if got := Scripts(tt.in); !slices.Equal(got, tt.want) {
			t.Errorf("%q: got %v, want %v", tt.in, got, tt.want)
		}
	}
}

// undo reads our escapes back; that it can is what makes String injective.
func undo(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		switch c := s[i+1]; {
		case c == '\\':
			b.WriteByte('\\')
			i++
		case (c == 'u' || c == 'x') && strings.HasPrefix(s[i+2:], "{"):
			end := strings.IndexByte(s[i:], '}')
			n, _ := strconv.ParseUint(s[i+3:i+end], 16, 32)
			if c == 'u' {
				b.WriteRune(rune(n))
			} else {
				b.WriteByte(byte(n))
			}
			i += end
		default:
			b.WriteByte('\\')
		}
	}
	return b.String()
}

func FuzzString(f *testing.F) {
	for _, s := range []string{"", "a\\", `\\u{1b}`, "\x1b]52;c;\x07", "e\u0301\u0301\u0301", "\xe2\x80", `\\\x{`, "\u202e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out, flagged := String(in)
		for _, r := range out {
			if r == utf8.RuneError && !strings.ContainsRune(in, r) || unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) || unicode.Is(unicode.Zs, r) && r != ' ' || ignorable(r) {
				t.Fatalf("%q came through as %q in %q", r, in, out)
			}
		}
		if !flagged && strings.Contains(undo(out), "\x1b") {
			t.Fatalf("%q not flagged", in)
		}
		if back := undo(out); back != in {
			t.Fatalf("%q became %q, which reads back as %q", in, out, back)
		}
	})
}
