package card

import (
	"path"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/countersign/countersign/internal/count"
	"github.com/countersign/countersign/tui/visible"
)

// maxShell bounds the text that is parsed only to be shown, in bytes.
const maxShell = 64 << 10

// command shows the words, and what a shell among them reads.
func (p *page) command(argv []string) {
	p.words(argv)
	text, shell := shellString(argv)
	literal := shell && p.shell(text)
	p.layers(strings.Join(argv, "\n"), shell, literal)
}

// unwrapped shows what the agent's model asked for, first, and the words around it
// among the details.
func (p *page) unwrapped(argv []string, c Card) bool {
	if c.Unwrap == nil {
		return false
	}
	text, does, ok := c.Unwrap(argv)
	if !ok {
		return false
	}
	p.put(Head, "shell command: "+count.Of(len(text), "byte"))
	p.element("$", text)
	p.layers(text, true, p.shell(text))
	if !c.Details {
		p.put(Dim, "    in "+c.Agent+"'s own wrapper (d: all of it), which "+does)
		return true
	}
	p.put(Dim, "    in "+c.Agent+"'s own wrapper, which "+does+":")
	p.words(argv)
	return true
}

// shell adds the structure of a shell string below its exact bytes. It decides
// nothing: what cannot be parsed is not shown twice, and says so. It reports
// whether all that the string evaluates stands in it.
func (p *page) shell(text string) (literal bool) {
	if len(text) > maxShell {
		return false
	}
	f, err := syntax.NewParser(syntax.KeepComments(true)).Parse(strings.NewReader(text), "")
	if err != nil {
		p.put(Dim, "    (does not read as a shell command; the words above are all there is)")
		return false
	}
	told := evaluated(f)
	for _, s := range told { // an agent's wrapper has the command in there
		p.aid("what its eval runs (a reading aid)", s)
	}
	literal = len(told) == len(evals().FindAllString(text, -1))
	var b strings.Builder
	if err := syntax.NewPrinter(syntax.Indent(2)).Print(&b, f); err != nil {
		return literal
	}
	if pretty := strings.TrimSuffix(b.String(), "\n"); pretty != text {
		p.aid("as a shell reads it (a reading aid; what runs is the text above)", pretty)
	}
	return literal
}

// aid shows a text that was made out of the exact one.
func (p *page) aid(what, text string) {
	p.put(Dim, "    "+what)
	for _, line := range strings.Split(text, "\n") {
		for _, part := range visible.Fold(p.text(line), p.width-6) {
			p.lines = append(p.lines, Line{Text: "    : " + part, Look: Dim})
		}
	}
}

// evaluated returns what a program evaluates that stands in it word for word.
func evaluated(f *syntax.File) (texts []string) {
	syntax.Walk(f, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok || len(call.Args) < 2 || call.Args[0].Lit() != "eval" {
			return true
		}
		var words []string
		for _, w := range call.Args[1:] {
			s, fixed := literal(w)
			if !fixed {
				return true
			}
			words = append(words, s)
		}
		texts = append(texts, strings.Join(words, " "))
		return true
	})
	return texts
}

// literal is a word without anything that a shell would expand.
func literal(w *syntax.Word) (string, bool) {
	s := ""
	for _, part := range w.Parts {
		switch q := part.(type) {
		case *syntax.SglQuoted:
			if q.Dollar {
				return "", false
			}
			s += q.Value
		case *syntax.Lit:
			if strings.ContainsAny(q.Value, `\*?[~{`) {
				return "", false
			}
			s += q.Value
		case *syntax.DblQuoted:
			for _, inner := range q.Parts {
				l, ok := inner.(*syntax.Lit)
				if !ok || strings.Contains(l.Value, `\`) {
					return "", false
				}
				s += l.Value
			}
		default:
			return "", false
		}
	}
	return s, true
}

// shellString returns the operand of -c of the first POSIX-like shell in argv:
// what starts it, `env` or a helper of the agent's, stands before it.
func shellString(argv []string) (string, bool) {
	for i := range argv {
		if s, ok := operand(argv[i:]); ok {
			return s, true
		}
	}
	return "", false
}

// operand returns the operand of -c if argv is a POSIX-like shell's.
func operand(argv []string) (string, bool) {
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
