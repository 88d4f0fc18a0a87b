package scan

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValuesOfFiles(t *testing.T) {
	pass, long := "S3"+random(1, alnum, 9)+"!", random(2, alnum, 40)
	tests := []struct {
		name, file string
		want, not  []string
	}{
		{
			"dotenv", "# settings\nNODE_ENV=production\nPORT=3000\nDEBUG=false\nHOST=localhost:3000\nURL=https://example.com/x\nexport DB_PASSWORD='" + pass + "' # the old one\n#OLD_TOKEN=" + long + "\nDATABASE_URL=postgres://app:" + pass + "x@db/app\nAPI_KEY=your-api-key-here\nREF=$OTHER_SECRET\nSHORT_KEY=abc\n",
			[]string{pass, long, pass + "x"},
			[]string{"production", "localhost:3000", "https://example.com/x", "your-api-key-here", "$OTHER_SECRET", "abc", "settings"},
		},
		{"one line", long + "\n", []string{long}, nil},
		{"JSON", `{"type": "service_account", "project_id": "some-project-of-ours", "private_key": "-----BEGIN PRIV` + `ATE KEY-----\n` + long + long + `\n-----END PRIV` + `ATE KEY-----\n", "client_id": "1234567890"}`, []string{long + long}, []string{"service_account", "some-project-of-ours"}},
		{"registry", `{"auths": {"r.test": {"auth": "` + base64.StdEncoding.EncodeToString([]byte("user:"+pass)) + `"}}}`, []string{pass}, nil},
		{"YAML", "password: " + pass + "\nname: a long name of something\n", []string{pass}, []string{"a long name of something"}},
		{"pgpass", "db.example.com:5432:app:user:" + pass + "\n", []string{pass}, []string{"5432"}},
		{"netrc", "machine example.com login me password " + pass + "\n", []string{pass}, []string{"example.com"}},
		{"npmrc", "//registry.example.com/:_authToken=" + long + "\n", []string{long}, nil},
		{"git credentials", "https://me:" + pass + "@example.com\n", []string{pass}, nil},
		{"known hosts", "example.com ssh-ed25519 " + long + "\n", []string{long}, []string{"ssh-ed25519"}},
		{"code", "package x\n\nfor i := 0; i < 10; i++ {\n\treturn NewEncapsulationKey768(\"github.com/x/y2\")\n}\n", nil, []string{"for i := 0; i < 10; i++ {", "NewEncapsulationKey768", "github.com/x/y2"}},
		{"PEM", "-----BEGIN X-----\n" + long + "\n-----END X-----\n", []string{long}, []string{"-----BEGIN X-----"}},
		{"no text", "\x00\xff" + long, nil, []string{long}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := map[string]bool{}
			for _, v := range Values([]byte(tt.file)) {
				got[v] = true
			}
			for _, w := range tt.want {
				if !got[w] {
					t.Errorf("%q is not among %v", w, got)
				}
			}
			for _, w := range tt.not {
				if got[w] {
					t.Errorf("%q is", w)
				}
			}
		})
	}
}

