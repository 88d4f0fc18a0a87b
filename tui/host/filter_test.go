package host

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

func filtered(chunks ...string) string {
	var s scanner
	var out []byte
	for _, c := range chunks {
		s.scan([]byte(c), func(t token) {
			if judge(&t) != drop {
				out = append(out, t.raw...)
			}
		})
	}
	return string(out)
}

func TestWhatReachesTheTerminal(t *testing.T) {
	same := func(s string) [2]string { return [2]string{s, s} }
	gone := func(s string) [2]string { return [2]string{"a" + s + "b", "ab"} }
	tests := map[string][2]string{
		"text":                    same("hello, wörld ☃ 日本\r\n"),
		"sgr":                     same("\x1b[1;38;2;1;2;3;4:3mx\x1b[m"),
		"cursor":                  same("\x1b[5;6H\x1b[2A\x1b[K\x1b[J\x1b7\x1b8"),
		"alternate screen":        same("\x1b[?1049h\x1b[?1049l"),
		"bracketed paste":         same("\x1b[?2004h"),
		"mouse":                   same("\x1b[?1000;1006h"),
		"focus":                   same("\x1b[?1004h"),
		"kitty keyboard":          same("\x1b[>1u\x1b[?u\x1b[<u"),
		"device attributes":       same("\x1b[c\x1b[>c\x1b[>q"),
		"cursor report":           same("\x1b[6n"),
		"mode report":             same("\x1b[?2026$p"),
		"size report":             same("\x1b[18t"),
		"colour query":            {"\x1b]11;?\a", "\x1b]11;?\x1b\\"},
		"title":                   {"\x1b]0;hi\a", "\x1b]0;hi\x1b\\"},
		"hyperlink":               same("\x1b]8;;http://x\x1b\\x\x1b]8;;\x1b\\"),
		"progress":                {"\x1b]9;4;1;50\a", "\x1b]9;4;1;50\x1b\\"},
		"clipboard write":         gone("\x1b]52;c;cm0gLXJm\a"),
		"clipboard read":          gone("\x1b]52;c;?\a"),
		"clipboard, ST":           gone("\x1b]52;c;cm0gLXJm\x1b\\"),
		"title report":            gone("\x1b[21t"),
		"icon report":             gone("\x1b[20t"),
		"window resize":           gone("\x1b[8;5;5t"),
		"iconify":                 gone("\x1b[2t"),
		"decrqss":                 gone("\x1bP$qm\x1b\\"),
		"tmux passthrough":        gone("\x1bPtmux;\x1b\x1b]52;c;eA==\a\x1b\\"),
		"screen passthrough":      gone("\x1bPscreen stuff\x1b\\"),
		"decudk":                  gone("\x1bP0;1|17/726d\x1b\\"),
		"kitty graphics by file":  gone("\x1b_Ga=T,t=f;L2V0Yy9wYXNzd2Q=\x1b\\"),
		"notification 9":          gone("\x1b]9;Approve now\a"),
		"notification 777":        gone("\x1b]777;notify;a;b\a"),
		"notification 99":         gone("\x1b]99;;x\a"),
		"screen's title":          gone("\x1bkwin\x1b\\"),
		"iterm":                   gone("\x1b]1337;CopyToClipboard=\a"),
		"palette":                 gone("\x1b]4;1;rgb:00/00/00\a"),
		"palette behind a query":  gone("\x1b]4;1;?;2;rgb:00/00/00\a"),
		"foreground":              gone("\x1b]10;#000000\a"),
		"print":                   gone("\x1b[5i"),
		"print, private":          gone("\x1b[?5i"),
		"answerback":              gone("\x05"),
		"keyboard lock":           gone("\x1b[2h"),
		"132 columns":             gone("\x1b[?3h"),
		"win32 input":             gone("\x1b[?9001h"),
		"leave utf-8":             gone("\x1b%@"),
		"eight-bit controls":      gone("\x1b G"),
		"highlight tracking":      gone("\x1b[1;1;1;1;1T"),
		"endless repeat":          gone("\x1b[2147483647b"),
		"c1 csi as a character":   {"a\u009b21tb", "a21tb"},
		"c1 csi as a byte":        {"a\x9b21tb", "a\ufffd21tb"},
		"c1 osc as a character":   {"a\u009d52;c;eA==\u009cb", "a52;c;eA==b"},
		"invalid utf-8":           {"a\xff\xc3b", "a\ufffd\ufffdb"},
		"control within csi":      {"\x1b[1\r;2H", "\r\x1b[1;2H"},
		"cancelled":               {"\x1b]52;c\x18b", "b"},
		"osc cut off by csi":      {"\x1b]52;c;x\x1b[1mb", "\x1b[1mb"},
		"title with c1 and bidi":  {"\x1b]2;a\u009cb\a", "\x1b]2;ab\x1b\\"},
		"osc 8 that hides a c1":   gone("\x1b]8;;http://x\u009c\x1b\\"),
		"shift to an unknown set": gone("\x1b(>"),
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := filtered(tt[0]); got != tt[1] {
				t.Errorf("got %q, want %q", got, tt[1])
			}
			if got := filtered(strings.Split(tt[0], "")...); utf8.ValidString(tt[0]) && got != tt[1] {
				t.Errorf("byte by byte: got %q, want %q", got, tt[1])
			}
		})
	}
}

func TestHugeSequencesAreBounded(t *testing.T) {
	var s scanner
	n := 0
	s.scan([]byte("\x1b]0;"), func(token) { n++ })
	for range 1000 {
		s.scan(bytes.Repeat([]byte("x"), 4096), func(token) { n++ })
	}
	if len(s.buf) > maxString {
		t.Errorf("holds %d bytes", len(s.buf))
	}
	s.scan([]byte("\ab"), func(t token) { n++ })
	if n != 1 {
		t.Errorf("%d tokens, want the letter behind it alone", n)
	}
}

// Whatever the stream and however it is cut, the result is the same, is made of
// sequences that the filter lets through again unchanged, and is valid UTF-8.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{"a\x1b[", "\x1b]52;c;x\x1b", "\xe2\x98", "\x1bP+q544e\x1b\\", "\x1b[?1;2$p", "\x1b]0;\u009c\a", "\x1b[1:2;3m\x9b1m"} {
		f.Add([]byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, in []byte, seed uint64) {
		whole := filtered(string(in))
		r := rand.New(rand.NewPCG(seed, 0))
		var parts []string
		for rest := in; len(rest) > 0; {
			n := 1 + r.IntN(len(rest))
			parts, rest = append(parts, string(rest[:n])), rest[n:]
		}
		if got := filtered(parts...); got != whole {
			t.Fatalf("in parts %q: %q, whole: %q", parts, got, whole)
		}
		if again := filtered(whole); again != whole {
			t.Fatalf("not stable: %q, then %q", whole, again)
		}
		if !utf8.ValidString(whole) {
			t.Fatalf("%q is not UTF-8", whole)
		}
		for _, bad := range []string{"\x1b]52", "\x1bPtmux", "\x1b_", "\x1b^", "\x1bX", "\x05", "\x1b[21t", "\x1b]9;A"} {
			if strings.Contains(whole, bad) {
				t.Fatalf("%q came through in %q", bad, whole)
			}
		}
	})
}
