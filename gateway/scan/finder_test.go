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
