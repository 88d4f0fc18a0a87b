package execfile

import (
	"strings"
	"testing"
)

func TestParseHead(t *testing.T) {
	long := "#!/" + strings.Repeat("x", 300)
	for in, want := range map[string]struct {
		f           Form
		interp, arg string
	}{
		"\x7fELF...":             {ELF, "", ""},
		"#!/bin/sh\n":            {Script, "/bin/sh", ""},
		"#! /bin/sh -e x \nrest": {Script, "/bin/sh", "-e x"},
		"#!/bin/sh":              {Script, "/bin/sh", ""},
		"#!\t/bin/sh\t\n":        {Script, "/bin/sh", ""},
		"#!\n":                   {Other, "", ""},
		"#!   ":                  {Other, "", ""},
		"":                       {Other, "", ""},
		"echo hi":                {Other, "", ""},
		long[:headSize]:          {Other, "", ""},
		"#!/bin/sh\r\n":          {Script, "/bin/sh\r", ""},
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
		if form == Script && (interp == "" || strings.ContainsAny(interp, " \t\n\x00") || has != (arg != "")) {
			t.Errorf("%q: %q %q", b, interp, arg)
		}
	})
}
