package lending

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/countersign/countersign"
)

// noHome is a home that is not there: what lies in the agent's decides what many
// programs run (.psqlrc, .npmrc, Python's user site).
const noHome = "/nonexistent"

// noDoor is the variable that keeps .NET from listening in /tmp for whoever of this
// user wants a process's environment, by default and for its whole life.
const noDoor = "DOTNET_EnableDiagnostics"

// environment is that of a command with secrets: the session's without what leads to
// places where the agent writes, then what the rules pass on of the attempt's own,
// then the secrets. values are NAME=VALUE.
func environment(base []string, e *countersign.Exec, home string, writable func(string) bool, values []string) []string {
	own := map[string]string{"HOME": noHome, "PWD": e.Cwd, noDoor: "0"}
	for _, kv := range base {
		name, value, _ := strings.Cut(kv, "=")
		switch {
		case name == "HOME" || name == "PWD" || name == "OLDPWD" || name == noDoor:
		case name == "PATH":
			own[name] = strings.Join(slices.DeleteFunc(filepath.SplitList(value), func(dir string) bool {
				return !filepath.IsAbs(dir) || writable(filepath.Clean(dir))
			}), ":")
		case value == home || strings.HasPrefix(value, home+"/"):
		default:
			own[name] = value
		}
	}
	for _, l := range e.Lends {
		for _, name := range l.Env {
			delete(own, name)
			for _, kv := range e.Env {
				if n, value, _ := strings.Cut(kv, "="); n == name {
					own[name] = value
				}
			}
		}
	}
	for _, kv := range values {
		name, value, _ := strings.Cut(kv, "=")
		own[name] = value
	}
	out := make([]string, 0, len(own))
	for name, value := range own {
		out = append(out, name+"="+value)
	}
	slices.Sort(out)
	return out
}
