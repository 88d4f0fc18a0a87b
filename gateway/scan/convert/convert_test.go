package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestConvert(t *testing.T) {
	const src = `# a comment
title = "x"

[allowlist]
paths = [
    '''a]\.b''',
]
regexes = [
    '''^\d"x$''',
    # a comment
    '''[a,b]''',
]
stopwords = ["one", 'two']

[[rules]]
id = "a-rule"
description = "of x"
regex = '''(?i)\b(x_[a-z]{3})\b'''
entropy = 3.5
secretGroup = 1
keywords = [
    "X_",
    "y",
]
[[rules.allowlists]]
regexTarget = "line"
regexes = ['''z$''']
[[rules.allowlists]]
condition = "AND"
paths = ['''p''']
regexes = ['''q''']

[[rules]]
id = "of-names-alone"
path = '''\.p12$'''
`
	tables, err := parse(src)
	if err != nil {
		t.Fatal(err)
	}
	got, err := convert(tables)
	if err != nil {
		t.Fatal(err)
	}
	want := &set{
		allow: &allow{Regexes: []string{`^\d"x$`, `[a,b]`}, Words: []string{"one", "two"}, paths: true},
		rules: []*rule{{ID: "a-rule", Regex: `(?i)\b(x_[a-z]{3})\b`, Keywords: []string{"x_", "y"}, Entropy: 3.5, Group: 1, Allow: []*allow{{Target: "line", Regexes: []string{"z$"}}}}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(set{}, allow{})); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{
		"x\n", "id = \"a\"\nid = \"b\"\n", "[[rules]]\nid = \"a\"\nregex = '''('''\nkeywords = [\"a\"]\n", "[[rules]]\nid = \"a\"\nregex = '''a'''\n",
		"[[rules]]\nid = \"a\"\nregex = '''a'''\nkeywords = [\"a\"]\nnew = 3\n", "[[rules]]\nnew = \"a\"\n", "[[new]]\n", "[allowlist]\nnew = 1\n", "x = '''a\n", "x = [a]\n",
	} {
		tables, err := parse(bad)
		if err == nil {
			_, err = convert(tables)
		}
		if err == nil {
			t.Errorf("%s is taken", strings.ReplaceAll(bad, "\n", "; "))
		}
	}
}
