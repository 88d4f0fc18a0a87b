package models

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/strictyaml"
)

// secretWords say what is done with a secret that was found, mildest first.
var secretWords = []string{"flag", "redact", "block"}

// Secrets is "models.secrets": what is done with secrets in requests, and below it
// in answers.
type Secrets struct {
	// Verdict is one of secretWords, or empty. It does not hold for rules that meet
	// ordinary code.
	Verdict string       `json:",omitempty"`
	Rules   []SecretRule `json:",omitempty"`

	at strictyaml.Pos
}

// SecretRule names what is done by a rule, or by all that begin as the name does
// before its "*".
type SecretRule struct {
	Rule    string
	Verdict string
}

func (s *Secrets) said() bool { return s.Verdict != "" || len(s.Rules) > 0 }

// read reads the section; answers is that of answers, nil where this is it.
func (s *Secrets) read(r *strictyaml.Reader, n ast.Node, what string, words []string, answers *Secrets) {
	s.at = strictyaml.PosOf(n)
	fields := []strictyaml.Field{
		{Name: "verdict", Read: func(n ast.Node) { s.Verdict = r.OneOf(n, what+".verdict", words...) }},
		{Name: "rules", Read: func(n ast.Node) {
			for _, v := range r.List(n, what+".rules") {
				s.Rules = append(s.Rules, s.rule(r, v, what+".rules", words))
			}
		}},
	}
	if answers != nil {
		fields = append(fields, strictyaml.Field{Name: "answers", Read: func(n ast.Node) {
			answers.read(r, n, what+".answers", []string{"flag", "block"}, nil)
		}})
	}
	r.Mapping(n, what, fields)
}

func (s *Secrets) rule(r *strictyaml.Reader, n ast.Node, what string, words []string) (out SecretRule) {
	r.Mapping(n, what, []strictyaml.Field{
		{Name: "rule", Read: func(n ast.Node) {
			out.Rule = r.Text(n, what+".rule")
			name := strings.TrimSuffix(out.Rule, "*")
			if r.Err == nil && (out.Rule == "" || len(name) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "") {
				r.Fail(n, `write the name of a rule, or how it begins: "gitlab-*"`, "%s: %q names no rule", what, out.Rule)
			}
			if slices.ContainsFunc(s.Rules, func(o SecretRule) bool { return o.Rule == out.Rule }) {
				r.Fail(n, "keep one of the two", "%s: %q is given twice", what, out.Rule)
			}
		}},
		{Name: "verdict", Read: func(n ast.Node) { out.Verdict = r.OneOf(n, what+".verdict", words...) }},
	})
	if r.Err == nil && (out.Rule == "" || out.Verdict == "") {
		r.Fail(n, "write {rule: NAME, verdict: "+words[0]+"}", "%s: needs rule and verdict", what)
	}
	return out
}

// word is what a layer says of a rule, empty if nothing: the name itself before
// the longest beginning before the verdict of all.
func (s *Secrets) word(rule string, low bool) string {
	best, word := -1, ""
	for _, r := range s.Rules {
		prefix, pattern := strings.CutSuffix(r.Rule, "*")
		switch {
		case r.Rule == rule:
			return r.Verdict
		case pattern && strings.HasPrefix(rule, prefix) && len(prefix) > best:
			best, word = len(prefix), r.Verdict
		}
	}
	if word == "" && !low {
		word = s.Verdict
	}
	return word
}

// secretLayer is one layer's section with its rulings.
type secretLayer struct {
	asks, answers Secrets
	project       bool
	by            countersign.Ruling
}

// usual is what is done where no layer says anything.
func usual(rule string, low, answer bool) string {
	switch {
	case answer || low:
		return "flag"
	case rule == providerKey:
		return "block"
	}
	return "redact"
}

// providerKey is the gateway's rule of the keys in use.
const providerKey = "provider-key"

// Secret says what is done with a secret that a rule of the gateway has found:
// flag, redact or block; low says that ordinary code has such too. Where layers
// say something, the strictest holds, but a project's word only where it is
// stricter than what holds without it.
func (r *Rules) Secret(rule string, low, answer bool) (word string, by countersign.Ruling) {
	rank := func(w string) int { return slices.Index(secretWords, w) }
	by = r.none
	by.Rule, by.Reason = "models-secrets", "no layer has a word on it in models.secrets"
	for _, project := range []bool{false, true} {
		if project && word == "" {
			word = usual(rule, low, answer)
		}
		for i := range r.secrets {
			l := &r.secrets[i]
			s := &l.asks
			if answer {
				s = &l.answers
			}
			if w := s.word(rule, low); l.project == project && w != "" && (word == "" || rank(w) > rank(word)) {
				word, by = w, l.by
				by.Reason = "models.secrets of the " + by.Layer + " layer says " + w
			}
		}
	}
	return word, by
}

// SecretNames returns the rules that the layers name, with the place where; whoever
// knows the gateway's rules checks them.
func (r *Rules) SecretNames() map[string]string {
	out := map[string]string{}
	for i := range r.secrets {
		for _, s := range []*Secrets{&r.secrets[i].asks, &r.secrets[i].answers} {
			for _, rule := range s.Rules {
				out[rule.Rule] = r.secrets[i].by.Pos
			}
		}
	}
	return out
}

// HoldsAnswers reports whether any rule blocks an answer, so that answers must be
// held until they are known to hold none.
func (r *Rules) HoldsAnswers() bool {
	for i := range r.secrets {
		s := &r.secrets[i].answers
		if s.Verdict == "block" || slices.ContainsFunc(s.Rules, func(o SecretRule) bool { return o.Verdict == "block" }) {
			return true
		}
	}
	return false
}
