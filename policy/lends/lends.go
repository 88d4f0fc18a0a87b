// Package lends is what a policy says of secrets that single commands get: the
// section "lend".
//
// It promises that a rule names one variable, where its value comes from, and the
// command; it never holds a value. A project's policy, which is as untrusted as the
// code, lends nothing.
//
// It is pure, as package policy is.
package lends

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/countersign/countersign/internal/lazyre"
	"github.com/countersign/countersign/internal/strictyaml"
	"github.com/countersign/countersign/internal/words"
)

// Rule lends one secret to the commands that it matches.
type Rule struct {
	ID     string         `json:"id"`
	Name   string         `json:"name"` // of the variable
	From   string         `json:"from"` // where the value comes from: see ParseSource
	Argv   []string       `json:"argv"`
	Env    []string       `json:"env,omitempty"` // names that the command gets as the attempt has them
	Reason string         `json:"reason"`
	Layer  string         `json:"layer"`
	Pos    string         `json:"pos,omitempty"`
	At     strictyaml.Pos `json:"-"`
}

// Words reads what every rule has, for a layer.
type Words struct {
	*strictyaml.Reader
	ID, Reason func(ast.Node) string
	Argv, Env  func(ast.Node) []string
	Layer      string
	Pos        func(strictyaml.Pos) string // "file:line"
}

// Read reads the section.
func (w Words) Read(n ast.Node) []Rule {
	var out []Rule
	if w.Layer == "project" {
		w.Fail(n, "move it to your own policy: a project's policy may only add deny and ask", "lend in a project's policy")
		return nil
	}
	for _, v := range w.List(n, "lend") {
		out = append(out, w.rule(v))
	}
	return out
}

func (w Words) rule(n ast.Node) Rule {
	at := strictyaml.PosOf(n)
	r := Rule{Layer: w.Layer, At: at, Pos: w.Pos(at)}
	w.Mapping(n, "lend", []strictyaml.Field{
		{Name: "id", Read: func(n ast.Node) { r.ID = w.ID(n) }},
		{Name: "name", Read: func(n ast.Node) {
			r.Name = w.Text(n, "name")
			if err := CheckName(r.Name); w.Err == nil && err != nil {
				w.Fail(n, "write the name of the variable", "name: %v", err)
			}
		}},
		{Name: "from", Read: func(n ast.Node) {
			r.From = w.Text(n, "from")
			if _, err := ParseSource(r.From); w.Err == nil && err != nil {
				w.Fail(n, "write cmd:COMMAND, env:NAME, file:PATH or keyring:NAME", "from: %v", err)
			}
		}},
		{Name: "argv", Read: func(n ast.Node) {
			r.Argv = w.Argv(n)
			if w.Err == nil && len(r.Argv) > 0 && strings.Trim(r.Argv[0], "*/") == "" {
				w.Fail(n, "name the program", "argv: a secret is lent to a command by name")
			}
		}},
		{Name: "env", Read: func(n ast.Node) { r.Env = w.Env(n) }},
		{Name: "reason", Read: func(n ast.Node) { r.Reason = w.Reason(n) }},
	})
	for _, need := range []struct {
		name string
		have bool
	}{{"id", r.ID != ""}, {"name", r.Name != ""}, {"from", r.From != ""}, {"argv", len(r.Argv) > 0}, {"reason", r.Reason != ""}} {
		if w.Err == nil && !need.have {
			w.Fail(n, "add "+need.name, "lend: a rule needs %s", need.name)
		}
	}
	return r
}

var variable = lazyre.Compile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// CheckName refuses what is no name of a variable, or one that decides what a
// command runs.
func CheckName(s string) error {
	switch {
	case !variable().MatchString(s):
		return fmt.Errorf("%q is no name of a variable", s)
	case s == "PATH" || s == "HOME" || strings.HasPrefix(s, "LD_") || strings.HasPrefix(s, "COUNTERSIGN_"):
		return fmt.Errorf("%s holds no secret", s)
	}
	return nil
}

// Source is where a value comes from.
type Source struct {
	Kind string   // cmd, env, file, keyring
	Rest string   // a name or an absolute path
	Argv []string // of cmd
}

// ParseSource reads cmd:COMMAND (split into words, without shell syntax), env:NAME,
// file:PATH (absolute) or keyring:NAME.
func ParseSource(s string) (Source, error) {
	kind, rest, ok := strings.Cut(s, ":")
	src := Source{Kind: kind, Rest: rest}
	if !ok || rest == "" {
		return src, fmt.Errorf("%q says no source", s)
	}
	var err error
	switch kind {
	case "cmd":
		if src.Argv, err = words.Split(rest); err == nil && len(src.Argv) == 0 {
			err = errors.New("there is no command")
		}
	case "file":
		if !filepath.IsAbs(rest) {
			err = fmt.Errorf("%s is no absolute path", rest)
		}
	case "env", "keyring":
	default:
		err = fmt.Errorf("there is no source %q", kind)
	}
	return src, err
}
