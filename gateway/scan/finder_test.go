package scan

import (
	"math/rand"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// pieces are what texts are made of that meet every turn of the two.
func pieces(r *Rules) []string {
	out := []string{" ", "\n", "\r\n", "=", "%", "%41", "%2B", "%zz", "a", "Z9", "/", "-", "'", "ä", "\x00", "\x80", strings.Repeat("YWJj", 5), strings.Repeat("QUJD", 20), strings.Repeat("6162", 9), "0x", "word "}
	for i := range r.list {
		for _, w := range r.list[i].Keywords {
			out = append(out, w, strings.ToUpper(w), w[:len(w)-1])
		}
	}
	return out
}

func mixed(rnd *rand.Rand, of []string) string {
	var b strings.Builder
	for range rnd.Intn(40) {
		b.WriteString(of[rnd.Intn(len(of))])
		if rnd.Intn(3) == 0 {
			b.WriteString(of[rnd.Intn(21)])
		}
	}
	return b.String()
}

// Whole texts and those in pieces are searched for the same words.
func TestFinderIsTheAutomaton(t *testing.T) {
	r, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	rnd, of := rand.New(rand.NewSource(1)), pieces(r)
	met := 0
	for range 20_000 {
		text := mixed(rnd, of)
		var want []standing
		r.words.run(0, text, func(end int, w word) bool {
			want = append(want, standing{int32(end), int32(w.id), int32(w.size)})
			return true
		})
		if diff := cmp.Diff(want, r.find.all(text), cmp.AllowUnexported(standing{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%q: %s", text, diff)
		}
		met += len(want)
	}
	if met < 100_000 {
		t.Errorf("only %d words stood in the texts", met)
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
			s, to := coded(text, run, i)
			if s != nil {
				found(s)
			}
			if to < len(text) && isBase64(text[to]) { // right behind an equals sign
				return to, to
			}
			return to + 1, to
		}()
	}
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
		var want, got []segment
		byByte(text, func(s *segment) { want = append(want, *s) })
		if err := eachEncoded(text, func(s *segment) error { got = append(got, *s); return nil }); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(segment{}, place{})); diff != "" {
			t.Fatalf("%q: %s", text, diff)
		}
		met += len(want)
	}
	if met < 10_000 {
		t.Errorf("only %d parts were encoded", met)
	}
}