func TestKnownValuesAreFoundInEveryForm(t *testing.T) {
	s := newScanner(t)
	values := []string{`p4ss "wörd"/+` + random(1, alnum, 5), random(2, alnum, 8), random(3, alnum, 41), "line one of it 1\nline two of it 2\n", strings.Repeat(random(4, alnum, 50), 40)}
	for i, v := range values {
		s.Learn(DeniedFile, fmt.Sprintf("file%d", i), v)
	}
	s.Learn(ProviderKey, "short", "seven77")
	if f := s.must(t, "seven77 short"); len(f) != 0 {
		t.Errorf("a short value was taken: %v", f)
	}
	for i, v := range values {
		j, _ := json.Marshal(v)
		forms := map[string]string{
			"plain": v, "within a word": "abc" + v + "def", "json": string(j), "hex": hex.EncodeToString([]byte("x" + v)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(v))),
			"url": url.QueryEscape("a=" + v), "path": url.PathEscape(v),
		}
		for n := range 3 {
			forms[fmt.Sprintf("base64 at %d", n)] = base64.StdEncoding.EncodeToString([]byte("\x00\xff\x01"[:n] + v + "\xff\x00"))
			forms[fmt.Sprintf("base64url at %d", n)] = base64.RawURLEncoding.EncodeToString([]byte("???"[:n] + v))
		}
		for name, form := range forms {
			text := "before " + form + " after"
			f := s.must(t, text)
			if len(f) != 1 || f[0].Rule != DeniedFile || f[0].Source != fmt.Sprintf("file%d", i) {
				t.Errorf("value %d, %s: %v", i, name, f)
				continue
			}
			if want := s.must(t, v)[0].Placeholder; f[0].Placeholder != want {
				t.Errorf("value %d, %s: another placeholder", i, name)
			}
			if left := s.must(t, text[:f[0].From]+text[f[0].To:]); len(left) != 0 {
				t.Errorf("value %d, %s: %v is left", i, name, left)
			}
		}
	}
	// Neither the scanner nor a finding keeps what was taught.
	for _, v := range values {
		for _, kept := range []string{fmt.Sprintf("%+v", s.known.values)} {
			if strings.Contains(kept, v[:8]) || strings.Contains(kept, hex.EncodeToString([]byte(v))[:16]) {
				t.Error("a value is kept in the clear")
			}
		}
	}
	if !s.known.add("another value", about{}) || s.known.add("another value", about{}) {
		t.Error("a value is kept twice")
	}
}

// What comes in pieces gives what comes whole.
func TestStreamEqualsWhole(t *testing.T) {
	s := newScanner(t)
	s.Learn(DeniedFile, ".env", random(50, alnum, 24))
	s.Learn(DeniedFile, "big", random(51, alnum, 5000))
	check := func(seed uint64, text string) {
		t.Helper()
		var all []Finding
		if err := s.plain(text, &Budget{1 << 60}, func(f Finding) { all = append(all, f) }); err != nil {
			t.Fatal(err)
		}
		want := s.settle("", all)
		for _, most := range []int{1 + int(seed), 64, 3000, len(text)} {
			st := s.Stream(func(string, bool) bool { return seed%2 == 0 })
			st.budget = Budget{1 << 60}
			for rest, i := text, uint64(0); rest != ""; i++ {
				n := min(len(rest), 1+int((seed+i*7)%uint64(most)))
				st.Feed(rest[:n])
				rest = rest[n:]
				if held := st.Held(); held > Window || held < 0 {
					t.Fatalf("%d bytes held", held)
				}
			}
			got, err := st.End()
			if diff := cmp.Diff(want, got, cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" || err != nil {
				t.Fatalf("in pieces of %d: %v %s", most, err, diff)
			}
		}
	}
	planted := secrets()
	for seed := range uint64(4) {
		var b strings.Builder
		for i := uint64(0); b.Len() < 30_000; i++ {
			b.WriteString(prose(seed*1000+i, 1+int(seed*i%900)))
			for rule, secret := range planted {
				if (uint64(len(rule))+i+seed)%17 == 0 {
					b.WriteString(secret + []string{"", " ", "\n", ", "}[i%4])
				}
			}
			if i%9 == seed%9 {
				b.WriteString(random(50, alnum, 24))
			}
			if i%31 == 3 {
				b.WriteString(random(51, alnum, 5000))
			}
		}
		check(seed, b.String())
	}
}

// prose is text full of what rules look for.
func prose(seed uint64, words int) string {
	some := []string{"the ", "key", " = ", "token", ": ", "\"", "\n", "secret", "ey", "aXk", "api_", "passwd", "=", "://", "@", "curl -u ", "x:y ", "-----BEGIN ", "AKIA", "ghp_", "sk-", random(seed, alnum, int(seed%40)), "é", "\\n", "{", "}", "facebook", " kind: Secret\n", "data:\n"}
	var b strings.Builder
	for i := range words {
		b.WriteString(some[(seed*31+uint64(i)*uint64(i)*7+uint64(i))%uint64(len(some))])
	}
	return b.String()
}

