package card

import (
	"path"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/tui/visible"
)

// maxShell bounds the text that is parsed only to be shown, in bytes.
const maxShell = 64 << 10

// shell adds the structure of a shell string below its exact bytes. It decides
// nothing: what cannot be parsed is not shown twice, and says so.
func (p *page) shell(e *countersign.Exec) {
	text, ok := shellString(e.Argv)
	if !ok || len(text) > maxShell {
		return
	}
	f, err := syntax.NewParser(syntax.KeepComments(true)).Parse(strings.NewReader(text), "")
	if err != nil {
		p.put(Dim, "    (does not read as a shell command; the words above are all there is)")
		return
	}
	var b strings.Builder
	if err := syntax.NewPrinter(syntax.Indent(2)).Print(&b, f); err != nil {
		return
	}
	pretty := strings.TrimSuffix(b.String(), "\n")
	if pretty == text {
		return
	}
	p.put(Dim, "    as a shell reads it (a reading aid; what runs is the text above)")
	for _, line := range strings.Split(pretty, "\n") {
		for _, part := range visible.Fold(p.text(line), p.width-6) {
			p.lines = append(p.lines, Line{Text: "    : " + part, Look: Dim})
		}
	}
}

// shellString returns the operand of -c if argv is a POSIX-like shell's.
func shellString(argv []string) (string, bool) {
	if len(argv) < 3 {
		return "", false
	}
	switch path.Base(strings.TrimPrefix(argv[0], "-")) {
	case "sh", "bash", "dash", "ash", "ksh", "mksh", "zsh":
	default:
		return "", false
	}
	for i := 1; i+1 < len(argv); i++ {
		a := argv[i]
		if !strings.HasPrefix(a, "-") || a == "--" {
			return "", false
		}
		if !strings.HasPrefix(a, "--") && strings.Contains(a, "c") {
			return argv[i+1], true
		}
		if a == "-o" || a == "-O" {
			i++
		}
	}
	return "", false
}
