// Package interp tells what program an interpreter is told to run: a file, a text
// in its arguments, or its standard input. It is pure.
package interp

import (
	"path"
	"slices"
	"strings"
)

// Program is what an interpreter is told to run.
type Program struct {
	Known   bool     // the executable is an interpreter
	Inline  bool     // its program stands in argv, or is a module that it finds itself
	Stdin   bool     // it reads its program from standard input
	Modules bool     // a module loader: it resolves names by itself before it opens them
	Once    bool     // it opens its program once
	Scripts []string // files that it reads as program, the main one last
}

// dialect is how an interpreter reads its arguments. Options are given as they
// stand in argv; a letter option may have its value attached.
type dialect struct {
	inline  []string // the next argument, or the rest, is program text
	file    []string // the value is a file of program text, beside the main one
	value   []string // takes a value that is no program
	stdin   []string // takes the program from standard input
	finds   []string // without a program it reads none from standard input
	also    []string // goes on with standard input when its program has ended
	cluster bool     // letters may stand together: -ec
	modules bool     // a module loader
	shell   bool
}

var shellDialect = dialect{
	inline: []string{"-c"}, file: []string{"--rcfile", "--init-file"}, value: []string{"-o", "+o", "-O", "+O"},
	stdin: []string{"-s"}, cluster: true, shell: true,
}

// dialects by base name, version digits cut off. What is not listed is not
// known to run other people's programs.
var dialects = map[string]dialect{
	"sh": shellDialect, "bash": shellDialect, "dash": shellDialect, "ash": shellDialect, "zsh": shellDialect,
	"ksh": shellDialect, "mksh": shellDialect, "yash": shellDialect, "rbash": shellDialect, "hush": shellDialect,
	"fish": {inline: []string{"-c", "--command", "-C", "--init-command"}, value: []string{"-d", "-D", "-o", "-p", "-f"}, cluster: true},
	"python": {
		inline: []string{"-c", "-m"}, value: []string{"-W", "-X", "--check-hash-based-pycs"}, also: []string{"-i"}, cluster: true,
	},
	"pypy": {inline: []string{"-c", "-m"}, value: []string{"-W", "-X"}, also: []string{"-i"}, cluster: true},
	"node": {
		inline: []string{"-e", "--eval", "-p", "--print", "-pe"}, file: []string{"-r", "--require", "--import", "--loader", "--experimental-loader", "--env-file"},
		value:   []string{"-C", "--conditions", "--input-type", "--inspect-port", "--title", "--icu-data-dir", "--openssl-config", "--redirect-warnings", "--stack-trace-limit"},
		finds:   []string{"--test", "--version", "-v", "--help", "-h"},
		also:    []string{"-i", "--interactive"},
		modules: true,
	},
	"ruby": {inline: []string{"-e"}, value: []string{"-C", "-E", "-I", "-r", "-X"}, cluster: true},
	"perl": {inline: []string{"-e", "-E"}, value: []string{"-I"}, cluster: true},
	"php":  {inline: []string{"-r", "-B", "-R", "-E"}, file: []string{"-f", "-F"}, value: []string{"-c", "-d", "-z", "-S", "-t"}},
	"lua":  {inline: []string{"-e"}, value: []string{"-l"}, also: []string{"-i"}},
	"luajit": {
		inline: []string{"-e"}, value: []string{"-l", "-j"}, also: []string{"-i"},
	},
	"tclsh":   {},
	"Rscript": {inline: []string{"-e"}},
}

// aliases are other names of the same program.
var aliases = map[string]string{"nodejs": "node", "python-config": ""}

// interpreter returns the dialect for an executable's base names: as resolved
// and as invoked, for busybox is called sh.
func interpreter(names ...string) (dialect, bool) {
	for _, n := range names {
		base := strings.TrimRight(strings.TrimPrefix(path.Base(n), "-"), "0123456789.")
		if a, ok := aliases[base]; ok {
			base = a
		}
		if d, ok := dialects[base]; ok {
			return d, true
		}
	}
	return dialect{}, false
}

// consoles are modules of Python that read a program from standard input.
var consoles = []string{"code", "asyncio", "pdb", "bdb", "IPython", "ptpython", "bpython", "idlelib"}

// takers build commands out of their input, or have a command that starts one.
var takers = []string{"xargs", "parallel", "ed", "red", "ex", "vi", "vim", "sqlite3", "gdb", "m4", "dc", "at", "batch", "expect"}

