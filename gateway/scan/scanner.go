package scan

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"slices"
	"strings"
	"sync"

	"github.com/countersign/countersign/internal/fingerprint"
	"github.com/countersign/countersign/internal/forms"
	"github.com/countersign/countersign/internal/lazyre"
)

// The rules by which exact content is found.
const (
	DeniedFile  = "denied-file"
	ProviderKey = "provider-key"
)

// Finding is a secret in a text. It does not hold it.
type Finding struct {
	Rule   string
	Source string // whose exact content it is: a file's or a provider's name
	Via    string // base64, hex, url or json, where it was written so
	// From and To are its bytes in the text.
	From, To int
	// Low says that ordinary code has such too.
	Low bool
	// Placeholder is what stands for it: the same for the same secret.
	Placeholder string

	id string
}

// Scanner finds secrets. It may be used by many goroutines at once.
type Scanner struct {
	load  func() (*Rules, error)
	key   []byte
	known *known
	seen  seen
	usual usual
}

// New returns a Scanner with a key of 32 random bytes, which makes its
// placeholders and hides what it is taught. Its rules are read when the first
// text comes, as that takes some milliseconds, or before by Warm.
func New(key []byte) *Scanner {
	s := &Scanner{load: sync.OnceValues(Load), key: derive(key, "placeholder"), known: newKnown(key)}
	s.seen.key = fingerprint.New([32]byte(derive(key, "seen")))
	return s
}

// Warm reads the rules, so that the first text does not wait for it.
func (s *Scanner) Warm() { _, _ = s.load() } // an error comes with each text

// Version names the data of the rules; empty if they cannot be read.
func (s *Scanner) Version() string {
	r, err := s.load()
	if err != nil {
		return ""
	}
	return r.Version
}

// Learn takes a value that must be found by its exact content, as rule DeniedFile
// or ProviderKey; source is whose it is. Values shorter than eight bytes are not
// taken, as they stand in ordinary text by chance.
func (s *Scanner) Learn(rule, source, value string) {
	if len(value) < minKnown || len(value) > maxKnown || s.known.has(value) {
		return
	}
	id := s.id(value)
	forms.Of(value, func(form, via string) { s.known.add(form, about{rule, source, via, id}) })
}

// Learned returns how many values and forms of them are known.
func (s *Scanner) Learned() int { return int(s.known.generation()) }

// Outside is Text for a short text of the outside of a request (a header, a path).
// What held no secret is remembered: agents send the same with each call.
func (s *Scanner) Outside(text string, b *Budget) ([]Finding, error) {
	round := s.known.generation()
	if text == "" || s.usual.has(round, text) {
		return nil, nil
	}
	found, err := s.Text(text, b)
	if err == nil && len(found) == 0 {
		s.usual.add(round, text)
	}
	return found, err
}

// Text returns the secrets of a text, in order, none over another.
func (s *Scanner) Text(text string, b *Budget) ([]Finding, error) {
	var out []Finding
	err := s.plain(text, b, func(f Finding) { out = append(out, f) })
	if err == nil {
		err = s.encoded(text, b, func(f Finding) { out = append(out, f) })
	}
	if err != nil {
		return nil, err
	}
	return s.settle(text, out), nil
}

// plain looks at a text as it stands.
func (s *Scanner) plain(text string, b *Budget, found func(Finding)) error {
	if err := b.spend(100 + 10*len(text)); err != nil {
		return err
	}
	rules, err := s.load()
	if err != nil {
		return err
	}
	v := view{text, true, true}
	for w := range rules.find.all(text) {
		for _, i := range rules.byWord[w.id] {
			if err := s.hit(&rules.list[i], v, int(w.end-w.size), int(w.size), b, found); err != nil {
				return err
			}
		}
	}
	return s.known.find(text, b, func(p place, a about) {
		found(Finding{Rule: a.rule, Source: a.source, Via: a.via, From: p.from, To: p.to, id: a.id})
	})
}

// hit asks a rule about a keyword of it.
func (s *Scanner) hit(r *rule, v view, p, size int, b *Budget, found func(Finding)) error {
	if !r.quick(v.text, p, size) {
		return b.spend(quickCost)
	}
	return b.spend(r.at(v, p, func(m place) { s.finding(r, v.text, m, found) }))
}

