package profile

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/strictyaml"
)

type reader struct {
	strictyaml.Reader
	p *Profile
}

// Parse decodes one profile; file is the name of its file.
func Parse(file string, src []byte) (*Profile, error) {
	root, bad := strictyaml.Parse(src)
	r := &reader{p: &Profile{Digest: digest(src)}}
	if bad == nil {
		r.profile(root)
		bad = r.Err
	}
	if bad != nil {
		return nil, fault(file, bad.Pos.Line, bad.Pos.Column, bad.Remedy, "%s", bad.Msg)
	}
	if r.p.Name != strings.TrimSuffix(path.Base(file), ".yaml") {
		return nil, fault(file, 1, 1, "name it as its file", "name: %q stands in %s", r.p.Name, file)
	}
	return r.p, nil
}

func (r *reader) profile(n ast.Node) {
	p, version := r.p, 0
	r.Mapping(n, "profile", []strictyaml.Field{
		{Name: "version", Read: func(n ast.Node) { version = r.Number(n, "version", 1, 1) }},
		{Name: "name", Read: func(n ast.Node) { p.Name = r.Text(n, "name") }},
		{Name: "title", Read: func(n ast.Node) { p.Title = r.Text(n, "title") }},
		{Name: "tried", Read: func(n ast.Node) { p.Tried = r.Text(n, "tried") }},
		{Name: "found", Read: r.found},
		{Name: "ungoverned", Read: func(n ast.Node) { p.Ungoverned = r.Text(n, "ungoverned") }},
		{Name: "model", Read: func(n ast.Node) { p.Model = r.Boolean(n, "model") }},
		{Name: "env", Read: r.env},
		{Name: "files", Read: r.files},
		{Name: "home", Read: r.home},
		{Name: "sandbox", Read: func(n ast.Node) { p.Sandbox = r.Text(n, "sandbox") }},
		{Name: "patience", Read: func(n ast.Node) { p.Patience = r.Text(n, "patience") }},
		{Name: "housekeeping", Read: r.housekeeping},
		{Name: "wrappers", Read: r.wrappers},
		{Name: "early", Read: r.early},
	})
	r.need(n, "profile", "version", version == 1)
	r.need(n, "profile", "name", p.Name != "")
	r.need(n, "profile", "title", p.Title != "")
	r.need(n, "profile", "sandbox", p.Sandbox != "" || p.Ungoverned != "")
	r.need(n, "profile", "patience", p.Patience != "" || p.Ungoverned != "")
}

func (r *reader) found(n ast.Node) {
	f := &r.p.Found
	r.Mapping(n, "found", []strictyaml.Field{
		{Name: "names", Read: func(n ast.Node) { f.Names = r.texts(n, "found.names") }},
		{Name: "npm", Read: func(n ast.Node) { f.NPM = r.Text(n, "found.npm") }},
		{Name: "pypi", Read: func(n ast.Node) { f.PyPI = r.Text(n, "found.pypi") }},
		{Name: "shim", Read: func(n ast.Node) {
			r.Mapping(n, "found.shim", []strictyaml.Field{
				{Name: "file", Read: func(n ast.Node) { f.Shim.File = r.Text(n, "found.shim.file") }},
				{Name: "package", Read: func(n ast.Node) { f.Shim.Package = r.Text(n, "found.shim.package") }},
				{Name: "runs", Read: func(n ast.Node) { f.Shim.Runs = r.texts(n, "found.shim.runs") }},
			})
			_, err := path.Match(f.Shim.Package, "")
			r.need(n, "found.shim", "file, and package or runs", f.Shim.File != "" && (f.Shim.Package == "") != (len(f.Shim.Runs) == 0) && err == nil)
		}},
	})
	r.need(n, "found", "names", len(f.Names) > 0)
}

func (r *reader) env(n ast.Node) {
	for _, v := range r.List(n, "env") {
		s := r.Text(v, "env")
		name, value, ok := strings.Cut(s, "=")
		if r.Err == nil && (!ok || name == "" || strings.HasPrefix(name, "LD_")) {
			r.Fail(v, "write NAME=VALUE", "env: %q is no variable", s)
		}
		r.template(v, value)
		r.p.Env = append(r.p.Env, Variable{name, value})
	}
}

// template refuses a place that nothing would fill.
func (r *reader) template(n ast.Node, s string) {
	rest := Door{}.fill(s)
	if i := strings.Index(rest, "<<"); i >= 0 && r.Err == nil {
		r.Fail(n, "places here: <<gateway>>, <<token>>, <<token-end>>, <<home>>", "nothing fills %.20q", rest[i:])
	}
}

func (r *reader) files(n ast.Node) {
	for _, v := range r.List(n, "files") {
		var f File
		r.Mapping(v, "files", []strictyaml.Field{
			{Name: "path", Read: func(n ast.Node) { f.Path = r.below(n, "files.path") }},
			{Name: "content", Read: func(n ast.Node) {
				f.Content = r.Text(n, "files.content") + "\n"
				r.template(n, f.Content)
			}},
		})
		r.need(v, "files", "path and content", f.Path != "" && f.Content != "")
		r.p.Files = append(r.p.Files, f)
	}
}

