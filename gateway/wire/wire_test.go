package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

var texts = []string{
	`{}`, `[]`, ` {"a" : [1, -0.5e+3, true,false,null, "x\u00e9\ud83d\ude00\n\/"]} `, `{"a":1,"a":2}`, `"\ud800"`, `"\ud83dx"`, "\"\xff\"", "\"\xffa\\n\xfe\"",
	`{"a":}`, `{"a"1}`, `[1,]`, `[,1]`, `{,}`, `01`, `1.`, `.5`, `+1`, `1e`, `-`, `tru`, `"`, `"\x"`, `"\u12"`, "\"\t\"", "\ufeff{}", `{}x`, ``, `nul`, `12345678901234567890`, `{"a":{"b":[{"c":"d"}]}}`,
}

// Whatever another reader takes, this one takes too and understands the same;
// what it does not take, this one does not either.
func FuzzParse(f *testing.F) {
	for _, s := range texts {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		doc, err := Parse(src)
		if valid := json.Valid(src); valid != (err == nil) && strings.Count(string(src), "[")+strings.Count(string(src), "{") < maxDepth {
			t.Fatalf("encoding/json says valid %v, this %v", valid, err)
		}
		if err != nil {
			return
		}
		w := Walker{Visit: func(s String) bool {
			var want string
			if err := json.Unmarshal(src[s.From-1:s.To+1], &want); err != nil || s.Text() != want || Decode(src[s.From:s.To]) != want {
				t.Fatalf("%q is read as %q, %v", src[s.From-1:s.To+1], s.Text(), err)
			}
			for _, cut := range [][2]int{{0, len(want)}, {0, 1}, {len(want) / 2, len(want)}, {len(want), len(want)}, {1, 1 << 20}} {
				from, to := s.Span(cut[0], cut[1])
				if from < s.From || to > s.To || from > to {
					t.Fatalf("span %v of %q is %d to %d, outside %d to %d", cut, want, from, to, s.From, s.To)
				}
				edited, err := Apply(src, Edit{from, to, []byte("<X>")})
				if err != nil || !json.Valid(edited) {
					t.Fatalf("an edit of %v breaks %q: %q", cut, src, edited)
				}
			}
			return true
		}}
		w.All(doc.Root(), Other, false)
		if same, err := Apply(src); err != nil || !bytes.Equal(same, src) {
			t.Fatal("no edit changed something")
		}
		var any, back any
		if json.Unmarshal(src, &any) == nil && json.Unmarshal(doc.Root().Raw(), &back) == nil {
			if diff := cmp.Diff(any, back); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

func TestSpanAndEdit(t *testing.T) {
	const body = `{"a":"x\u0041\nsk-\ud83d\ude00secret\" y","n":1.0}`
	doc, err := Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	done := false
	w := Walker{Visit: func(s String) bool {
		if s.Name {
			return true
		}
		text := s.Text()
		a := strings.Index(text, "sk-")
		from, to := s.Span(a, a+len("sk-😀secret"))
		out, err := Apply([]byte(body), Edit{from, to, Quote(`<r"1>`)})
		if want := `{"a":"x\u0041\n\u003cr\"1\u003e\" y","n":1.0}`; err != nil || string(out) != want {
			t.Errorf("%s, %v", out, err)
		}
		done = true
		return false
	}}
	w.All(doc.Root(), Other, false)
	if !done {
		t.Error("nothing was visited")
	}
	for _, bad := range [][]Edit{{{0, 2, nil}, {1, 3, nil}}, {{2, 1, nil}}, {{0, 1000, nil}}, {{-1, 0, nil}}} {
		if _, err := Apply([]byte(body), bad...); err == nil {
			t.Errorf("%v was made", bad)
		}
	}
}

func TestOnce(t *testing.T) {
	for body, ok := range map[string]bool{
		`{"model":1,"x":1,"x":2}`: true, `{"model":1,"model":1}`: false, `{"Model":1}`: false, `{"mode\u006c":1}`: true,
		`{"mode\u006c":1,"model":2}`: false, `{"ſtream":true}`: false, `{"a":{"Model":1}}`: true,
	} {
		doc, err := Parse([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if err := doc.Root().Once("model", "stream"); (err == nil) != ok {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestLimits(t *testing.T) {
	if _, err := Parse([]byte(strings.Repeat("[", 1000) + strings.Repeat("]", 1000))); err == nil {
		t.Error("any depth is read")
	}
	if _, err := Parse([]byte("[" + strings.Repeat("0,", maxValues) + "0]")); err == nil {
		t.Error("any number of values is read")
	}
}

func TestPathModel(t *testing.T) {
	for in, want := range map[string]string{
		"gemini-2.5-pro": "gemini-2.5-pro", "azure%2Fgpt": "azure/gpt", "a:b": "a:b", "": "", "..": "", "a/../b": "", "a%2F..": "", "a//b": "", "a%00": "", "a%25": "", "a b": "", "a?b": "",
	} {
		if got, ok := PathModel(in); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", in, got, ok)
		}
	}
}

// The events of a stream are the same in whatever pieces it comes, and with
// whatever ends of lines.
func TestSplitterInAnyPieces(t *testing.T) {
	tests := []struct {
		name, media, body string
		want              []string
		open              bool
	}{
		{"events", "text/event-stream", "event: a\ndata: {1}\n\n: ping\n\ndata:{2\ndata: }\n\n", []string{"{1}", "{2\n}"}, false},
		{"carriage returns", "text/event-stream; charset=utf-8", "data: 1\r\n\r\ndata: 2\r\rdata: 3\r\n\r\n", []string{"1", "2", "3"}, false},
		{"no end", "text/event-stream", "data: 1\n\ndata: 2", []string{"1", "2"}, true},
		{"lines", "application/x-ndjson", "{1}\n\r\n{2}\n{3}", []string{"{1}", "{2}", "{3}"}, true},
		{"whole", "application/json", "{\n\n}", []string{"{\n\n}"}, false},
		{"events by another name", "application/json", "data: {1}\n\ndata: {2}\n\n", []string{"{1}", "{2}"}, false},
		{"events without a name", "", "event: a\ndata: {1}\n\n", []string{"{1}"}, false},
		{"byte order mark", "text/event-stream", "\xef\xbb\xbfdata: {1}\n\n", []string{"{1}"}, false},
		{"both", "text/plain", "\xef\xbb\xbf: c\ndata: {1}\n\n", []string{"{1}"}, false},
		{"a beginning only", "text/plain", "dat", []string{"dat"}, false},
		{"number", "application/json", "1", []string{"1"}, false},
		{"nothing", "application/json", "", nil, false},
		{"too large in one piece", "application/json", strings.Repeat("x", maxEvent+1), nil, false},
		{"too large", "text/event-stream", "data: " + strings.Repeat("x", maxEvent+1) + "\n\ndata: 2\n\n", []string{"2"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, size := range []int{1, 2, 3, 7, max(1, len(tt.body))} {
				if size < 7 && len(tt.body) > 1<<20 {
					continue
				}
				var got []string
				s := NewSplitter(tt.media, func(b []byte) { got = append(got, string(b)) })
				fed := []byte(tt.body)
				for b := fed; len(b) > 0; {
					n := min(size, len(b))
					s.Feed(b[:n])
					b = b[n:]
				}
				if s.Open() != tt.open {
					t.Errorf("in pieces of %d: open %v", size, s.Open())
				}
				s.End()
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("in pieces of %d: %s", size, diff)
				}
				if string(fed) != tt.body {
					t.Errorf("in pieces of %d: what was fed has changed", size)
				}
			}
		})
	}
}

// A text in one piece that stays is not copied, also where wires say nothing behind it.
func TestWords(t *testing.T) {
	long := strings.Repeat("word ", 100)
	for _, c := range []struct {
		pieces []string
		stays  bool
		same   bool
	}{
		{[]string{long}, true, true},
		{[]string{"", long, ""}, true, true},
		{[]string{long}, false, false},
		{[]string{long, "more", ""}, true, false},
		{nil, true, false},
	} {
		var w words
		for _, p := range c.pieces {
			w.add(p, c.stays)
		}
		got, want := w.String(), strings.Join(c.pieces, "")
		if got != want || w.len() != len(want) {
			t.Errorf("%q: %q, %d bytes", c.pieces, got, w.len())
		}
		if same := got != "" && unsafe.StringData(got) == unsafe.StringData(long); same != c.same {
			t.Errorf("%q, stays %v: the same bytes: %v", c.pieces, c.stays, same)
		}
	}
}
