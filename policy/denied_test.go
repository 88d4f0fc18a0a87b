package policy

import (
	"regexp"
	"strings"
	"testing"

	"github.com/countersign/countersign/policy/paths"
)

var anchored = paths.Anchors{Project: "^/p", Home: "^/h"}

// expressions are a policy's denials, compiled.
type expressions struct {
	match, except, under, backup, beneath []*regexp.Regexp
	files                                 bool
}

func expressionsOf(p *Policy) (out []expressions) {
	list := func(all []string) (res []*regexp.Regexp) {
		for _, re := range all {
			res = append(res, regexp.MustCompile(re))
		}
		return res
	}
	for _, d := range p.Denied() {
		files := d.Rule.Only == "files"
		x := anchored.Denial(d.Patterns, d.Except, files)
		out = append(out, expressions{list(x.Match), list(x.Except), list(x.Under), list(x.Backup), list(x.BackupExcept), files})
	}
	return out
}

func (x *expressions) deny(path string, dir bool) bool {
	hit := func(list []*regexp.Regexp) bool {
		for _, re := range list {
			if re.MatchString(path) {
				return true
			}
		}
		return false
	}
	named := !dir || !x.files
	return named && hit(x.match) && !hit(x.except) || hit(x.under) || !dir && hit(x.backup) && !hit(x.beneath)
}

// Every example of every built-in rule is answered alike by its expressions.
func TestTheBuiltInRulesAsExpressions(t *testing.T) {
	d := BuiltIn()
	p := compile(t, d).At("/p", "/h")
	all := expressionsOf(p)
	var examples []string
	for _, r := range d.Files.Deny {
		examples = append(append(examples, r.Match...), r.NotMatch...)
	}
	for _, x := range d.Files.Except {
		examples = append(append(examples, x.Match...), x.NotMatch...)
	}
	denied := 0
	for _, e := range examples {
		dir := strings.HasSuffix(e, "/")
		path := "/p/" + strings.TrimSuffix(e, "/")
		if rest, home := strings.CutPrefix(path, "/p/~/"); home {
			path = "/h/" + rest
		}
		_, want := p.Path(e)
		got := false
		for i := range all {
			got = got || all[i].deny(path, dir)
		}
		if got != want {
			t.Errorf("%s: expressions say %v, the policy %v", e, got, want)
		}
		if want {
			denied++
		}
	}
	if denied < 80 || len(examples)-denied < 50 {
		t.Errorf("%d of %d examples are denied", denied, len(examples))
	}
}

// A repository around the project speaks of it from its own root.
func TestOuterRulesAsExpressions(t *testing.T) {
	src := `files: {deny: [{id: d, paths: ["/sub/x", "**/sub/*.y", "/other/z"], reason: r},
  {id: f, only: files, paths: ["sub", "sub/f"], reason: r}]}`
	p := compile(t, parse(t, LayerProject, src).Around("sub", "outer:")).At("/p", "/h")
	all := expressionsOf(p)
	for path, want := range map[string]bool{"x": true, "x/in": true, "a.y": true, "sub/a.y": true, "z": false, "other/z": false, "a/x": false, "f": true, "g": false} {
		if _, denied := p.Path(path); denied != want {
			t.Errorf("%s: the policy says %v", path, denied)
		}
		got := false
		for i := range all {
			got = got || all[i].deny("/p/"+path, false)
		}
		if got != want {
			t.Errorf("%s: expressions say %v", path, got)
		}
	}
}
