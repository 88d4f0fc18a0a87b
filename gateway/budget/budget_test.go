package budget

import (
	"crypto/rand"
	"fmt"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	countersign "github.com/countersign/countersign"
)

func limit(id, per, window string, nano, tokens, requests int64) countersign.Limit {
	return countersign.Limit{
		Ruling: countersign.Ruling{Verdict: countersign.Deny, Rule: id, Reason: "r"}, Per: per, Window: window, NanoUSD: nano, Tokens: tokens, Requests: requests,
		Covers: func(provider, _ string) bool { return provider != "free" },
	}
}

// clock is a clock that is set.
type clock struct{ atomic.Int64 }

func at(s string) *clock {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	c := &clock{}
	c.Store(t.UnixNano())
	return c
}

func (c *clock) now() time.Time        { return time.Unix(0, c.Load()).UTC() }
func (c *clock) pass(by time.Duration) { c.Add(int64(by)) }

func open(t testing.TB, path string, c *clock, limits ...countersign.Limit) *Book {
	t.Helper()
	b, err := Open(path, limits, c.now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

var (
	alice = Who{"s1", "/p", "alice"}
	bob   = Who{"s2", "/p", "bob"}
)

func need(nano, tokens int64) Need {
	return Need{Provider: "p", Model: "m", NanoUSD: nano, Priced: true, Tokens: tokens}
}

func (b *Book) mustReserve(t testing.TB, w Who, n Need) Hold {
	t.Helper()
	h, no, err := b.Reserve(w, n)
	if err != nil || no != nil {
		t.Fatalf("%v %v", no, err)
	}
	return h
}

func (b *Book) refuses(t testing.TB, w Who, n Need, rule, says string) *Refusal {
	t.Helper()
	_, no, err := b.Reserve(w, n)
	if err != nil || no == nil || no.Limit.Ruling.Rule != rule || !strings.Contains(no.String(), says) {
		t.Fatalf("%v %v, want %s: %s", no, err, rule, says)
	}
	return no
}

func settle(t testing.TB, h Hold, nano, tokens int64) {
	t.Helper()
	if err := h.Settle(nano, tokens); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsCountedForWhom(t *testing.T) {
	c := at("2026-11-28T23:59:30Z")
	path := filepath.Join(t.TempDir(), "state/spend")
	b := open(t, path, c, limit("task", "session", "", 100, 0, 0), limit("day", "user", "day", 150, 0, 0), limit("team", "project", "month", 0, 1000, 0), limit("pace", "user", "minute", 0, 0, 3))
	settle(t, b.mustReserve(t, alice, need(90, 10)), 60, 400)
	settle(t, b.mustReserve(t, alice, need(90, 10)), 60, 400)
	if no := b.refuses(t, alice, need(1, 1), "task", "per session are spent"); no.Busy() || no.Wait != 0 {
		t.Errorf("%+v", no)
	}
	again := Who{"s3", "/p", "alice"}
	settle(t, b.mustReserve(t, again, need(1, 1)), 30, 1)
	// The day's money and the minute's pace are both over: the longer one is said.
	if no := b.refuses(t, again, need(1, 1), "day", "$0.01 of $0.01 per user and day are spent; the next day begins in 30s (UTC)"); no.Busy() || no.Wait != 30*time.Second {
		t.Errorf("%+v", no)
	}
	h := b.mustReserve(t, bob, need(1, 500))
	if no := b.refuses(t, bob, need(1, 1), "team", "calls in flight have reserved what is left of 1000 tokens per project and month"); !no.Busy() {
		t.Errorf("%+v", no)
	}
	settle(t, h, 1, 150)
	settle(t, b.mustReserve(t, bob, need(1, 1)), 1, 1)
	settle(t, b.mustReserve(t, bob, need(1, 1)), 1, 1)
	b.refuses(t, bob, need(1, 1), "pace", "3 requests per user and minute were made")
	if _, no, err := b.Reserve(alice, Need{Provider: "free"}); no != nil || err != nil {
		t.Errorf("a model that no limit covers: %v %v", no, err)
	}
	c.pass(30 * time.Second) // another day, another minute, the same month and session
	b.refuses(t, alice, need(1, 1), "task", "spent")
	settle(t, b.mustReserve(t, again, need(1, 1)), 1, 1)

	left, err := open(t, path, c, b.limits...).Left(again)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range left {
		lines = append(lines, l.String())
	}
	want := []string{
		"task: $0.000000069 of $0.0000001 left, per session", "day: $0.000000149 of $0.00000015 left, per user and day",
		"team: 46 of 1000 tokens left, per project and month", "pace: 2 of 3 requests left, per user and minute",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
}

func TestModelsWithoutAPrice(t *testing.T) {
	c := at("2026-11-28T12:00:00Z")
	l := limit("task", "session", "", 100, 0, 0)
	b := open(t, filepath.Join(t.TempDir(), "spend"), c, l)
	n := Need{Provider: "p", Model: "m", Tokens: 5}
	if no := b.refuses(t, alice, n, "task", "no price is known"); no.Busy() {
		t.Error("it is said to pass")
	}
	l.Unpriced = true
	b = open(t, filepath.Join(t.TempDir(), "spend"), c, l)
	settle(t, b.mustReserve(t, alice, n), 0, 5)
	settle(t, b.mustReserve(t, alice, need(1, 1)), 100, 5)
	b.refuses(t, alice, n, "task", "spent")
}

func TestWindows(t *testing.T) {
	for _, tt := range []struct{ kind, at, name, ends string }{
		{"minute", "2026-11-28T23:59:30Z", "2026-11-28T23:59", "2026-11-29T00:00:00Z"},
		{"hour", "2026-11-28T23:59:30+05:30", "2026-11-28T18", "2026-11-28T19:00:00Z"},
		{"day", "2026-12-31T23:59:59Z", "2026-12-31", "2027-01-01T00:00:00Z"},
		{"week", "2026-11-29T12:00:00Z", "2026-W48", "2026-11-30T00:00:00Z"}, // a Sunday
		{"week", "2026-11-30T00:00:00Z", "2026-W49", "2026-12-07T00:00:00Z"},
		{"week", "2027-01-01T00:00:00Z", "2026-W53", "2027-01-04T00:00:00Z"},
		{"month", "2028-02-29T00:00:00Z", "2028-02", "2028-03-01T00:00:00Z"},
	} {
		name, ends := window(tt.kind, at(tt.at).now())
		if name != tt.name || ends.Format(time.RFC3339) != tt.ends {
			t.Errorf("%s at %s: %s, %s", tt.kind, tt.at, name, ends)
		}
	}
}

// What a process that was killed had spent and reserved is there at the next
// start; what it was writing when it died does not count.
func TestSurvivesItsProcess(t *testing.T) {
	c := at("2026-11-28T12:00:00Z")
	path := filepath.Join(t.TempDir(), "spend")
	l := limit("task", "session", "", 100, 0, 0)
	b := open(t, path, c, l)
	settle(t, b.mustReserve(t, alice, need(50, 1)), 40, 1)
	b.mustReserve(t, alice, need(50, 1)) // and then it is killed
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString(`{"o":"hold","i":"torn","c":[["task","s1",""]],"n":99`)
	f.Close()
	next := open(t, path, c, l)
	h := next.mustReserve(t, alice, need(10, 1))
	if no := next.refuses(t, alice, need(1, 1), "task", "in flight"); !no.Busy() || no.Spent != 40 || no.Held != 60 {
		t.Errorf("%+v", no)
	}
	settle(t, h, 10, 1)
	c.pass(2 * time.Hour)
	if no := next.refuses(t, alice, need(1, 1), "task", "are spent"); no.Busy() {
		t.Errorf("what a kill cut off long ago is said to be in flight: %+v", no)
	}
	if raw, _ := os.ReadFile(path); strings.Contains(string(raw), "torn") {
		t.Error("a torn line stays")
	}
	if fi, _ := os.Stat(path); fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", fi.Mode())
	}
}

func TestWhatCannotBeReadLetsNothingGo(t *testing.T) {
	c := at("2026-11-28T12:00:00Z")
	for _, content := range []string{"{\"v\":2,\"o\":\"book\"}\n", "{\"v\":1,\"o\":\"book\"}\nrubbish\n", "{\"o\":\"other\"}\n", "{\"o\":\"hold\",\"i\":\"\"}\n", "{\"o\":\"hold\",\"i\":\"a\",\"n\":-5}\n"} {
		path := filepath.Join(t.TempDir(), "spend")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, nil, c.now, rand.Reader); err == nil || countersign.RemedyOf(err) == "" {
			t.Errorf("%q: %v", content, err)
		}
	}
	path := filepath.Join(t.TempDir(), "spend")
	b := open(t, path, c, limit("task", "session", "", 100, 0, 0))
	b.mustReserve(t, alice, need(1, 1))
	if err := os.WriteFile(path, []byte(strings.Repeat("rubbish\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Reserve(alice, need(1, 1)); err == nil {
		t.Error("a call was let go by what cannot be read")
	}
}

// However many calls and processes, what is spent passes a limit by less than
// one call's cost, and no call's cost is lost: money in the book is money used.
func TestManyCallsKeepTheLimit(t *testing.T) {
	const limitOf, most, calls = 10_000, 97, 256
	c := at("2026-11-28T12:00:00Z")
	path := filepath.Join(t.TempDir(), "spend")
	l := limit("day", "user", "day", limitOf, 0, 0)
	processes := []*Book{open(t, path, c, l), open(t, path, c, l), open(t, path, c, l)}
	var used, went, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range calls {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rng := mrand.New(mrand.NewPCG(1, uint64(i)))
			b := processes[i%len(processes)]
			for range 8 {
				h, no, err := b.Reserve(alice, need(most, 1))
				if err != nil {
					t.Error(err)
					return
				}
				if no != nil {
					refused.Add(1)
					continue
				}
				went.Add(1)
				cost := rng.Int64N(most + 1)
				used.Add(cost)
				if err := h.Settle(cost, 1); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	wg.Wait()
	spent := processes[0].mustLeft(t, alice).USD.Spent
	if want := fmt.Sprintf("%.9f", float64(used.Load())/1e9); strings.TrimRight(want, "0") != spent {
		t.Errorf("%s in the book, %s used", spent, want)
	}
	if used.Load() >= limitOf+most || refused.Load() == 0 || went.Load() == 0 {
		t.Errorf("%d calls went and used %d of %d, %d refused", went.Load(), used.Load(), limitOf, refused.Load())
	}
}

func (b *Book) mustLeft(t testing.TB, w Who) Left {
	t.Helper()
	left, err := b.Left(w)
	if err != nil {
		t.Fatal(err)
	}
	return left[0]
}

// A book that is written anew says the same as the one it was, to every process
// that has it open.
func TestWrittenAnewItSaysTheSame(t *testing.T) {
	c := at("2026-11-28T12:00:00Z")
	path := filepath.Join(t.TempDir(), "spend")
	limits := []countersign.Limit{limit("task", "session", "", 1<<60, 0, 0), limit("month", "user", "month", 0, 1<<60, 0)}
	a, b := open(t, path, c, limits...), open(t, path, c, limits...)
	rng := mrand.New(mrand.NewPCG(3, 4))
	var want int64
	var holds []Hold
	largest, last, anew := int64(0), int64(0), 0
	for i := range 9000 {
		book := []*Book{a, b}[rng.IntN(2)]
		h := book.mustReserve(t, alice, need(10, 1))
		if i%1000 == 0 {
			holds = append(holds, h) // still in flight at the end
			continue
		}
		cost := rng.Int64N(1000)
		want += cost
		settle(t, h, cost, 1)
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if fi.Size() < last {
			anew++
		}
		last, largest = fi.Size(), max(largest, fi.Size())
	}
	for _, book := range []*Book{a, b, open(t, path, c, limits...)} {
		left, err := book.Left(alice)
		if err != nil {
			t.Fatal(err)
		}
		if got := left[0].USD; got.Spent != strings.TrimRight(fmt.Sprintf("0.%09d", want), "0") || got.Reserved != "0.00000009" || left[1].Tokens.Spent != fmt.Sprint(9000-len(holds)) {
			t.Errorf("%+v %+v, want %d", got, left[1].Tokens, want)
		}
	}
	if anew == 0 || largest > 2*large {
		t.Errorf("written anew %d times, %d bytes at most", anew, largest)
	}
	for _, h := range holds {
		settle(t, h, 0, 0)
	}
	c.pass(41 * 24 * time.Hour)
	a.journal.book.prune(c.now())
	if n := len(a.journal.book.spent); n != 1 {
		t.Errorf("%d counts are kept of one session and a month that is over", n)
	}
}

func FuzzJournal(f *testing.F) {
	f.Add("{\"v\":1,\"o\":\"book\"}\n{\"o\":\"hold\",\"i\":\"a\",\"c\":[[\"task\",\"s1\",\"\"]],\"n\":5}\n{\"o\":\"end\",\"i\":\"a\",\"n\":3}\n")
	f.Add("{\"o\":\"sum\",\"c\":[[\"task\",\"s1\",\"\"]],\"n\":9223372036854775807}\n{\"o\":\"hold\",\"i\":\"a\",\"c\":[[\"task\",\"s1\",\"\"]],\"n\":9223372036854775807}\n")
	c := at("2026-11-28T12:00:00Z")
	f.Fuzz(func(t *testing.T, src string) {
		path := filepath.Join(t.TempDir(), "spend")
		if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := Open(path, []countersign.Limit{limit("task", "session", "", 100, 0, 0)}, c.now, rand.Reader)
		if err != nil {
			return
		}
		defer b.Close()
		if h, _, err := b.Reserve(alice, need(1, 1)); err == nil {
			_ = h.Settle(1, 1)
		}
		if l, err := b.Left(alice); err == nil && strings.Contains(l[0].USD.Left, "-") {
			t.Fatalf("less than nothing is left: %+v", l[0].USD)
		}
	})
}

func BenchmarkReserveAndSettle(b *testing.B) {
	c := at("2026-11-28T12:00:00Z")
	book := open(b, filepath.Join(b.TempDir(), "spend"), c, limit("a", "session", "", 1<<60, 0, 0), limit("b", "user", "day", 1<<60, 0, 0))
	for b.Loop() {
		h, _, _ := book.Reserve(alice, need(10, 10))
		_ = h.Settle(1, 1)
	}
}
