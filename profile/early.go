package profile

import (
	"encoding/json"
	"path"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/countersign/countersign/internal/strictyaml"
)

// Early is a tool of an agent that ends a command sooner than a person answers: its
// model's call of the tool is asked about before the agent hears of it.
type Early struct {
	Tool string        // by the name that the model calls it
	Wait time.Duration // how long the agent awaits the end of an answer
	// command is the field of the tool's input that holds the command, or a list of
	// them; cwd the one that holds their directory, if the tool has one.
	command, cwd string
	argv         []string // the one word <<command>> stands for the command
}

// Call is a command that a model's call of a tool will become.
type Call struct {
	Argv []string
	Cwd  string // absolute; empty: not said
}

// EarlyOf finds the tool by its name.
func (p *Profile) EarlyOf(tool string) (Early, bool) {
	for _, e := range p.Early {
		if e.Tool == tool {
			return e, true
		}
	}
	return Early{}, false
}

// Calls reads the input of a call: no command where it is not as it is known to be.
func (e Early) Calls(input string) (out []Call) {
	var fields map[string]json.RawMessage
	if json.Unmarshal([]byte(input), &fields) != nil {
		return nil
	}
	var lines []string
	if json.Unmarshal(fields[e.command], &lines) != nil {
		var line string
		if json.Unmarshal(fields[e.command], &line) != nil {
			return nil
		}
		lines = []string{line}
	}
	cwd := ""
	if raw, ok := fields[e.cwd]; ok && (json.Unmarshal(raw, &cwd) != nil || cwd != "" && !path.IsAbs(cwd)) {
		return nil
	}
	for _, line := range lines {
		if line == "" || strings.ContainsRune(line, 0) {
			return nil
		}
		c := Call{Cwd: cwd}
		for _, w := range e.argv {
			if w == "<<command>>" {
				w = line
			}
			c.Argv = append(c.Argv, w)
		}
		out = append(out, c)
	}
	return out
}

func (r *reader) early(n ast.Node) {
	for _, v := range r.List(n, "early") {
		var e Early
		r.Mapping(v, "early", []strictyaml.Field{
			{Name: "tool", Read: func(n ast.Node) { e.Tool = r.Text(n, "early.tool") }},
			{Name: "command", Read: func(n ast.Node) { e.command = r.Text(n, "early.command") }},
			{Name: "cwd", Read: func(n ast.Node) { e.cwd = r.Text(n, "early.cwd") }},
			{Name: "argv", Read: func(n ast.Node) { e.argv = r.texts(n, "early.argv") }},
			{Name: "wait", Read: func(n ast.Node) { e.Wait = time.Duration(r.Number(n, "early.wait", 1, 3600)) * time.Second }},
		})
		commands := 0
		for _, w := range e.argv {
			if w == "<<command>>" {
				commands++
			}
		}
		r.need(v, "early", "tool, command, wait, and argv with an absolute program and one <<command>>",
			e.Tool != "" && e.command != "" && e.Wait > 0 && commands == 1 && path.IsAbs(e.argv[0]))
		r.p.Early = append(r.p.Early, e)
	}
}
