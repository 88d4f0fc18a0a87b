// Package fence is lists of two-part names ("provider/model", "kind/detail") that
// each layer may only narrow.
//
// It promises that a denied pattern of any layer denies, that every layer which
// has a list must allow, and that where no layer has one the answer is deny.
//
// It is pure, as package policy is.
package fence

import (
	"strings"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/glob"
)

// List is one layer's list, ready to be asked.
type List struct {
	patterns []pattern
	ruling   countersign.Ruling
	where    string
}

type pattern struct {
	src    string
	before glob.Glob
	after  glob.Glob
}

// Compile makes a list of patterns, compared without case. ruling is what it
// gives, where names it in reasons.
func Compile(list []string, ruling countersign.Ruling, where string) (List, error) {
	out := List{ruling: ruling, where: where}
	for _, s := range list {
		before, after, _ := strings.Cut(strings.ToLower(s), "/")
		b, err := glob.Arg(before)
		if err != nil {
			return List{}, err
		}
		a, err := glob.Arg(after)
		if err != nil {
			return List{}, err
		}
		out.patterns = append(out.patterns, pattern{s, b, a})
	}
	return out, nil
}

func (l *List) first(before, after string) (src string, ok bool) {
	for i := range l.patterns {
		if l.patterns[i].before.Match(before) && l.patterns[i].after.Match(after) {
			return l.patterns[i].src, true
		}
	}
	return "", false
}

// Has reports whether the list has a name.
func (l *List) Has(before, after string) bool {
	_, ok := l.first(strings.ToLower(before), strings.ToLower(after))
	return ok
}

// Fence is the lists of all layers.
type Fence struct {
	Allow, Deny []List
	// None is the answer where no layer allows anything.
	None countersign.Ruling
}

// Ask says whether a name is allowed.
func (f *Fence) Ask(before, after string) countersign.Ruling {
	before, after = strings.ToLower(before), strings.ToLower(after)
	for i := range f.Deny {
		if src, ok := f.Deny[i].first(before, after); ok {
			r := f.Deny[i].ruling
			r.Reason = f.Deny[i].where + " has " + src
			return r
		}
	}
	out := f.None
	for i := range f.Allow {
		l := &f.Allow[i]
		src, ok := l.first(before, after)
		out = l.ruling
		if !ok {
			out.Verdict, out.Reason = countersign.Deny, "not among "+l.where+" of "+out.Layer
			return out
		}
		out.Reason = l.where + " has " + src
	}
	return out
}
