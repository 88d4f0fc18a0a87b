package profile

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCallsOfATool(t *testing.T) {
	e := Early{Tool: "run", command: "commands", cwd: "dir", argv: []string{"/bin/bash", "-c", "<<command>>"}}
	bash := func(cwd string, lines ...string) (out []Call) {
		for _, l := range lines {
			out = append(out, Call{Argv: []string{"/bin/bash", "-c", l}, Cwd: cwd})
		}
		return out
	}
	for input, want := range map[string][]Call{
		`{"commands":["npm test","ls"]}`:                 bash("", "npm test", "ls"),
		`{"commands":"npm test","dir":"/p"}`:             bash("/p", "npm test"),
		`{"commands":["<<command>>"]}`:                   bash("", "<<command>>"),
		`{"commands":"a","dir":""}`:                      bash("", "a"),
		`{"commands":"a","dir":"sub"}`:                   nil, // from where is not known
		`{"commands":[]}`:                                nil,
		`{"commands":[""]}`:                              nil,
		`{"commands":["a\u0000b"]}`:                      nil, // no argument holds a NUL
		`{"commands":["a",{"command":"b"}]}`:             nil,
		`{"command":"a"}`:                                nil,
		`{"commands":["a"]`:                              nil,
		`["a"]`:                                          nil,
		``:                                               nil,
		`{"commands":{"0":"a"}}`:                         nil,
		`{"commands":"a","dir":["/p"]}`:                  nil,
		`{"commands":"` + strings.Repeat("x", 10) + `"}`: bash("", "xxxxxxxxxx"),
	} {
		if diff := cmp.Diff(want, e.Calls(input)); diff != "" {
			t.Errorf("%s: %s", input, diff)
		}
	}
}

func TestEarlyIsReadStrictly(t *testing.T) {
	for name, text := range map[string]string{
		"no program":   `{tool: t, command: c, argv: ["<<command>>"], wait: 9}`,
		"two places":   `{tool: t, command: c, argv: [/bin/sh, "<<command>>", "<<command>>"], wait: 9}`,
		"no wait":      `{tool: t, command: c, argv: [/bin/sh, -c, "<<command>>"]}`,
		"other fields": `{tool: t, command: c, argv: [/bin/sh, -c, "<<command>>"], wait: 9, shell: x}`,
	} {
		src := "version: 1\nname: x\ntitle: X\nfound: {names: [x]}\nsandbox: none\npatience: none\nearly:\n  - " + text + "\n"
		if _, err := Parse("x.yaml", []byte(src)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
