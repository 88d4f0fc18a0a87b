package screen

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/scan"
	"github.com/countersign/countersign/gateway/wire"
)

// words is a policy that blocks these rules in answers.
type words map[string]bool

func (w words) Secret(rule string, _, answer bool) (string, countersign.Ruling) {
	if answer && w[rule] {
		return Block, countersign.Ruling{Rule: "models-secrets"}
	}
	return Flag, countersign.Ruling{}
}

func (w words) HoldsAnswers() bool { return len(w) > 0 }

func made(seed uint64, n int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	r, b := rand.New(rand.NewPCG(seed, 3)), make([]byte, n)
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(b)
}

// talk is a wire whose events are {"n": name, "t": text}.
func talk(media string) *wire.Tally {
	return wire.NewTally(media, func(t *wire.Tally, e wire.Value) {
		if e.Get("n").Text() == "say" {
			t.Say(e.Get("t").Text())
		} else {
			t.Call(e.Get("n").Text(), "", "", e.Get("t").Text())
		}
	}, nil)
}

func event(name, text string) string {
	b, _ := json.Marshal(map[string]string{"n": name, "t": text})
	return "data: " + string(b) + "\n\n"
}

// through hands a stream through a Hold in pieces, and returns what went on.
func through(t testing.TB, s *scan.Scanner, rules Rules, media, stream string, size func(i int) int) (out string, stopped bool) {
	t.Helper()
	tally := talk(media)
	h := NewHold(s, rules, tally)
	for i := 0; stream != ""; i++ {
		n := min(len(stream), max(1, size(i)))
		b, f, err := h.Next([]byte(stream[:n]), tally.Feed)
		if err != nil {
			t.Fatal(err)
		}
		if f != nil {
			return out, true
		}
		out, stream = out+string(b), stream[n:]
	}
	tally.End()
	b, f, err := h.End(nil)
	if err != nil {
		t.Fatal(err)
	}
	return out + string(b), f != nil
}

func newScanner() *scan.Scanner { return scan.New([]byte("a key of thirty-two random bytes")) }

func TestHoldInAnyPieces(t *testing.T) {
	s := newScanner()
	secret := "gh" + "p_" + made(1, 36)
	rules := words{"github-pat": true, "generic-api-key": true, scan.DeniedFile: true}
	clean, dirty := ": a comment\n\n", ""
	for i := range 120 {
		clean += event("say", fmt.Sprintf("the key %d = ", i)) + event("call", "token: ghp") + "\r\nevent: ping\r\ndata: {}\r\n\r\n"
	}
	dirty = clean
	for _, c := range secret { // one letter at a time, with other events between
		dirty += event("say", string(c)) + event("call", " x")
	}
	dirty += event("say", " that was it") + clean
	for seed := range 40 {
		size := func(i int) int { return 1 + (seed*31+i*17)%(1+seed*seed) }
		if out, stopped := through(t, s, rules, "text/event-stream", clean, size); out != clean || stopped {
			t.Errorf("%d: %d of %d bytes, stopped %v", seed, len(out), len(clean), stopped)
		}
		out, stopped := through(t, s, rules, "text/event-stream", dirty, size)
		if !stopped || !strings.HasPrefix(dirty, out) || len(out) > strings.Index(dirty, event("say", "g")) {
			t.Errorf("%d: stopped %v after %d bytes", seed, stopped, len(out))
		}
	}
	body := `{"n":"say","t":"it is ` + secret + `"}`
	if out, stopped := through(t, s, rules, "application/json", body, func(int) int { return 5 }); out != "" || !stopped {
		t.Errorf("%q %v", out, stopped)
	}
}

// A field that the wire does not know is seen in its event.
func TestHoldSeesUnknownFields(t *testing.T) {
	stream := event("say", "words; ") + `data: {"new":{"field":"` + "gh" + "p_" + made(2, 36) + `"}}` + "\n\n"
	if out, stopped := through(t, newScanner(), words{"github-pat": true}, "text/event-stream", stream, func(int) int { return 9 }); !stopped || out != event("say", "words; ") {
		t.Errorf("%q %v", out, stopped)
	}
}

func FuzzHold(f *testing.F) {
	f.Add(event("say", "a")+event("call", "key = x"), 3)
	f.Add("data: {\n\n\r\r\ndata:", 1)
	s := newScanner()
	f.Fuzz(func(t *testing.T, stream string, n int) {
		for _, media := range []string{"text/event-stream", "application/x-ndjson", "application/json"} {
			if out, stopped := through(t, s, words{"github-pat": true}, media, stream, func(i int) int { return n % 97 }); !stopped && out != stream {
				t.Fatalf("%s: %q became %q", media, stream, out)
			}
		}
	})
}

// plainWire walks all strings of a body.
type plainWire struct{ wire.Wire }

func (plainWire) Walk(_ wire.Route, doc *wire.Doc, visit func(wire.String) bool) {
	w := wire.Walker{Visit: visit}
	w.All(doc.Root(), wire.User, false)
}

// The cost of a request of an agent's size: at first sight, and with the next
// turn of the same conversation.
func BenchmarkBody(b *testing.B) {
	src, err := os.ReadFile("../scan/scanner.go")
	if err != nil {
		b.Fatal(err)
	}
	var messages []string
	for i := range 64 {
		messages = append(messages, fmt.Sprintf("turn %d\n%s", i, src[:4000]))
	}
	body, _ := json.Marshal(map[string]any{"messages": messages})
	doc, err := wire.ParseObject(body)
	if err != nil {
		b.Fatal(err)
	}
	run := func(b *testing.B, s *scan.Scanner) {
		r := Request{Scanner: s, Rules: Usual{}}
		if err := r.Beside("/v1/messages", "", http.Header{"User-Agent": {"x"}}); err != nil {
			b.Fatal(err)
		}
		if err := r.Body(plainWire{}, wire.Route{}, doc); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("first-256KB", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		for n := uint64(0); b.Loop(); n++ {
			b.StopTimer()
			s := scan.New([]byte{byte(n)})
			_, _ = s.Text("key", scan.NewBudget(0)) // reads the rules
			b.StartTimer()
			run(b, s)
		}
	})
	b.Run("next-256KB", func(b *testing.B) {
		s := scan.New([]byte{1})
		run(b, s)
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			run(b, s)
		}
	})
}

// A provider that begins ever new texts is stopped, not remembered.
func TestHoldOfTooManyTexts(t *testing.T) {
	tally := wire.NewTally("text/event-stream", func(t *wire.Tally, e wire.Value) { t.Call(e.Get("n").Text(), "", "", "x") }, nil)
	h := NewHold(newScanner(), words{"github-pat": true}, tally)
	for i := range 3 * maxTexts {
		if _, _, err := h.Next([]byte(event(fmt.Sprint(i), "")), tally.Feed); err != nil {
			if len(h.spoken) > maxTexts {
				t.Errorf("%d texts", len(h.spoken))
			}
			return
		}
	}
	t.Error("nothing stops it")
}