// readers take their program from a file that an option names.
var readers = []string{"make", "gmake", "awk", "gawk", "mawk", "nawk", "sed"}

// TakesCommands reports whether a program that is no interpreter builds commands
// out of its input.
func TakesCommands(exe string, argv []string) bool {
	base := path.Base(exe)
	if slices.Contains(takers, base) {
		return true
	}
	if !slices.Contains(readers, base) || len(argv) == 0 {
		return false
	}
	for i, a := range argv[1:] {
		switch {
		case a == "-f-", a == "--file=-", a == "--makefile=-", a == "-" && (argv[i] == "-f" || argv[i] == "--file" || argv[i] == "--makefile"):
			return true
		}
	}
	return false
}

// Descriptor reports whether a program that takes its own from a file is given
// an open descriptor as that.
func Descriptor(exe string, argv []string) bool {
	return slices.Contains(readers, path.Base(exe)) && slices.ContainsFunc(argv, func(a string) bool {
		return strings.Contains(a, "/dev/stdin") || strings.Contains(a, "/dev/fd/") || strings.Contains(a, "/proc/")
	})
}

// Parse finds what an interpreter runs. exe and argv[0] name it; an
// argument that cannot be told for certain is taken for the program, so that
// too much is bound rather than too little.
func Parse(exe string, argv []string) Program {
	first := exe
	if len(argv) > 0 {
		first = argv[0]
	}
	d, ok := interpreter(exe, first)
	args := argv
	if len(args) > 0 {
		args = args[1:]
	}
	if !ok && path.Base(exe) == "busybox" && len(args) > 0 {
		d, ok = interpreter(args[0])
		args = args[1:]
	}
	if !ok {
		return Program{}
	}
	p := Program{Known: true, Modules: d.modules, Once: d.shell}
	d.scan(&p, args)
	return p
}

func (d dialect) scan(p *Program, args []string) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		if slices.Contains(d.also, a) || d.letter(a, d.also) {
			p.Stdin = true
		}
		if a == "-" || slices.Contains(d.stdin, a) || d.letter(a, d.stdin) {
			p.Stdin = true
			return
		}
		if a == "--" {
			d.operand(p, args[i+1:])
			return
		}
		if len(a) < 2 || a[0] != '-' && a[0] != '+' {
			d.operand(p, args[i:])
			return
		}
		name, value, attached := strings.Cut(a, "=")
		if !attached && i+1 < len(args) {
			value = args[i+1]
		}
		switch {
		case slices.Contains(d.finds, a):
			p.Inline = true
		case slices.Contains(d.inline, name) || d.letter(a, d.inline):
			p.Inline = true
			p.Stdin = p.Stdin || strings.HasSuffix(a, "m") && slices.Contains(consoles, value)
			return
		case slices.Contains(d.file, name):
			if !d.modules || strings.HasPrefix(value, ".") || strings.HasPrefix(value, "/") {
				p.Scripts = append(p.Scripts, value)
			} else {
				p.Modules = false // a package's module, found in node_modules
			}
			if !attached {
				i++
			}
		case slices.Contains(d.value, name) || d.trailing(a):
			if !attached {
				i++
			}
		}
	}
	p.Stdin = p.Stdin || !p.Inline
}

func (d dialect) operand(p *Program, rest []string) {
	if len(rest) == 0 || rest[0] == "-" {
		p.Stdin = true
		return
	}
	p.Scripts = append(p.Scripts, rest[0])
}

// letter reports whether a cluster such as -ec holds one of the options. Past a
// letter that takes a value, the rest is that value.
func (d dialect) letter(a string, options []string) bool {
	if !d.cluster || len(a) < 2 || a[0] != '-' || a[1] == '-' {
		return false
	}
	for i := 1; i < len(a); i++ {
		o := "-" + a[i:i+1]
		if slices.Contains(options, o) {
			return true
		}
		if slices.Contains(d.value, o) {
			return false
		}
	}
	return false
}

// trailing reports whether a cluster ends in an option that takes the next
// argument as its value: -eo pipefail.
func (d dialect) trailing(a string) bool {
	if !d.cluster || len(a) < 3 || a[1] == '-' {
		return false
	}
	return slices.Contains(d.value, a[:1]+a[len(a)-1:])
}
