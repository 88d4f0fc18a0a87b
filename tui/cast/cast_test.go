package cast

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// rig is a recorder with a clock of its own, whose parts are kept here.
type rig struct {
	*Recorder
	now   time.Time
	tick  chan time.Time
	parts []Part
	kept  chan struct{}
}

func newRig() *rig {
	r := &rig{now: time.Unix(1000, 0), tick: make(chan time.Time), kept: make(chan struct{}, 1000)}
	r.Recorder = New(Header{Width: 80, Height: 24, Title: "t"}, func() time.Time { return r.now }, r.tick, func(p Part) error {
		r.parts = append(r.parts, p)
		r.kept <- struct{}{}
		return nil
	})
	return r
}

// part makes one due and waits for it.
func (r *rig) part() {
	r.tick <- time.Time{}
	r.tick <- time.Time{} // taken after the first was kept
}

func (r *rig) end(t testing.TB) (Header, []Event, string) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	whole := ""
	for i, p := range r.parts {
		if p.N != i+1 || !strings.HasSuffix(string(p.Data), "\n") {
			t.Fatalf("part %d is %d, %q", i+1, p.N, p.Data)
		}
		whole += string(p.Data)
	}
	h, es, err := Parse([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	out := ""
	for _, e := range es {
		if e.Kind == Output {
			out += e.Data
		}
	}
	return h, es, out
}

func TestARecordingIsReadBack(t *testing.T) {
	r := newRig()
	r.Text([]byte("héllo "))
	r.now = r.now.Add(1500 * time.Millisecond)
	r.Control([]byte("\x1b[31m"), true)
	r.Text([]byte("red <&> "))
	r.part()
	r.Resize(80, 24)
	r.now = r.now.Add(time.Second)
	r.Resize(100, 30)
	r.now = r.now.Add(-time.Hour) // a clock that was set
	r.Control([]byte("\r"), false)
	h, es, _ := r.end(t)
	if d := cmp.Diff(Header{Version: 2, Width: 80, Height: 24, Timestamp: 1000, Title: "t"}, h); d != "" {
		t.Error(d)
	}
	want := []Event{{0, Output, "héllo "}, {1500 * time.Millisecond, Output, "\x1b[31mred <&> "}, {2500 * time.Millisecond, Resize, "100x30"}, {2500 * time.Millisecond, Output, "\r"}}
	if d := cmp.Diff(want, es); d != "" {
		t.Error(d)
	}
	if w, h, ok := es[2].Size(); w != 100 || h != 30 || !ok {
		t.Error(w, h, ok)
	}
	if len(r.parts) != 2 {
		t.Errorf("%d parts", len(r.parts))
	}
}

// However a line comes in pieces and parts, the secret does not leave, nothing else
// is lost, and no column moves.
func TestSecretsAreMaskedAcrossPieces(t *testing.T) {
	known := "gh" + "p_" + strings.Repeat("aB3", 12)
	lines := map[string][2]string{ // what is printed, what of it is secret
		"shape":      {"your token is " + known + " keep it", known},
		"at the end": {"key " + known, known},
		"assignment": {"export API_TOKEN=zzz9yyy; make -j2", "zzz9yyy;"},
		"address":    {"origin https://bob:pa55word@example.com/x (fetch)", "pa55word"},
		"header":     {"> Authorization: Bearer abc.def", "Bearer abc.def"},
		"flag":       {"$ vault --token s.abcdef now", "s.abcdef"},
		"wide":       {"PASSWORD=日本語 日本", "日本語"},
		"long value": {"API_TOKEN=" + strings.Repeat("q7", 12<<10) + " x", strings.Repeat("q7", 12<<10)},
		"long line":  {strings.Repeat("word ", 4000) + known, known},
	}
	for name, l := range lines {
		width := len(l[1])
		if name == "wide" {
			width = 6
		}
		want := strings.Replace(l[0], l[1], strings.Repeat("*", width), 1)
		for seed := range uint64(60) {
			rnd := rand.New(rand.NewPCG(seed, 3))
			r := newRig()
			most := 1 + rnd.IntN(max(len(l[0])/4, 12))
			for rest := []rune(l[0]); len(rest) > 0; {
				n := min(1+rnd.IntN(most), len(rest))
				r.Text([]byte(string(rest[:n])))
				rest = rest[n:]
				switch rnd.IntN(4) {
				case 0:
					r.part()
				case 1:
					r.Control([]byte("\x1b[1m"), true)
				case 2:
					r.Resize(80+rnd.IntN(3), 24)
					r.now = r.now.Add(time.Second)
				}
			}
			_, _, out := r.end(t)
			if got := strings.ReplaceAll(out, "\x1b[1m", ""); got != want {
				t.Fatalf("%s, seed %d: got %.300q, want %.300q", name, seed, got, want)
			}
		}
	}
}

func TestATitleLosesItsSecret(t *testing.T) {
	r := newRig()
	r.Control([]byte("\x1b]2;API_TOKEN=zzz9 make\x1b\\"), true)
	if _, _, out := r.end(t); out != "\x1b]2;API_TOKEN=**** make\x1b\\" {
		t.Errorf("%q", out)
	}
}

func TestAFloodIsCountedNotKept(t *testing.T) {
	r := newRig()
	lineful := []byte(strings.Repeat("x", 1000))
	total := 40 << 20
	for range total / 1000 {
		r.Text(lineful)
		r.Control([]byte("\n"), false)
	}
	r.now = r.now.Add(time.Hour)
	r.Text([]byte("after"))
	_, es, out := r.end(t)
	var lost int64
	size := 0
	for _, p := range r.parts {
		lost += p.Lost
		size += len(p.Data)
	}
	if int(lost)+len(out)-len("after") != total/1000*1001 || lost == 0 {
		t.Errorf("lost %d, kept %d", lost, len(out))
	}
	if size > burst+maxWaiting || !strings.HasSuffix(out, "after") {
		t.Errorf("%d bytes; ends %q", size, out[len(out)-20:])
	}
	if m := es[len(es)-2]; m.Kind != Marker || m.Data != fmt.Sprintf("%d bytes of output were not recorded: too much at once", lost) {
		t.Errorf("%+v", m)
	}
}

func TestAKeeperThatFailsEndsIt(t *testing.T) {
	broken := errors.New("disk full")
	tick := make(chan time.Time)
	r := New(Header{Width: 1, Height: 1}, time.Now, tick, func(Part) error { return broken })
	tick <- time.Time{}
	<-r.done
	r.Text([]byte("x"))
	r.Resize(2, 2)
	if err := r.Close(); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestParseRefuses(t *testing.T) {
	head := `{"version":2,"width":80,"height":24}` + "\n"
	for in, want := range map[string]string{
		"":                                     "line 1",
		`{"version":3,"width":80,"height":24}`: "version 3",
		`{"version":2,"width":0,"height":24}`:  "0 by 24",
		head + "[1,\"o\"]\n":                   "line 2",
		head + "[-1,\"o\",\"x\"]\n":            "line 2",
		head + "[1,2,\"x\"]\n":                 "line 2",
	} {
		if _, _, err := Parse([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
	_, es, err := Parse([]byte(head + "[2,\"o\",\"a\"]\n\n[1,\"i\",\"b\"]\n[3,\"o\",\"cut"))
	if d := cmp.Diff([]Event{{2 * time.Second, Output, "a"}, {2 * time.Second, "i", "b"}}, es); d != "" || err != nil {
		t.Error(d, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("{\"version\":2,\"width\":80,\"height\":24}\n[0.1,\"o\",\"a\\u001b[m\"]\n[1,\"r\",\"1x1\"]\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		h, es, err := Parse(in)
		if err != nil {
			return
		}
		out := line(h)
		for _, e := range es {
			out = append(out, e.line()...)
		}
		h2, es2, err := Parse(out)
		if d := cmp.Diff(es, es2); d != "" || err != nil || h2.Width != h.Width {
			t.Fatalf("written again: %v %s", err, d)
		}
	})
}