// A secret that blocks is held until it is whole, and never goes on.
func TestStreamHoldsWhatBlocks(t *testing.T) {
	for rule, secret := range secrets() {
		for size := 1; size < 40; size += 6 {
			s := newScanner(t)
			st := s.Stream(func(r string, _ bool) bool { return strings.HasPrefix(r, strings.TrimSuffix(rule, "-open")) })
			text := "some words before it, and the secret: " + secret + "\nand some words behind it"
			sent, blocked := 0, false
			for i := 0; i < len(text) && !blocked; i += size {
				st.Feed(text[i:min(len(text), i+size)])
				f, err := st.Blocked()
				if blocked = f != nil; !blocked {
					sent = max(sent, min(len(text), i+size)-st.Held())
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if !blocked {
				_, _ = st.End()
				f, _ := st.Blocked()
				blocked = f != nil
			}
			if !blocked {
				t.Errorf("%s in pieces of %d: not blocked", rule, size)
			}
			if at := strings.Index(text, secret); sent > at {
				t.Errorf("%s in pieces of %d: %d bytes of the secret went on", rule, size, sent-at)
			}
		}
	}
}

func TestStreamHoldsKnownValues(t *testing.T) {
	s, value := newScanner(t), random(50, alnum, 24)
	s.Learn(ProviderKey, "p", value)
	st := s.Stream(func(r string, _ bool) bool { return r == ProviderKey })
	text, sent := "words "+value, 0
	for i := range text {
		st.Feed(text[i : i+1])
		if f, _ := st.Blocked(); f != nil {
			if sent > len("words ") || f.Source != "p" || i != len(text)-1 {
				t.Errorf("%d bytes went on, blocked by %+v at %d", sent, f, i)
			}
			return
		}
		sent = max(sent, i+1-st.Held())
	}
	t.Error("not blocked")
}

// Where nothing is in sight, nothing is held for long.
func TestStreamHoldsLittle(t *testing.T) {
	st := newScanner(t).Stream(func(string, bool) bool { return true })
	worst := 0
	for _, w := range strings.SplitAfter(strings.Repeat("plain words of an answer about nothing at all. ", 200), " ") {
		st.Feed(w)
		worst = max(worst, st.Held())
	}
	if worst > 16 {
		t.Errorf("%d bytes of plain words are held", worst)
	}
}

// Every place of every value is found, wherever it stands.
func TestKnownValuesAreFoundAtEveryPlace(t *testing.T) {
	k := newKnown([]byte("key of the test"))
	values := []string{"12345678", "123456789", "345678901234", random(60, alnum, 40), random(61, alnum, 9), strings.Repeat("x", 8)}
	for _, v := range values {
		k.add(v, about{source: v})
	}
	rnd, met := rand.New(rand.NewSource(4)), 0
	for range 20_000 {
		text := ""
		for range rnd.Intn(5) {
			text += []string{values[rnd.Intn(len(values))], random(rnd.Uint64(), alnum, rnd.Intn(12)), "1", "x"}[rnd.Intn(4)]
		}
		want, got := map[string]bool{}, map[string]bool{}
		for _, v := range values {
			for i := range text {
				if strings.HasPrefix(text[i:], v) {
					want[fmt.Sprint(v, i, i+len(v))] = true
				}
			}
		}
		if err := k.find(text, NewBudget(len(text)), func(p place, a about) { got[fmt.Sprint(a.source, p.from, p.to)] = true }); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q: %s", text, diff)
		}
		met += len(want)
	}
	if met < 10_000 {
		t.Errorf("only %d values stood in the texts", met)
	}
}

// A text that begins and ends as a known value everywhere, and is none, costs what it
// is charged for: the search gives up, and soon.
func TestAlmostKnownValuesAreCharged(t *testing.T) {
	s := newScanner(t)
	for i := range uint64(8) {
		s.Learn(DeniedFile, "x", "aaaaaaaa"+random(i, alnum, 15000)+"aaaaaaaa")
	}
	text := strings.Repeat("a", 100_000)
	b := NewBudget(len(text))
	left := b.left
	if _, err := s.Text(text, b); err == nil {
		t.Errorf("searched to its end for %d of %d", left-b.left, left)
	}
}
