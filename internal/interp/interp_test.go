package interp

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
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
		"/usr/bin/python3 -i -c pass":             {Inline: true, Stdin: true},
		"/usr/bin/python3 -ui x.py":               {Scripts: []string{"x.py"}, Stdin: true},
		"/usr/bin/python3 -c pass -i":             {Inline: true},
		"/usr/bin/python3 -um code":               {Inline: true, Stdin: true},
		"/usr/bin/python3 -m pytest":              {Inline: true},
		"/usr/bin/node -i -e 1":                   {Inline: true, Stdin: true},
		"/usr/bin/node x.js":                      {Scripts: []string{"x.js"}},
		"/usr/bin/node --test":                    {Inline: true},
		"/usr/bin/node --test x.js":               {Inline: true, Scripts: []string{"x.js"}},
		"/usr/bin/node --test -i":                 {Inline: true, Stdin: true},
		"/usr/bin/node --test -":                  {Inline: true, Stdin: true},
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
			p := Parse(argv[0], argv)
			if d := cmp.Diff(w, want{p.Scripts, p.Inline, p.Stdin}); d != "" {
				t.Error(d)
			}
		})
	}
	if p := Parse("/bin/busybox", []string{"sh"}); !p.Stdin {
		t.Error("busybox called as sh reads its input")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("/bin/bash", "-c\nls")
	f.Add("/usr/bin/node", "-r\n./x\ny")
	f.Fuzz(func(_ *testing.T, exe, args string) {
		Parse(exe, append([]string{exe}, strings.Split(args, "\n")...))
	})
}

func TestTakesCommands(t *testing.T) {
	for line, want := range map[string][2]bool{
		"xargs rm":               {true, false},
		"ed x":                   {true, false},
		"make -f - all":          {true, false},
		"make -f-":               {true, false},
		"make all":               {},
		"make -f x.mk":           {},
		"awk -f - x":             {true, false},
		"awk {print} -":          {},
		"sed -n -f /dev/stdin x": {false, true},
		"make -f /dev/fd/63":     {false, true},
		"cat /dev/stdin":         {},
	} {
		argv := strings.Fields(line)
		if got := [2]bool{TakesCommands("/usr/bin/"+argv[0], argv), Descriptor("/usr/bin/"+argv[0], argv)}; got != want {
			t.Errorf("%s: %v, want %v", line, got, want)
		}
	}
}