func (r *reader) home(n ast.Node) {
	names := func(to *[]string, what string) func(ast.Node) {
		return func(n ast.Node) {
			for _, v := range r.List(n, what) {
				*to = append(*to, r.below(v, what))
			}
		}
	}
	r.Mapping(n, "home", []strictyaml.Field{
		{Name: "keeps", Read: names(&r.p.Keeps, "home.keeps")},
		{Name: "seed", Read: names(&r.p.Seed, "home.seed")},
	})
}

// below reads a name below the home.
func (r *reader) below(n ast.Node, what string) string {
	s := r.Text(n, what)
	if r.Err == nil && (s == "" || s != path.Clean(s) || path.IsAbs(s) || s == "." || strings.HasPrefix(s, "..")) {
		r.Fail(n, "write it as .agent/settings.json", "%s: %q is no path below the home", what, s)
	}
	return s
}

func (r *reader) texts(n ast.Node, what string) (out []string) {
	for _, v := range r.List(n, what) {
		out = append(out, r.Text(v, what))
	}
	return out
}

// housekeeping reads groups of commands that begin alike.
func (r *reader) housekeeping(n ast.Node) {
	for _, v := range r.List(n, "housekeeping") {
		var begin, env []string
		r.Mapping(v, "housekeeping", []strictyaml.Field{
			{Name: "begin", Read: func(n ast.Node) { begin = r.texts(n, "housekeeping.begin") }},
			{Name: "env", Read: func(n ast.Node) { env = r.envNames(n) }},
			{Name: "commands", Read: func(n ast.Node) {
				for _, c := range r.List(n, "housekeeping.commands") {
					r.rule(c)
				}
			}},
		})
		for i := range r.p.Rules {
			if rule := &r.p.Rules[i]; rule.Verdict == "" {
				rule.Argv, rule.Env, rule.Verdict = slices.Concat(begin, rule.Argv), env, countersign.Allow
				if w := wild(rule.Argv); w != "" {
					r.Fail(v, "write each word out", "%s: %q leaves open what runs", rule.ID, w)
				}
			}
		}
	}
}

func (r *reader) rule(n ast.Node) {
	var c Rule
	deny := false
	r.Mapping(n, "housekeeping.commands", []strictyaml.Field{
		{Name: "id", Read: func(n ast.Node) { c.ID = "agent-" + r.p.Name + "-" + r.Text(n, "id") }},
		{Name: "argv", Read: func(n ast.Node) { c.Argv = r.texts(n, "argv") }},
		{Name: "refused", Read: func(n ast.Node) { deny = r.Boolean(n, "refused") }},
		{Name: "reason", Read: func(n ast.Node) { c.Reason = r.Text(n, "reason") }},
	})
	r.need(n, "housekeeping.commands", "id, argv and reason", c.ID != "" && len(c.Argv) > 0 && c.Reason != "")
	if deny {
		c.Verdict = countersign.Deny // stands by itself: it begins with nothing
	}
	r.p.Rules = append(r.p.Rules, c)
}

// wild is the first word that a rule would not take letter by letter.
func wild(argv []string) string {
	for _, w := range argv {
		if strings.ContainsAny(w, `*\`) || w == "..." {
			return w
		}
	}
	return ""
}

// envNames reads names of variables; NAME_0..9 are ten of them.
func (r *reader) envNames(n ast.Node) (out []string) {
	for _, v := range r.List(n, "housekeeping.env") {
		s := r.Text(v, "housekeeping.env")
		if r.Err == nil && (s == "" || strings.ContainsAny(s, "=*") || strings.HasPrefix(s, "LD_")) {
			r.Fail(v, "write the exact name", "housekeeping.env: %q may not differ", s)
		}
		first, last := 0, 0
		stem := s
		if i := strings.LastIndex(s, "_"); strings.Contains(s, "..") && i >= 0 {
			if _, err := fmt.Sscanf(s[i+1:], "%d..%d", &first, &last); err != nil || first > last || last > 99 {
				r.Fail(v, "write it as NAME_0..9", "housekeeping.env: %q counts nothing", s)
				return nil
			}
			stem = s[:i+1]
			for k := first; k <= last; k++ {
				out = append(out, fmt.Sprint(stem, k))
			}
			continue
		}
		out = append(out, s)
	}
	return out
}

func (r *reader) wrappers(n ast.Node) {
	for _, v := range r.List(n, "wrappers") {
		var w Wrapper
		r.Mapping(v, "wrappers", []strictyaml.Field{
			{Name: "argv", Read: func(n ast.Node) { w.argv = r.texts(n, "wrappers.argv") }},
			{Name: "does", Read: func(n ast.Node) { w.Does = r.Text(n, "wrappers.does") }},
		})
		r.need(v, "wrappers", "argv and does", len(w.argv) > 0 && w.Does != "")
		if err := w.compile(); err != nil && r.Err == nil {
			r.Fail(v, "", "wrappers: %v", err)
		}
		r.p.Wrappers = append(r.p.Wrappers, w)
	}
}

func (r *reader) need(n ast.Node, what, name string, have bool) {
	if r.Err == nil && !have {
		r.Fail(n, "add "+name, "%s: needs %s", what, name)
	}
}
