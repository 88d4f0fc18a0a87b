package screen

import (
	"sort"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/scan"
)

// What is done with a secret that was found.
const (
	Block  = "block"  // the request, or the answer, does not go on
	Redact = "redact" // a placeholder goes on in its place; in an answer, as Flag
	Flag   = "flag"   // it goes on, and is on record
)

// Rules says what is done with secrets.
type Rules interface {
	// Secret says what is done with what a rule of package scan finds; low is that
	// of the finding, answer tells answers from requests.
	Secret(rule string, low, answer bool) (word string, by countersign.Ruling)
	// HoldsAnswers reports whether any rule blocks an answer, so that it must be
	// held until it is known to hold none.
	HoldsAnswers() bool
}

// Usual is what is done where nothing is said.
type Usual struct{}

// Secret redacts what is sure, blocks keys in use, and flags the rest.
func (Usual) Secret(rule string, low, answer bool) (string, countersign.Ruling) {
	by := countersign.Ruling{Verdict: countersign.Deny, Rule: "models-secrets", Reason: "no layer has models.secrets"}
	switch {
	case answer || low:
		return Flag, by
	case rule == scan.ProviderKey:
		return Block, by
	}
	return Redact, by
}

// HoldsAnswers is false.
func (Usual) HoldsAnswers() bool { return false }

// Found is what was found in one request or answer, without the secrets.
type Found struct {
	// Blocked is the first secret that blocks, and By the ruling on it.
	Blocked *Secret
	By      countersign.Ruling

	list   []Secret
	unread int // bytes of images and the like
	forged int // what only looks like a placeholder
}

// Secret is one secret at one place, as often as it was there.
type Secret struct {
	scan.Finding
	Word  string
	Place string
	Count int
}

func (f *Found) add(x scan.Finding, word, place string, by countersign.Ruling) {
	if word == Block && f.Blocked == nil {
		f.Blocked, f.By = &Secret{x, word, place, 1}, by
	}
	for i := range f.list {
		if r := &f.list[i]; r.Placeholder == x.Placeholder && r.Word == word && r.Place == place && r.Via == x.Via {
			r.Count++
			return
		}
	}
	f.list = append(f.list, Secret{x, word, place, 1})
}

func (f *Found) has(placeholder string, among int) bool {
	for i := range f.list[:among] {
		if f.list[i].Placeholder == placeholder {
			return true
		}
	}
	return false
}

// maxListed bounds the secrets that one record lists.
const maxListed = 64

// Into writes down what was found, as docs/gateway.md has it; short makes a
// stranger's text fit for a record.
func (f *Found) Into(detail map[string]any, short func(string) string) {
	sort.SliceStable(f.list, func(i, j int) bool { return f.list[i].Word < f.list[j].Word }) // block first
	var out []map[string]any
	for i, r := range f.list {
		if i == maxListed {
			detail["redactions_more"] = len(f.list) - i
			break
		}
		m := map[string]any{"rule": r.Rule, "verdict": r.Word, "count": r.Count, "placeholder": r.Placeholder, "place": r.Place}
		if r.Source != "" {
			m["source"] = short(r.Source)
		}
		if r.Via != "" {
			m["encoding"] = r.Via
		}
		out = append(out, m)
	}
	for name, v := range map[string]int{"unscanned_bytes": f.unread, "forged_placeholders": f.forged} {
		if v > 0 {
			detail[name] = v
		}
	}
	if out != nil {
		detail["redactions"] = out
	}
}
