//go:build amd64 || arm64

package execgate

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseProgram(t *testing.T) {
	type want struct {
		Scripts []string
		Inline  bool
		Stdin   bool
	}
	for line, w := range map[string]want{
		"/bin/bash x.sh a b":                      {Scripts: []string{"x.sh"}},
		"/bin/bash -c ls":                         {Inline: true},
		"/bin/bash -ec ls":                        {Inline: true},
		"/bin/bash -lc ls":                        {Inline: true},
		"/bin/bash -o pipefail x.sh":              {Scripts: []string{"x.sh"}},
		"/bin/bash -eo pipefail x.sh":             {Scripts: []string{"x.sh"}},
		"/bin/bash +O extglob x.sh":               {Scripts: []string{"x.sh"}},
		"/bin/bash --rcfile rc -i":                {Scripts: []string{"rc"}, Stdin: true},
		"/bin/bash":                               {Stdin: true},
		"/bin/bash -s a":                          {Stdin: true},
		"/bin/sh -es a":                           {Stdin: true},
		"/bin/sh -":                               {Stdin: true},
		"/bin/dash -- x.sh":                       {Scripts: []string{"x.sh"}},
		"/usr/bin/python3.12 x.py -c y":           {Scripts: []string{"x.py"}},
		"/usr/bin/python3 -c pass":                {Inline: true},
		"/usr/bin/python3 -m http.server":         {Inline: true},
		"/usr/bin/python3 -W ignore x.py":         {Scripts: []string{"x.py"}},
		"/usr/bin/python3 -Wignore -u x.py":       {Scripts: []string{"x.py"}},
		"/usr/bin/python3 -":                      {Stdin: true},
		"/usr/bin/node x.js":                      {Scripts: []string{"x.js"}},
		"/usr/bin/node -e 1":                      {Inline: true},
		"/usr/bin/node --eval=1":                  {Inline: true},
		"/usr/bin/node -r ./hook.js x.js":         {Scripts: []string{"./hook.js", "x.js"}},
		"/usr/bin/node --require=./hook.js x.js":  {Scripts: []string{"./hook.js", "x.js"}},
		"/usr/bin/node --import tsx x.ts":         {Scripts: []string{"x.ts"}},
		"/usr/bin/node --max-old-space-size=9 x.": {Scripts: []string{"x."}},
		"/usr/bin/perl -I lib x.pl":               {Scripts: []string{"x.pl"}},
		"/usr/bin/perl -ne print f":               {Inline: true},
		"/usr/bin/ruby -I lib x.rb":               {Scripts: []string{"x.rb"}},
		"/bin/busybox sh x.sh":                    {Scripts: []string{"x.sh"}},
		"/bin/ls x":                               {},
	} {
		t.Run(line, func(t *testing.T) {
			argv := strings.Fields(line)
			p := parseProgram(argv[0], argv)
			if d := cmp.Diff(w, want{p.scripts, p.inline, p.stdin}); d != "" {
				t.Error(d)
			}
		})
	}
	if p := parseProgram("/bin/busybox", []string{"sh"}); !p.stdin {
		t.Error("busybox called as sh reads its input")
	}
}

func TestParseHead(t *testing.T) {
	long := "#!/" + strings.Repeat("x", 300)
	for in, want := range map[string]struct {
		f           form
		interp, arg string
	}{
		"\x7fELF...":             {formELF, "", ""},
		"#!/bin/sh\n":            {formScript, "/bin/sh", ""},
		"#! /bin/sh -e x \nrest": {formScript, "/bin/sh", "-e x"},
		"#!/bin/sh":              {formScript, "/bin/sh", ""},
		"#!\t/bin/sh\t\n":        {formScript, "/bin/sh", ""},
		"#!\n":                   {formOther, "", ""},
		"#!   ":                  {formOther, "", ""},
		"":                       {formOther, "", ""},
		"echo hi":                {formOther, "", ""},
		long[:headSize]:          {formOther, "", ""},
		"#!/bin/sh\r\n":          {formScript, "/bin/sh\r", ""},
	} {
		f, interp, arg, _ := parseHead([]byte(in))
		if f != want.f || interp != want.interp || arg != want.arg {
			t.Errorf("%q: %v %q %q", in, f, interp, arg)
		}
	}
}

func FuzzParseHead(f *testing.F) {
	f.Add([]byte("#!/bin/sh -e\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = b[:min(len(b), headSize)]
		form, interp, arg, has := parseHead(b)
		if form == formScript && (interp == "" || strings.ContainsAny(interp, " \t\n\x00") || has != (arg != "")) {
			t.Errorf("%q: %q %q", b, interp, arg)
		}
	})
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("12 (a) b) S 7 1 1 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 99 1 1"))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _, _, _ = parseStat(b) })
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte("a\x00b\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = append(b, 0)
		if got := strings.Join(split(b), "\x00") + "\x00"; !bytes.Equal([]byte(got), b) {
			t.Errorf("%q: %q", b, got)
		}
	})
}

func FuzzParseProgram(f *testing.F) {
	f.Add("/bin/bash", "-c\nls")
	f.Add("/usr/bin/node", "-r\n./x\ny")
	f.Fuzz(func(_ *testing.T, exe, args string) {
		parseProgram(exe, append([]string{exe}, strings.Split(args, "\n")...))
	})
}

func TestParseStatSurvivesNames(t *testing.T) {
	ppid, start, _, err := parseStat([]byte("12 (a) S 9 9) S 7 1 1 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 99 1 1\n"))
	if err != nil || ppid != 7 || start != 99 {
		t.Errorf("ppid %d start %d: %v", ppid, start, err)
	}
}

// TestLaunchChain: the agent's own start is not asked, what follows is.
func TestLaunchChain(t *testing.T) {
	for _, writable := range []bool{false, true} {
		g := newGated(t)
		script := g.file("agent", "#!/usr/bin/env sh\n/usr/bin/true\n/usr/bin/env sh -c :\n:\n", 0o755)
		g.cfg.Writable = func(p string) bool { return writable && strings.HasPrefix(p, g.dir) }
		g.cfg.Pinner = unsealed{}
		g.cfg.Launch = Launch{Argv: []string{script, "arg"}}
		g.run(script, "arg")
		got := ""
		for _, a := range g.judge.seen {
			if a.Exec.Launch {
				got += "L"
			} else if a.Exec.Root == nil {
				got += "d"
			} else {
				got += "c"
			}
		}
		if want := "LLddc"; got != want {
			t.Errorf("writable %v: %s, want %s: %q %q", writable, got, want, g.judge.argvs(), g.judge.ends)
		}
	}
}
