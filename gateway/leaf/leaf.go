// Package leaf makes what others say fit for a record of the ledger, which holds
// 16 KiB: a text is clipped and without secrets that show by themselves, lists are cut
// and what is left out is counted.
//
// It promises: after Fit a record is one that the ledger takes, but for what its own
// room has put there. It touches nothing.
package leaf

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/redact"
)

// A leaf of the ledger holds 16 KiB (docs/formats/ledger.md), of which the ledger
// writes some itself. A record beyond that is no record, and without its records
// the door closes: neither an agent nor a provider may bring that about by lists
// of theirs.
const (
	maxRecord = 15 << 10
	maxWord   = 64 // bytes of a string in a record that is too large
)

// lists are what of a record grows with what others say.
var lists = []string{"redactions", "tools", "features"}

// maxText is how much of a text a record has, in bytes.
const maxText = 200

// Clip makes a stranger's text fit for a leaf: valid, short, without secrets.
func Clip(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s, _ = redact.Arg(s)
	if len(s) <= maxText {
		return s
	}
	n := maxText
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// Fit makes a record one that the ledger takes. What is left out is counted, as
// NAME_more.
func Fit(rec *countersign.Record) {
	if !large(rec.Detail) {
		return
	}
	rec.Detail = maps.Clone(rec.Detail)
	for keep := 32; tooLarge(rec) && keep > 0; keep /= 2 {
		for _, name := range lists {
			v, more := cut(rec.Detail[name], keep)
			if more > 0 {
				before, _ := rec.Detail[name+"_more"].(int)
				rec.Detail[name], rec.Detail[name+"_more"] = v, before+more
			}
		}
	}
	if !tooLarge(rec) {
		return
	}
	for name, v := range rec.Detail {
		if s, ok := v.(string); ok && len(s) > maxWord {
			rec.Detail[name] = Clip(s[:maxWord])
		}
	}
}

// large reports whether a record may be too large, without writing it.
func large(detail map[string]any) bool {
	n := 0
	for name, v := range detail {
		n += len(name)
		switch v := v.(type) {
		case string:
			n += 6 * len(v) // each byte may be written as \u00XX
		case []map[string]any:
			for _, m := range v {
				for _, s := range m {
					if s, ok := s.(string); ok {
						n += 6 * len(s)
					}
					n += 32
				}
			}
		case map[string]string:
			for k, s := range v {
				n += 6 * (len(k) + len(s))
			}
		case map[string]int:
			for k := range v {
				n += 6*len(k) + 16
			}
		}
	}
	return n > maxRecord/2
}

func tooLarge(rec *countersign.Record) bool {
	b, err := rec.JSON()
	return err != nil || len(b) > maxRecord
}

// cut shortens a list to its first so many.
func cut(v any, keep int) (out any, more int) {
	switch v := v.(type) {
	case []map[string]any:
		if len(v) > keep {
			return v[:keep], len(v) - keep
		}
	case map[string]string:
		return cutMap(v, keep)
	case map[string]int:
		return cutMap(v, keep)
	}
	return v, 0
}

func cutMap[V any](m map[string]V, keep int) (out map[string]V, more int) {
	if len(m) <= keep {
		return m, 0
	}
	out = map[string]V{}
	for _, k := range slices.Sorted(maps.Keys(m))[:keep] {
		out[k] = m[k]
	}
	return out, len(m) - keep
}
