package scan

import (
	"math/rand"
	"runtime"
	"slices"
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
		if rnd.Intn(3) == 0 { // over the end of a piece
			text = strings.Repeat("x", piece-rnd.Intn(300)) + text
		}
		var want []standing
		r.words.run(0, text, func(end int, w word) bool {
			want = append(want, standing{int32(end), int32(w.id), int32(w.size)})
			return true
		})
		if diff := cmp.Diff(want, slices.Collect(r.find.all(text)), cmp.AllowUnexported(standing{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%q: %s", text, diff)
		}
		met += len(want)
	}
	if met < 100_000 {
		t.Errorf("only %d words stood in the texts", met)
	}
}

// A text of nothing but keywords is searched in little memory, and each is charged.
func TestKeywordsAreNotGathered(t *testing.T) {
	text := strings.Repeat("key", 8<<20/3)
	bytes, steps := spent(t, text)
	t.Logf("%d bytes and %d steps", bytes, steps)
	if bytes > 1<<20 {
		t.Errorf("%d bytes for a text of %d", bytes, len(text))
	}
	if least := (10*3 + quickCost) * len(text) / 3; steps < least {
		t.Errorf("%d steps, less than %d: what is turned away is not charged", steps, least)
	}
	s := newScanner(t)
	if _, err := s.Text(text, &Budget{left: 12 * len(text)}); err != ErrBudget {
		t.Error(err)
	}
}

// So is one that comes in a stream, in one large piece.
func TestKeywordsOfAPieceAreNotGathered(t *testing.T) {
	s := newScanner(t)
	s.must(t, "key")
	st := s.Stream(func(string, bool) bool { return true })
	text := strings.Repeat("key", 1<<20/3)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	st.Feed(text)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 32<<20 {
		t.Errorf("%d bytes for a piece of %d", n, len(text))
	}
	if _, err := st.End(); err != nil {
		t.Error(err)
	}
}

// Source code of any size costs a part of what it is given for its size.
func TestSourceCodeIsWithinTheBudget(t *testing.T) {
	code := sources(t)["the project's code and documents"]
	for _, n := range []int{256 << 10, 1 << 20, len(code)} {
		if _, steps := spent(t, code[:n]); steps > 50*n {
			t.Errorf("%d bytes: %d steps", n, steps)
		}
	}
}
