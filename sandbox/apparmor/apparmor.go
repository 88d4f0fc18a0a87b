// Package apparmor writes the profile that lets Countersign make user namespaces
// where AppArmor keeps them from programs without a profile of their own (Ubuntu
// 23.10 and later, kernel.apparmor_restrict_unprivileged_userns).
//
// It promises: a profile confines nothing and allows this one thing; it names one
// program by its path, literally, whatever letters that has; a path that a profile
// cannot name is an error. What runs inside a session makes no namespaces all the
// same: the session's own filter refuses.
//
// It is pure: it touches nothing.
package apparmor

import (
	"errors"
	"path"
	"strings"

	"github.com/countersign/countersign"
)

// Place is where the profile belongs.
const Place = "/etc/apparmor.d/countersign"

// Remedy is what puts the profile of the program that is asked in its place.
const Remedy = "countersign doctor --apparmor | sudo tee " + Place + " >/dev/null && sudo apparmor_parser -r " + Place

// Profile is the profile of the program at this path (apparmor.d(5), AppArmor 4.0
// and later).
func Profile(program string) (string, error) {
	if !path.IsAbs(program) || path.Clean(program) != program || strings.ContainsFunc(program, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", &countersign.Error{
			Code: countersign.EInvalid, Op: "write an AppArmor profile", Thing: program, Err: errors.New("no profile can name this path"),
			Remedy: "install countersign as /usr/local/bin/countersign",
		}
	}
	return `# Lets countersign make user namespaces, for the sandbox that it puts agents into.
# Place: ` + Place + `
abi <abi/4.0>,
include <tunables/global>

profile countersign "` + literal.Replace(program) + `" flags=(unconfined) {
  userns,

  include if exists <local/countersign>
}
`, nil
}

// literal takes their meaning from the letters of a pattern, and of a variable.
var literal = strings.NewReplacer(
	`\`, `\\`, `"`, `\"`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `{`, `\{`, `}`, `\}`, `^`, `\^`, `@`, `\@`, `,`, `\,`,
)
