package policy

import (
	"errors"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/countersign/countersign/internal/fold"
	"github.com/countersign/countersign/internal/strictyaml"
	"github.com/countersign/countersign/internal/words"
	"github.com/countersign/countersign/policy/paths"
)

// mechanisms are what a posture may require; sandbox and staging report on the
// same names.
var mechanisms = []string{"exec-gate", "file-deny", "staging", "network"}

// reserved are the rule ids that rulings use where no rule matched.
var reserved = map[string]bool{"default": true, "covered": true, "launch": true, "models-allow": true, "models-deny": true, "models-features": true, "models-secrets": true, "no-network": true, "public-hosts": true, "proxy-request": true}

func (r *reader) id(n ast.Node) string {
	s := r.Text(n, "id")
	if r.Err != nil {
		return ""
	}
	if len(s) > 64 || s == "" || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || s[0] == '-' || s[0] == '_' {
		r.Fail(n, "write lower-case letters, digits and dashes, at most 64", "id: %q is no rule id", s)
	}
	if reserved[s] {
		r.Fail(n, "choose another", "id: %q is reserved", s)
	}
	return s
}

func (r *reader) ids(n ast.Node, what string) ([]string, []Pos) {
	out, at := []string{}, []Pos{}
	for _, v := range r.List(n, what) {
		out, at = append(out, r.id(v)), append(at, strictyaml.PosOf(v))
	}
	return out, at
}

// reason is one line of plain text: it is shown on cards and in refusals.
func (r *reader) reason(n ast.Node) string {
	s := strings.TrimSpace(r.Text(n, "reason"))
	if r.Err != nil {
		return ""
	}
	if s == "" {
		r.Fail(n, "say why the rule is there", "reason: empty")
	}
	if len(s) > 500 {
		r.Fail(n, "say it in fewer words", "reason: longer than 500 bytes")
	}
	for _, c := range s {
		if fold.Hidden(c) {
			r.Fail(n, "write it without", "reason: holds the invisible or control character %U", c)
			break
		}
	}
	return s
}

func (r *reader) paths(n ast.Node, what string) []string {
	out := []string{}
	for _, v := range r.List(n, what) {
		s := r.Text(v, what)
		if r.Err == nil {
			if _, err := paths.Compile(s); err != nil {
				r.Fail(v, "write a gitignore pattern without !", "%s: %q: %v", what, s, err)
			}
		}
		out = append(out, s)
	}
	return out
}

func (r *reader) argv(n ast.Node) []string {
	out := []string{}
	nodes := r.List(n, "argv")
	for i, v := range nodes {
		s := r.Text(v, "argv")
		if r.Err != nil {
			return nil
		}
		if s == "..." && (i == 0 || i != len(nodes)-1) {
			r.Fail(v, `write \... for the argument itself`, `argv: "..." stands only at the end, after the program`)
		}
		if i == 0 {
			if err := checkProgram(s); err != nil {
				r.Fail(v, "write the base name, or the absolute path", "argv: %v", err)
			}
		}
		out = append(out, s)
	}
	return out
}

func checkProgram(s string) error {
	switch {
	case s == "":
		return errors.New("the program is empty")
	case strings.Contains(s, "/") && !strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "~/") && !strings.HasPrefix(s, "./"):
		return errors.New("a program with a slash is an absolute path, ./ below the project or ~/ below the home")
	case strings.Contains(s, "/../") || strings.HasSuffix(s, "/..") || strings.HasSuffix(s, "/"):
		return errors.New("the path is not resolved")
	}
	return nil
}

// options are never nil: none at all may be meant.
func (r *reader) options(n ast.Node) []string {
	out := []string{}
	for _, v := range r.List(n, "options") {
		s := r.Text(v, "options")
		if r.Err == nil && (len(s) < 2 || s[0] != '-' || strings.Trim(s, "-*") == "" && s != "--") {
			r.Fail(v, "write it as --name, --name=* or -n", "options: %q names no option", s)
		}
		out = append(out, s)
	}
	return out
}

func (r *reader) sha256(n ast.Node) string {
	s := r.Text(n, "sha256")
	if r.Err == nil && (len(s) != 64 || strings.Trim(s, "0123456789abcdef") != "") {
		r.Fail(n, "write 64 lower-case hex digits", "sha256: %q is no digest", s)
	}
	return s
}

func (r *reader) envNames(n ast.Node) []string {
	out := []string{}
	for _, v := range r.List(n, "env") {
		s := r.Text(v, "env")
		if r.Err == nil && (s == "" || strings.ContainsAny(s, "=*")) {
			r.Fail(v, "write the exact name", "env: %q is no name of a variable", s)
		}
		out = append(out, s)
	}
	return out
}

func (r *reader) examples(n ast.Node, what string) []Example {
	out := []Example{}
	for _, v := range r.List(n, what) {
		e := Example{at: strictyaml.PosOf(v)}
		if _, isList := v.(*ast.SequenceNode); isList {
			e.Argv = r.texts(v, what)
		} else {
			line, err := words.Split(r.Text(v, what))
			if r.Err == nil && err != nil {
				r.Fail(v, "write it as a list of arguments", "%s: %v", what, err)
			}
			e.Env, e.Argv = splitEnv(line)
		}
		if r.Err == nil && len(e.Argv) == 0 {
			r.Fail(v, "write a command", "%s: no command in the example", what)
		}
		out = append(out, e)
	}
	return out
}

// splitEnv takes leading NAME=VALUE words as the environment.
func splitEnv(words []string) (env, argv []string) {
	for len(words) > 0 {
		name, _, ok := strings.Cut(words[0], "=")
		if !ok || name == "" || strings.ContainsAny(name, "/-.") {
			break
		}
		env, words = append(env, words[0]), words[1:]
	}
	return env, words
}

func (r *reader) texts(n ast.Node, what string) []string {
	out := []string{}
	for _, v := range r.List(n, what) {
		out = append(out, r.Text(v, what))
	}
	return out
}
