// Package models is the section "models" of a policy: which models, what may
// happen at the provider, whether anything but this machine is reached, and what
// is done where another model answers than was asked.
//
// It promises that each layer can only narrow what the others leave: a denied
// pattern of any layer denies, every layer that has a list must allow, and a
// stricter word of any layer holds.
//
// It is pure, as package policy is.
package models

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/strictyaml"
	"github.com/countersign/countersign/policy/fence"
	"github.com/countersign/countersign/policy/limits"
)

// Section is one layer's "models" as written.
type Section struct {
	Allow, Deny []string // patterns of "provider/model"
	// Features is the list of "kind/detail" that may happen at the provider.
	Features []string
	// LocalOnly lets nothing but this machine be reached.
	LocalOnly bool
	// Served is what is done where another model answers: one of servedWords, or
	// empty.
	Served string
	// Budgets are what models may cost, use and be asked.
	Budgets []limits.Limit
	// Secrets is what is done with secrets in requests, Answers in answers.
	Secrets, Answers Secrets

	// allowSet tells an empty list, which allows nothing, from none at all.
	allowSet, featuresSet                               bool
	allowPos, denyPos, featuresPos, localPos, servedPos strictyaml.Pos
}

// Kinds are the features that models.features knows; the gateway reports on the
// same names.
var Kinds = []string{"server-tools", "remote-mcp", "stored-responses", "background", "batch", "remote-files"}

// servedWords say what is done where another model answers, mildest first:
// nothing but the record; a refusal of one that policy does not allow; a refusal
// of any other.
var servedWords = []string{"recorded", "allowed", "requested"}

// Read reads the section; id reads the id of a rule.
func (s *Section) Read(r *strictyaml.Reader, n ast.Node, id func(ast.Node) string) {
	r.Mapping(n, "models", []strictyaml.Field{
		{Name: "allow", Read: func(n ast.Node) {
			s.Allow, s.allowSet, s.allowPos = patterns(r, n, "models.allow"), true, strictyaml.PosOf(n)
		}},
		{Name: "deny", Read: func(n ast.Node) { s.Deny, s.denyPos = patterns(r, n, "models.deny"), strictyaml.PosOf(n) }},
		{Name: "features", Read: func(n ast.Node) {
			s.Features, s.featuresSet, s.featuresPos = features(r, n), true, strictyaml.PosOf(n)
		}},
		{Name: "local_only", Read: func(n ast.Node) {
			s.LocalOnly, s.localPos = r.Boolean(n, "models.local_only"), strictyaml.PosOf(n)
		}},
		{Name: "served", Read: func(n ast.Node) {
			s.Served, s.servedPos = r.OneOf(n, "models.served", servedWords...), strictyaml.PosOf(n)
		}},
		{Name: "budgets", Read: func(n ast.Node) {
			s.Budgets = limits.Read(r, n, id, func(n ast.Node) []string { return patterns(r, n, "models.budgets") })
		}},
		{Name: "secrets", Read: func(n ast.Node) { s.Secrets.read(r, n, "models.secrets", secretWords, &s.Answers) }},
	})
}

// features reads kinds, which stand for all of theirs, and kind/detail.
func features(r *strictyaml.Reader, n ast.Node) []string {
	out := []string{}
	for _, v := range r.List(n, "models.features") {
		s := r.Text(v, "models.features")
		kind, detail, ok := strings.Cut(s, "/")
		if !ok {
			detail, s = "*", kind+"/*"
		}
		if r.Err == nil && (detail == "" || !slices.Contains(Kinds, kind)) {
			r.Fail(v, "write one of "+strings.Join(Kinds, ", ")+", alone or as kind/detail", "models.features: %q is no feature", s)
		}
		out = append(out, s)
	}
	return out
}

func patterns(r *strictyaml.Reader, n ast.Node, what string) []string {
	out := []string{}
	for _, v := range r.List(n, what) {
		s := r.Text(v, what)
		provider, model, ok := strings.Cut(s, "/")
		if r.Err == nil && (!ok || provider == "" || model == "") {
			r.Fail(v, `write provider/model, for example "anthropic/claude-*"`, "%s: %q names no provider and model", what, s)
		}
		out = append(out, s)
	}
	return out
}

// Widens names the field of the section that allows something, if one does: a
// project's policy may not.
func (s *Section) Widens() (field string, at strictyaml.Pos) {
	switch {
	case s.allowSet:
		return "models.allow", s.allowPos
	case s.featuresSet:
		return "models.features", s.featuresPos
	}
	return "", strictyaml.Pos{}
}

// Canonical is what names the section by its content. What came later than the
// others is absent where it says nothing: a policy without it keeps its name.
type Canonical struct {
	AllowSet  bool
	Allow     []string
	DenyModel []string
}

// Later is the part of Canonical that came later.
type Later struct {
	Features  *[]string      `json:",omitempty"`
	LocalOnly bool           `json:",omitempty"`
	Served    string         `json:",omitempty"`
	Budgets   []limits.Limit `json:",omitempty"`
	Secrets   *Secrets       `json:",omitempty"`
	Answers   *Secrets       `json:",omitempty"`
}

