package card

import (
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"
)

func compared(last, argv []string) string {
	r := request()
	r.Action.Exec.Argv, r.Last, r.LastAt = argv, last, time.Date(2026, 1, 1, 12, 30, 5, 0, time.UTC)
	p := &page{width: 72}
	p.compared(r)
	var b strings.Builder
	for _, l := range p.lines {
		b.WriteString(l.Text + "\n")
	}
	return b.String()
}

func TestACardComparesWithTheLastOfItsKind(t *testing.T) {
	const head = "compared with the one approved at 12:30:05 UTC"
	for _, tt := range []struct {
		name       string
		last, argv []string
		want       string
	}{
		{"nothing to compare with", nil, []string{"ls"}, ""},
		{"the same", []string{"ls", "-l"}, []string{"ls", "-l"}, head + ": the same words\n"},
		{"one word more", []string{"go", "test", "./..."}, []string{"go", "test", "-race", "./..."}, head + " (- gone, + new)\n  = | go test\n  + | -race\n  = | ./...\n"},
		{"within a shell's text", []string{"bash", "-c", "npm test"}, []string{"bash", "-c", "npm run lint"}, head + " (- gone, + new)\n  = | bash -c npm\n  - | test\n  + | run lint\n"},
		{"long sameness is told short", []string{"a", "b", "c", "d", "e", "f", "x"}, []string{"a", "b", "c", "d", "e", "f", "y"}, head + " (- gone, + new)\n  = | a b (2 more words) e f\n  - | x\n  + | y\n"},
		{"nothing hides in it", []string{"ls"}, []string{"ls", "\x1b[2J\u202e"}, head + " (- gone, + new)\n  = | ls\n  + | \\u{1b}[2J\\u{202e}\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := compared(tt.last, tt.argv); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
		})
	}
}

// Whatever the words, what is not gone and what is new make the command again.
func TestTheDifferenceIsTheWholeOfBoth(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	words := func() []string {
		out := make([]string, r.Intn(12))
		for i := range out {
			out[i] = string(rune('a' + r.Intn(4)))
		}
		return out
	}
	for range 3000 {
		was, is := words(), words()
		var back, forth []string
		for _, run := range differ(was, is) {
			if run.mark != '+' {
				back = append(back, run.words...)
			}
			if run.mark != '-' {
				forth = append(forth, run.words...)
			}
		}
		if !slices.Equal(back, was) || !slices.Equal(forth, is) {
			t.Fatalf("%v to %v: %v, %v", was, is, back, forth)
		}
	}
}