// finding makes one of a match, unless it is a placeholder.
func (s *Scanner) finding(r *rule, text string, m place, found func(Finding)) {
	if said := text[m.from:m.to]; !s.genuine(said) {
		found(Finding{Rule: r.ID, From: m.from, To: m.to, Low: r.Low, id: s.id(said)})
	}
}

// encoded looks at what parts of a text mean.
func (s *Scanner) encoded(text string, b *Budget, found func(Finding)) error {
	if seg := unescaped(text); seg != nil {
		if err := s.inside(seg, "", "", b, found); err != nil {
			return err
		}
	}
	return eachEncoded(text, b, func(seg *segment) error {
		before, after := text[max(0, seg.from-leftOf):seg.from], text[seg.to:min(len(text), seg.to+rightOf)]
		if before != "" && isWord(before[len(before)-1]) {
			before = "" // of another word
		}
		return s.inside(seg, before, after, b, found)
	})
}

func (s *Scanner) inside(seg *segment, before, after string, b *Budget, found func(Finding)) error {
	return s.plain(before+seg.decoded+after, b, func(f Finding) {
		from, to := max(0, f.From-len(before)), min(len(seg.decoded), f.To-len(before))
		if from >= to {
			return // of what stands around it
		}
		p := seg.back(from, to)
		f.From, f.To = p.from, p.to
		f.Via = seg.via
		found(f)
	})
}

// settle makes findings over one another into one, the surest of them, over all
// their bytes. Where text is empty, it is not at hand any more.
func (s *Scanner) settle(text string, all []Finding) []Finding {
	slices.SortStableFunc(all, func(a, b Finding) int {
		if a.From != b.From {
			return a.From - b.From
		}
		return b.To - a.To
	})
	var out []Finding
	for _, f := range all {
		last := len(out) - 1
		if last < 0 || out[last].To <= f.From {
			out = append(out, f)
			continue
		}
		both := place{out[last].From, max(out[last].To, f.To)}
		if surer(f, out[last]) {
			out[last] = f
		}
		best := &out[last]
		if best.From == both.from && best.To == both.to {
			continue
		}
		best.From, best.To = both.from, both.to
		if !best.exact() && both.to <= len(text) {
			best.id = s.id(text[both.from:both.to])
		}
	}
	for i := range out {
		out[i].Placeholder = s.placeholder(out[i].Rule, out[i].id)
	}
	return out
}

func (f *Finding) exact() bool { return f.Source != "" }

func surer(a, b Finding) bool {
	rank := func(f Finding) int {
		switch {
		case f.Rule == ProviderKey:
			return 3
		case f.exact():
			return 2
		case f.Low:
			return 0
		}
		return 1
	}
	return rank(a) > rank(b)
}

// base is of letters and digits that no rule takes for a secret in brackets.
var base = base32.NewEncoding("abcdefghijkmnpqrstuvwxyz23456789").WithPadding(base32.NoPadding)

// id names a secret without telling it.
func (s *Scanner) id(secret string) string { return s.mac(5, "id", secret) }

func (s *Scanner) mac(size int, parts ...string) string {
	h := hmac.New(sha256.New, s.key)
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return base.EncodeToString(h.Sum(nil)[:size])
}

func (s *Scanner) placeholder(rule, id string) string {
	return "[secret:" + rule + ":" + id + s.mac(10, "placeholder", rule, id) + "]"
}

var placeholderForm = lazyre.Compile(`\[secret:([a-z0-9-]{1,64}):([a-z2-9]{8})([a-z2-9]{16})\]`)

// genuine reports whether a text is a placeholder of this Scanner.
func (s *Scanner) genuine(text string) bool {
	m := placeholderForm().FindStringSubmatch(text)
	return m != nil && len(m[0]) == len(text) && hmac.Equal([]byte(m[3]), []byte(s.mac(10, "placeholder", m[1], m[2])))
}

// Placeholders counts those of this Scanner in a text, and those that only look
// like it.
func (s *Scanner) Placeholders(text string) (genuine, forged int) {
	if !strings.Contains(text, "[secret:") {
		return 0, 0
	}
	for _, p := range placeholderForm().FindAllString(text, -1) {
		if s.genuine(p) {
			genuine++
		} else {
			forged++
		}
	}
	return genuine, forged
}