// Canonical returns both parts.
func (s *Section) Canonical() (Canonical, Later) {
	l := Later{LocalOnly: s.LocalOnly, Served: s.Served, Budgets: s.Budgets}
	if s.featuresSet {
		l.Features = &s.Features
	}
	if s.Secrets.said() {
		l.Secrets = &s.Secrets
	}
	if s.Answers.said() {
		l.Answers = &s.Answers
	}
	return Canonical{s.allowSet, s.Allow, s.Deny}, l
}

// Rules is the sections of all layers put together, ready to be asked.
type Rules struct {
	models, features fence.Fence
	local            *countersign.Ruling
	served           string
	servedBy         countersign.Ruling
	limits           []countersign.Limit
	secrets          []secretLayer
	none             countersign.Ruling
}

// New returns the rules of no layer: none is the answer where nothing is said.
func New(none countersign.Ruling) Rules {
	r := Rules{models: fence.Fence{None: none}, features: fence.Fence{None: none}, served: servedWords[0], servedBy: none, none: none}
	r.models.None.Reason, r.features.None.Reason = "no layer allows any model", "no layer has models.features"
	return r
}

// Rule makes the ruling of a field of a layer.
type Rule func(v countersign.Verdict, id, reason string, at strictyaml.Pos) countersign.Ruling

// Fault is a list that cannot be compiled.
type Fault struct {
	At  strictyaml.Pos
	Err error
}

// Add puts one layer's section to the others.
func (r *Rules) Add(s *Section, rule Rule) *Fault {
	for _, l := range []struct {
		to   *[]fence.List
		list []string
		set  bool
		v    countersign.Verdict
		what string
		at   strictyaml.Pos
	}{
		{&r.models.Allow, s.Allow, s.allowSet, countersign.Allow, "models.allow", s.allowPos},
		{&r.models.Deny, s.Deny, len(s.Deny) > 0, countersign.Deny, "models.deny", s.denyPos},
		{&r.features.Allow, s.Features, s.featuresSet, countersign.Allow, "models.features", s.featuresPos},
	} {
		if !l.set {
			continue
		}
		list, err := fence.Compile(l.list, rule(l.v, strings.ReplaceAll(l.what, ".", "-"), "", l.at), l.what)
		if err != nil {
			return &Fault{l.at, fmt.Errorf("%s: %w", l.what, err)}
		}
		*l.to = append(*l.to, list)
	}
	for i := range s.Budgets {
		b := &s.Budgets[i]
		l, err := b.Compile(rule(countersign.Deny, b.ID, b.Reason, b.At))
		if err != nil {
			return &Fault{b.At, fmt.Errorf("models.budgets: %w", err)}
		}
		r.limits = append(r.limits, l)
	}
	if s.LocalOnly && r.local == nil {
		ruling := rule(countersign.Deny, "models-local-only", "models.local_only: nothing but this machine is reached", s.localPos)
		r.local = &ruling
	}
	if s.Secrets.said() || s.Answers.said() {
		by := rule(countersign.Deny, "models-secrets", "", s.Secrets.at)
		r.secrets = append(r.secrets, secretLayer{s.Secrets, s.Answers, by.Layer == "project", by})
	}
	if slices.Index(servedWords, s.Served) > slices.Index(servedWords, r.served) {
		r.served, r.servedBy = s.Served, rule(countersign.Deny, "models-served", "", s.servedPos)
	}
	return nil
}

// Limits are the budgets of all layers; each of them holds.
func (r *Rules) Limits() []countersign.Limit { return r.limits }

// Model says whether a model may be asked. Names are compared without case.
func (r *Rules) Model(provider, model string) countersign.Ruling {
	return r.models.Ask(provider, model)
}

// Feature says whether a request may ask for what happens at the provider.
func (r *Rules) Feature(kind, detail string) countersign.Ruling { return r.features.Ask(kind, detail) }

// LocalOnly returns the refusal of what is not on this machine, nil where other
// machines may be reached.
func (r *Rules) LocalOnly() *countersign.Ruling { return r.local }

// Served says whether an answer may be handed on that another model gave than
// was asked; provider is the one that was asked.
func (r *Rules) Served(provider, served string) countersign.Ruling {
	out := r.servedBy
	switch r.served {
	case "requested":
		out.Reason = "models.served has requested: no other model than the one that was asked"
	case "allowed":
		if m := r.Model(provider, served); m.Verdict != countersign.Allow {
			out.Reason = "models.served has allowed: " + m.Reason
			return out
		}
		out.Verdict, out.Reason = countersign.Allow, "models.served has allowed"
	default:
		out.Verdict, out.Reason = countersign.Allow, "only recorded"
	}
	return out
}

// Watches reports whether Served can refuse: then the answer's beginning waits
// until it says which model gave it.
func (r *Rules) Watches() bool { return r.served != servedWords[0] }
