package scan

import (
	"encoding/base64"
	"encoding/hex"
	"math/rand"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// slowly is what line of a chain must do, told without regard to what it costs: each
// run is joined with the lines that go on from it, and all of it decoded.
func slowly(text string, from, to int) (*segment, int) {
	if s := hexed(text, from, to); s != nil {
		return s, to
	}
	chars, at, end := lines(text, from, to)
	for shift := 0; shift < 4 && len(chars)-shift >= minBase64; shift++ {
		of := chars[shift:]
		enc := base64.RawStdEncoding
		if strings.ContainsAny(of, "-_") {
			enc = base64.RawURLEncoding
		}
		if len(of)%4 == 1 {
			of = of[:len(of)-1]
		}
		out, err := enc.DecodeString(of)
		if err != nil || !utf8.Valid(out) || strings.ContainsFunc(string(out), func(r rune) bool {
			return r == 0x7f || r < ' ' && !strings.ContainsRune("\t\r\n", r)
		}) {
			continue
		}
		for n := 0; n < 2 && end < len(text) && text[end] == '='; n++ {
			end++
		}
		s := &segment{place: place{from + shift, end}, via: "base64", decoded: string(out), in: 4, of: 3}
		if len(at) > to-from+1 {
			s.at = at[shift:]
		}
		return s, end
	}
	return nil, to
}

func lines(text string, from, to int) (chars string, at []int32, end int) {
	for {
		for i := from; i < to; i++ {
			chars, at = chars+text[i:i+1], append(at, int32(i))
		}
		next := to
		for next < len(text) && (text[next] == '\r' || text[next] == '\n') && next < to+2 {
			next++
		}
		stop := next
		for stop < len(text) && isBase64(text[stop]) {
			stop++
		}
		if to-from < wrapped || stop == next || next == to {
			return chars, append(at, int32(to)), to
		}
		from, to = next, stop
	}
}

// byByte looks at each byte of a text for what is encoded in it.
func byByte(text string, found func(*segment)) {
	run := 0
	for i := 0; i <= len(text); i++ {
		if i < len(text) && isBase64(text[i]) {
			continue
		}
		if i < len(text) && percentAt(text, i) == i {
			s, to := percent(text, run, i)
			if s != nil {
				found(s)
			}
			i, run = max(to-1, i), max(to, i+1)
			continue
		}
		run, i = func() (int, int) {
			if i-run < minBase64 {
				return i + 1, i
			}
			s, to := slowly(text, run, i)
			if s != nil {
				found(s)
			}
			return to, to - 1
		}()
	}
}

// asByByte requires that a text's encoded parts are those that byByte tells, and
// returns them.
func asByByte(t *testing.T, text string) []segment {
	t.Helper()
	var want, got []segment
	byByte(text, func(s *segment) { want = append(want, *s) })
	if err := eachEncoded(text, NewBudget(len(text)), func(s *segment) error { got = append(got, *s); return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(segment{}, place{})); diff != "" {
		t.Fatalf("%q: %s", text, diff)
	}
	return want
}

func TestRunsArePassedOverUnseenOnlyIfShort(t *testing.T) {
	r, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	rnd, of := rand.New(rand.NewSource(2)), pieces(r)
	met := 0
	for range 20_000 {
		text := mixed(rnd, of)
		want := asByByte(t, text)
		met += len(want)
	}
	if met < 10_000 {
		t.Errorf("only %d parts were encoded", met)
	}
}

// content is what may stand in base64: texts, of one or of many bytes a character,
// secrets, and what is no text at all or not from its beginning or to its end.
func content(rnd *rand.Rand) []byte {
	some := []string{"some words of a file\n", "\tkey = 3;\r\n", "schön, ", "日本語の", "🔑", "\ufffd", "\u0080", secrets()["github-pat"], "password: ", "???>>>", "~~~"}
	bad := []string{"\x00", "\x7f", "\xff\xfe", "\x80", "\xe6\x97", "\xf0\x9f\x94", "\xed\xa0\x80", "\xc0\xaf", "\x1b["}
	var out []byte
	for n := rnd.Intn(24); n >= 0; n-- {
		out = append(out, some[rnd.Intn(len(some))]...)
	}
	switch rnd.Intn(6) {
	case 0:
		return append([]byte(bad[rnd.Intn(len(bad))]), out...)
	case 1:
		return append(out, bad[rnd.Intn(len(bad))]...)
	case 2:
		at := rnd.Intn(len(out))
		return append(append(append([]byte{}, out[:at]...), bad[rnd.Intn(len(bad))]...), out[at:]...)
	case 3:
		rnd.Read(out)
	}
	return out
}

// wrap breaks base64 into lines as programs do, or nearly.
func wrap(rnd *rand.Rand, in string) string {
	end := []string{"\n", "\r\n", "\n\n", "\r", "\n ", "\\n", " \n", "\n\n\n", "=\n", ""}[min(rnd.Intn(16), 10)%10]
	width := []int{60, 64, 76, 59, 61, 62, 63}[rnd.Intn(7)]
	var b strings.Builder
	for len(in) > width {
		b.WriteString(in[:width])
		in = in[width:]
		b.WriteString(end)
		if rnd.Intn(20) == 0 {
			width = 56 + rnd.Intn(24)
		}
	}
	b.WriteString(in)
	return b.String()
}

// encodings are parts of a text that is wrapped, with others of its kind around.
func encodings(rnd *rand.Rand) string {
	var b strings.Builder
	around := []string{"\n", "\n", "\n", "\r\n", "=\n", "==", " ", "\"", "x", "-", "_", "+", "/", "%41", "%zz", "A", "data:;base64,", strings.Repeat("/", 76) + "\n", strings.Repeat("QUFB", 19) + "\n", strings.Repeat("6162", 19) + "\n"}
	for range 1 + rnd.Intn(4) {
		enc := []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding}[rnd.Intn(4)]
		of := enc.EncodeToString(content(rnd))
		if rnd.Intn(8) == 0 {
			of = hex.EncodeToString(content(rnd))
		}
		b.WriteString(wrap(rnd, of[rnd.Intn(min(len(of), 6)):]))
		for range rnd.Intn(3) {
			b.WriteString(around[rnd.Intn(len(around))])
		}
	}
	return b.String()
}

// What is wrapped is found as if every run were joined and decoded by itself.
func TestWrappedRunsMissNothing(t *testing.T) {
	rnd := rand.New(rand.NewSource(3))
	met, joined := 0, 0
	for range 4000 {
		text := encodings(rnd)
		want := asByByte(t, text)
		met += len(want)
		for i := range want {
			if want[i].via == "base64" && want[i].at != nil {
				joined++
			}
		}
	}
	if met < 4000 || joined < 1000 {
		t.Errorf("only %d parts were encoded, %d of them in lines", met, joined)
	}
}

// A secret in lines is found wherever it begins, and whatever stands before.
func TestSecretsInWrappedRuns(t *testing.T) {
	s, secret := newScanner(t), secrets()["github-pat"]
	lines := func(text string, width int, end string) string {
		in := base64.StdEncoding.EncodeToString([]byte(text))
		var b strings.Builder
		for ; len(in) > width; in = in[width:] {
			b.WriteString(in[:width] + end)
		}
		return b.String() + in + end
	}
	words := strings.Repeat("words of a file ", 9)
	noise := strings.Repeat(random(50, alnum, 76)+"\n", 3)
	for name, text := range map[string]string{
		"in one line":                  lines(words+secret, 2000, "\n"),
		"over two lines":               lines(words[:50]+secret+" "+words, 76, "\n"),
		"with CRLF":                    lines(words+secret+" "+words, 64, "\r\n"),
		"behind lines that are none":   noise + lines(words+secret, 76, "\n"),
		"behind hex":                   strings.Repeat("0a", 38) + "\n" + lines(words+secret, 76, "\n"),
		"behind a line of its own":     random(51, alnum, 30) + "\n" + lines(words+secret, 76, "\n"),
		"in the last line alone":       noise + lines("key "+secret, 76, "\n"),
		"each line by itself":          "  " + lines(words[:60]+"key "+secret, 80, "\n  "),
		"within a character before it": lines("\x97\xa5"+words, 76, "\n") + "\n\n" + lines("key "+secret, 76, "\n"),
	} {
		if found := s.must(t, text); len(found) != 1 || found[0].Rule != "github-pat" || found[0].Via != "base64" {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

// spent is what a text costs, in bytes that are allocated and in steps.
func spent(t *testing.T, text string) (bytes, steps int) {
	t.Helper()
	s, b := newScanner(t), NewBudget(len(text))
	s.must(t, "key")
	given := b.left
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := s.Text(text, b); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc), given - b.left
}

// in76 is bytes in base64, in n lines.
func in76(n int, of func(i int) byte) string {
	raw := make([]byte, 57*n)
	for i := range raw {
		raw[i] = of(i)
	}
	var b strings.Builder
	for ; len(raw) > 0; raw = raw[57:] {
		b.WriteString(base64.StdEncoding.EncodeToString(raw[:57]) + "\n")
	}
	return b.String()
}

// Four times the lines cost four times as much, and each joined one is charged.
func TestWrappedRunsCostWhatTheirSizeIs(t *testing.T) {
	rnd := rand.New(rand.NewSource(4))
	const han = "日本語"
	for _, tt := range []struct {
		name   string
		of     func(lines int) string
		joined bool
	}{
		{"no text", func(n int) string { return in76(n, func(int) byte { return byte(rnd.Intn(256)) }) }, false},
		{"no text at the end", func(n int) string {
			return in76(n, func(i int) byte {
				if i > 57*(n-1) {
					return 0
				}
				return 'A'
			})
		}, false},
		{"no text in the middle of each line", func(n int) string {
			return in76(n, func(i int) byte {
				if i%57 == 30 {
					return 0
				}
				return 'A'
			})
		}, false},
		{"every line begins within a character", func(n int) string { return in76(n, func(i int) byte { return han[(i+1)%len(han)] }) }, false},
		{"two alphabets", func(n int) string {
			return strings.Repeat(strings.Repeat("QUFB", 18)+"Pz8-\n", n-1) + strings.Repeat("Pz8/", 19) + "\n"
		}, false},
		{"text", func(n int) string { return in76(n, func(int) byte { return 'A' }) }, true},
	} {
		small, large := tt.of(850), tt.of(3400)
		bytes, steps := spent(t, small)
		bytes4, steps4 := spent(t, large)
		t.Logf("%s: %d bytes and %d steps, of four times the size %d and %d", tt.name, bytes, steps, bytes4, steps4)
		if steps4 > 5*steps || bytes > 16*len(small) || bytes4 > 16*len(large) {
			t.Errorf("%s: %d bytes and %d steps, of four times the size %d and %d", tt.name, bytes, steps, bytes4, steps4)
		}
		if least := (10 + joinCost) * len(small) * 19 / 20; tt.joined && steps < least {
			t.Errorf("%s: %d steps, less than %d: what is joined is not charged", tt.name, steps, least)
		}
	}
}

// Where there is too little left to join the lines, that is told.
func TestJoiningIsWithinTheBudget(t *testing.T) {
	text := in76(100, func(int) byte { return 'A' })
	err := eachEncoded(text, &Budget{left: len(text)}, func(*segment) error { return nil })
	if err != ErrBudget {
		t.Error(err)
	}
}
